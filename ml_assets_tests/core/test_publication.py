"""The record of a published unit: it comes back unchanged, whatever is in it, and strangers are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.core.errors import GateError, UnrecordedChange
from ml_assets.lib.core.names import STAGES, Unit
from ml_assets.lib.core.publication import CheckResult, Output, Publication, passes
from ml_assets.lib.core.recipe import Definition, InputRef
from ml_assets.lib.core.refs import Commit

names = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
versions = st.from_regex(r"[A-Za-z0-9][-A-Za-z0-9_]{0,12}", fullmatch=True)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
commits = hashes.map(Commit)
units = st.builds(Unit, st.sampled_from(STAGES), names, versions)
counts = st.integers(0, 2**53 - 1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
facts = st.dictionaries(st.text(), json_values, max_size=4)
definitions = st.builds(
    Definition,
    identity=st.text(),
    made_with=st.text(),
    version=st.none() | st.integers(1, 99),
    keys=st.lists(names, max_size=3).map(tuple),
    ttl=st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)),
    deterministic=st.booleans(),
)
refs = st.builds(
    InputRef,
    unit=units.map(str),
    digest=st.text(),
    recipe=hashes,
    definition=st.text(),
    keys=st.lists(names, max_size=3).map(tuple),
    ttl=st.none() | counts,
)
outputs = st.builds(
    Output,
    name=st.text(),
    path=st.text(),
    checksum=st.text(),
    rows=counts,
    bytes=counts,
    digest=st.text(),
    schema_hash=hashes,
)
results = st.builds(
    CheckResult,
    check=names,
    passed=st.booleans(),
    severity=st.sampled_from(["error", "warn"]),
    rows_failed=counts,
    counts=st.dictionaries(st.text(), counts, max_size=3),
    examples=st.lists(facts, max_size=2).map(tuple),
    figures=facts,
)
publications = st.builds(
    Publication,
    unit=units,
    assets=st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=3).map(tuple),
    recipe=hashes,
    rules=hashes,
    definition=definitions,
    pin=commits,
    inputs=st.dictionaries(st.text(), refs, max_size=3),
    outputs=st.lists(outputs, min_size=1, max_size=2).map(tuple),
    audited=commits,
    verdict=st.lists(results, max_size=3).map(tuple),
    code=facts,
    run=facts,
    extra=st.dictionaries(st.text(min_size=20), json_values, max_size=3),
)

EXAMPLE = Publication(
    unit=Unit("features", "route", "1"),
    assets=(("features/route", "v1"), ("features/route", "v2")),
    recipe="1" * 64,
    rules="2" * 64,
    definition=Definition(identity="expr1:3", keys=("origin", "dest"), ttl=timedelta(days=7), version=1),
    pin=Commit("a" * 64),
    inputs={"flights": InputRef(unit="sources/flights", digest="d", recipe="r", definition="py1:4", keys=(), ttl=None)},
    outputs=(
        Output(
            name="features.route_v1",
            path="warehouse/features/route_v1/metadata/v2.metadata.json",
            checksum="c",
            rows=3,
            bytes=9,
            digest="tbl1:5",
            schema_hash="6" * 64,
        ),
    ),
    audited=Commit("b" * 64),
    verdict=(CheckResult(check="contract", passed=True),),
    code={"git_commit": None},
    run={"id": "r"},
)


@given(publications)
def test_comes_back_unchanged(publication: Publication) -> None:
    """What is written is read, equal records give equal bytes, and reading and writing changes no byte."""
    data = publication.to_bytes()
    read = Publication.from_bytes(data)
    assert publication == read
    assert data == read.to_bytes()


@given(publications)
def test_unknown_fields_are_kept(publication: Publication) -> None:
    """Fields of a later version of the project survive this one."""
    data = json.dumps({**json.loads(publication.to_bytes()), "later": {"a": [1, None]}}).encode()
    read = Publication.from_bytes(data)
    assert {**publication.extra, "later": {"a": [1, None]}} == read.extra
    assert {"a": [1, None]} == json.loads(read.to_bytes())["later"]


@given(publications)
def test_as_input(publication: Publication) -> None:
    """As an input a publication is what its consumers depend on: unit, digest, definition, keys, ttl."""
    ref = publication.as_input()
    assert InputRef.from_json(json.loads(json.dumps(ref.as_json()))) == ref
    definition = publication.definition
    ttl = None if definition.ttl is None else definition.ttl // timedelta(microseconds=1)
    assert {
        "unit": str(publication.unit),
        "digest": publication.outputs[0].digest,
        "definition": definition.identity,
        "keys": list(definition.keys),
        "ttl": ttl,
    } == ref.essence


def test_bytes_are_canonical() -> None:
    """The order in which a dict was filled plays no part."""
    one, other = replace(EXAMPLE, code={"a": 1, "b": 2}), replace(EXAMPLE, code={"b": 2, "a": 1})
    assert one.to_bytes() == other.to_bytes()
    assert b" " not in one.to_bytes()


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_unknown_format(number: Any) -> None:
    """A record of another format is refused, by its unit's name, and never called a change."""
    value = {**json.loads(EXAMPLE.to_bytes()), "format": number}
    with pytest.raises(GateError, match=r"features/route@1 has format .*; use a newer ml_assets") as caught:
        Publication.from_bytes(json.dumps(value).encode())
    assert not isinstance(caught.value, UnrecordedChange)


json_documents = json_values.map(lambda value: json.dumps(value).encode())


@given(st.binary() | json_documents | st.builds(lambda value: b'{"format":1,"unit":' + value + b"}", json_documents))
def test_what_is_no_publication(data: bytes) -> None:
    """Anything else is told as a change that recompute repairs, whatever it is."""
    with pytest.raises(UnrecordedChange, match="--recompute"):
        Publication.from_bytes(data)


@pytest.mark.parametrize("field", sorted({*json.loads(EXAMPLE.to_bytes())} - {"format"}))
@pytest.mark.parametrize("value", [..., None, 7, "x", [1], {"a": 1}], ids=str)
def test_damaged_field(field: str, value: Any) -> None:
    """A record with a field that is missing or of another kind is no publication; or it is one, and can be written."""
    damaged = json.loads(EXAMPLE.to_bytes())
    if value is ...:
        del damaged[field]
    else:
        damaged[field] = value
    try:
        read = Publication.from_bytes(json.dumps(damaged).encode())
    except UnrecordedChange:
        return
    assert field in {"recipe", "rules", "code", "run", "assets", "inputs", "outputs", "verdict"}
    assert value is not ...
    assert read.unit == EXAMPLE.unit


@pytest.mark.parametrize(
    ("passed", "severity", "lets_through"),
    [(True, "error", True), (True, "warn", True), (False, "warn", True), (False, "error", False)],
)
def test_passes(passed: bool, severity: Any, lets_through: bool) -> None:
    """Only a failed check of severity error stops a publish."""
    good = CheckResult(check="good", passed=True)
    verdict = (good, CheckResult(check="other", passed=passed, severity=severity), good)
    assert lets_through == passes(verdict)
    assert passes(())
