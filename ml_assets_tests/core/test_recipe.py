"""The recipe: it changes with all that determines an output, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ml_assets.lib.core import recipe as module
from ml_assets.lib.core.recipe import Definition, InputRef, canonical_json, hash_of, recipe

DEFINITION = Definition(identity="expr1:a", made_with="ibis 12.0.0", version=1, keys=("k",), ttl=timedelta(days=1))
INPUT = InputRef(unit="sources/a", digest="d", recipe="r", definition="py1:b", keys=("k",), ttl=1)
GIVEN: dict[str, Any] = {
    "definition": DEFINITION,
    "inputs": {"a": INPUT, "b": replace(INPUT, unit="sources/b")},
    "parameters": {"depth": 3, "rate": 0.1},
    "seed": 0,
    "libraries": {"numpy": "2.0"},
}


def of(**changes: Any) -> str:
    """The recipe of `GIVEN` with changes."""
    given = {**GIVEN, **changes}
    return recipe(given.pop("definition"), given.pop("inputs"), **given)


CHANGES: dict[str, dict[str, Any]] = {
    "definition": {"definition": replace(DEFINITION, identity="expr1:b")},
    "view version": {"definition": replace(DEFINITION, version=2)},
    "keys": {"definition": replace(DEFINITION, keys=("l",))},
    "ttl": {"definition": replace(DEFINITION, ttl=None)},
    "determinism": {"definition": replace(DEFINITION, deterministic=False)},
    "another input": {"inputs": {**GIVEN["inputs"], "c": INPUT}},
    "one input less": {"inputs": {"a": INPUT}},
    "name of an input": {"inputs": {"z": INPUT, "b": GIVEN["inputs"]["b"]}},
    "inputs swapped": {"inputs": {"a": GIVEN["inputs"]["b"], "b": INPUT}},
    "unit of an input": {"inputs": {**GIVEN["inputs"], "a": replace(INPUT, unit="sources/c")}},
    "digest of an input": {"inputs": {**GIVEN["inputs"], "a": replace(INPUT, digest="e")}},
    "definition of an input": {"inputs": {**GIVEN["inputs"], "a": replace(INPUT, definition="py1:c")}},
    "keys of an input": {"inputs": {**GIVEN["inputs"], "a": replace(INPUT, keys=())}},
    "ttl of an input": {"inputs": {**GIVEN["inputs"], "a": replace(INPUT, ttl=None)}},
    "parameter": {"parameters": {"depth": 4, "rate": 0.1}},
    "one parameter less": {"parameters": {"depth": 3}},
    "seed": {"seed": 1},
    "no seed": {"seed": None},
    "library": {"libraries": {"numpy": "2.1"}},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_what_changes_it(changes: dict[str, Any]) -> None:
    """Each part that determines the output is in the recipe."""
    assert of() != of(**changes)


def test_all_are_different() -> None:
    """No two of the changes give the same recipe."""
    assert len(CHANGES) == len({of(**changes) for changes in CHANGES.values()})


@pytest.mark.parametrize("part", sorted(module.SEMANTICS))
def test_semantics_change_it(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug fix in the machinery that changes results makes everything be computed again."""
    before = of()
    monkeypatch.setattr(module, "SEMANTICS", {**module.SEMANTICS, part: module.SEMANTICS[part] + 1})
    assert before != of()


@pytest.mark.parametrize(
    "changes",
    [
        {"definition": replace(DEFINITION, made_with="ibis 99")},
        {"inputs": {**GIVEN["inputs"], "a": replace(INPUT, recipe="another")}},
        {"inputs": dict(reversed(GIVEN["inputs"].items()))},
        {"parameters": dict(reversed(GIVEN["parameters"].items()))},
        {"parameters": {"depth": 3.0, "rate": 0.1}},
    ],
    ids=["release of a library", "recipe of an equal input", "order of inputs", "order of parameters", "3 or 3.0"],
)
def test_what_does_not_change_it(changes: dict[str, Any]) -> None:
    """How an equal input was made, releases that are only recorded, and spelling play no part."""
    assert of() == of(**changes)


def test_vector() -> None:
    """The hash of a fixed recipe never changes: published units would be computed anew."""
    assert "dc64e180259d0f8c9525f6cc2eeecfec2d99506803bb425d2622939fdc06e751" == of()


@pytest.mark.parametrize(
    "definition", [DEFINITION, Definition(identity="py1:x"), replace(DEFINITION, ttl=timedelta(0))]
)
def test_definition_comes_back(definition: Definition) -> None:
    """A definition is written as JSON and read unchanged; no time to live is not one of zero."""
    assert definition == Definition.from_json(definition.as_json())


@pytest.mark.parametrize("hashed", [hash_of, canonical_json])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, object()], ids=["nan", "inf", "2**53", "object"])
def test_what_has_no_canonical_form(hashed: Callable[[Any], object], value: Any) -> None:
    """A value that machines would write differently is refused, not hashed."""
    with pytest.raises(ValueError, match=r"\S"):
        hashed({"x": value})
