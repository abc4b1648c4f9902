"""Whatever a decorator, an entity, a module or versions.py is given: told at file and line, never by a traceback."""

# ruff: noqa: E501 (one mistake a line)

from __future__ import annotations

import re

import pytest

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError, DuplicateName
from ml_assets_tests.declare.packages import Package

VIEW, SPLIT, SOURCE, FRAME, MODEL = (
    "features/speed.py", "splits/trips.py", "sources/trips.py", "frames/late.py", "models/late.py",
)  # fmt: skip
CONTRACTS, VERSIONS = "contracts/__init__.py", "versions.py"

EDITS: dict[str, tuple[str, str, str, str]] = {
    # name: file, old, new, what is told
    "files as text": (SOURCE, 'PackageFile("x", "trips.csv")', '"trips.csv"', "files={'trips': 'trips.csv'}, which is not a dict"),
    "files as a list": (SOURCE, '{"trips": PackageFile("x", "trips.csv")}', '["trips.csv"]', "files=['trips.csv'], which is not"),
    "event_time": (SOURCE, 'event_time="started"', "event_time=5", "event_time=5, which is not a text or None"),
    "known_from": (SOURCE, 'known_from="started"', 'known_from=("started",)', "known_from=('started',), which is not a text"),
    "always_known": (SOURCE, 'known_from="started"', 'always_known="yes"', "always_known='yes', which is not True or False"),
    "known_at": (SOURCE, '{"minutes": "ended"}', '"ended"', "known_at='ended', which is not a dict from a text to a text"),
    "libraries": (SOURCE, "@source(", '@source(libraries="pandas", ', "libraries='pandas', which is not a tuple"),
    "partition_by": (SOURCE, "@source(", '@source(partition_by="car", ', "partition_by='car', which is not a tuple"),
    "append": (SOURCE, "@source(", "@source(append=1, ", "append=1, which is not True or False"),
    "name": (SOURCE, "@source(", "@source(name=5, ", "5 has name=5, which is not a text"),
    "owner": (SOURCE, "@source(", "@source(owner=None, ", "owner=None, which is not a text"),
    "rule": (SPLIT, '(complete(of="trips"),)', 'complete(of="trips")', "which is not a tuple, each of it a Rule"),
    "rules of functions": (SPLIT, '(complete(of="trips"),)', "(complete,)", "which is not a tuple, each of it a Rule"),
    "split version": (SPLIT, '"hash-s42",', "42,", "version=42, which is not a text"),
    "split key": (SPLIT, 'key="trip"', 'key=("trip",)', "key=('trip',), which is not a text"),
    "split of": (SPLIT, '@split("hash-s42", of="trips"', '@split("hash-s42", of=None', "name=None, which is not a text"),
    "split seed": (SPLIT, "seed=42", 'seed="42"', "seed='42', which is not a whole number or None"),
    "split seed true": (SPLIT, "seed=42", "seed=True", "seed=True, which is not a whole number or None"),
    "split deterministic": (SPLIT, "seed=42", "deterministic=None", "deterministic=None, which is not True or False"),
    "rule's source": (SPLIT, 'complete(of="trips")', "complete(of=5)", "complete has of=5, which is no name"),
    "rule's shares": (SPLIT, 'complete(of="trips")', "shares(train=1.5, val=-0.5, test=0, within=0)", "val=-0.5, which is no"),
    "rule's distance": (SPLIT, 'complete(of="trips")', 'shares(train=1, val=0, test=0, within="x")', "within='x', which is no"),
    "rule's NaN": (SPLIT, 'complete(of="trips")', 'shares(train=1, val=0, test=0, within=float("nan"))', "within=nan, which"),
    "rule's column": (SPLIT, 'complete(of="trips")', 'disjoint(by=("car",), of="trips")', "disjoint has by=('car',), which is"),
    "rule's columns": (SPLIT, 'complete(of="trips")', 'label_rates(of="trips", label=len, within=0, per="car")', "per='car', a text"),
    "rule's severity": (SPLIT, 'complete(of="trips")', 'complete(of="trips", severity="eror")', "has severity 'eror'"),
    "view version text": (VIEW, "version=1", 'version="1"', "version='1', which is not a whole number"),
    "view version true": (VIEW, "version=1", "version=True", "version=True, which is not a whole number"),
    "view ttl": (VIEW, "ttl=timedelta(days=7)", "ttl=7", "ttl=7, which is not a timedelta or None"),
    "view keys": (VIEW, "keys=CAR", 'keys=("car",)', "keys=('car',), which is not a Entity"),
    "entity keys": (VIEW, '("car",))', '"car")', "entity 'car' has keys 'car'"),
    "entity keys twice": (VIEW, '("car",))', '("car", "car"))', "entity 'car' has keys ('car', 'car')"),
    "entity name": (VIEW, 'Entity("car"', "Entity(5", "entity 5 has keys"),
    "frame label": (FRAME, 'split="trips"', 'split="trips", label=None', "label=None, which is not a text"),
    "frame stale": (FRAME, 'split="trips"', 'split="trips", allow_stale=1', "allow_stale=1, which is not True or False"),
    "model floors": (MODEL, "0.5}", '"0.5"}', "floors={'test/roc_auc': '0.5'}, which is not a dict"),
    "model floors NaN": (MODEL, "0.5}", 'float("nan")}', "floors={'test/roc_auc': nan}, which is not a dict"),
    "model params": (MODEL, '{"depth": 3}', "[3]", "params=[3], which is not a dict from a text to a value"),
    "model seed": (MODEL, "seed=0", "seed=0.5", "seed=0.5, which is not a whole number"),
    "model categories": (MODEL, '("car",)', '"car"', "categories='car', which is not a tuple"),
    "two decorators": (FRAME, "@frame(", "@frame(split='trips', contract=contracts.LateFrame)\n@frame(", "which is no function"),
    "rule's name": (SPLIT, "@split(", "@rule(name=5)\ndef odd(t):\n    return t\n\n@split(", "rule 5 of"),
    "rule of no function": (SPLIT, "@split(", "odd = rule()(3)\n\n@split(", "rule '' of 3 has no name, or is no function"),
    "rule of a rule": (SPLIT, "@split(", "@rule()\n@rule()\ndef odd(t):\n    return t\n\n@split(", "or is no function"),
    # values of the right type
    "ttl beyond numbers": (VIEW, "days=7", "days=365_000", "has ttl datetime.timedelta(days=365000)"),
    "ttl negative": (VIEW, "days=7", "days=-1", "has ttl datetime.timedelta(days=-1)"),
    "ttl zero": (VIEW, "days=7", "days=0", "has ttl datetime.timedelta(0)"),
    "version zero": (VIEW, "version=1", "version=0", "has version 0"),
    "version below zero": (VIEW, "version=1", "version=-1", "has version -1"),
    "version beyond numbers": (VIEW, "version=1", "version=2**53", "has version 9007199254740992"),
    "seed beyond numbers": (SPLIT, "seed=42", "seed=-2**53", "seed is -9007199254740992"),
    "split version's end": (SPLIT, '"hash-s42",', '"h1_",', "version 'h1_', which cannot be a partition key"),
    "split key's end": (VERSIONS, '("hash-s42",)', '("hash-s42", "h1_")', "split version 'h1_' cannot be a partition key"),
    "feature key's end": (VERSIONS, '"v1"', '"v1_"', "feature version 'v1_' cannot be a partition key"),
    "feature key of a number": (VERSIONS, '"v1"', "1", "feature version 1 cannot be a partition key"),
    "feature keys in case": (VERSIONS, '("speed@1",)}', '("speed@1",), "V1": ("speed@1",)}', "'v1' and 'V1' map to one table"),
    "split versions as a set": (VERSIONS, '("hash-s42",)', '{"hash-s42"}', "SPLIT_VERSIONS is missing or is no tuple"),
    "split versions missing": (VERSIONS, "SPLIT_VERSIONS", "SPLITS", "SPLIT_VERSIONS is missing or is no tuple"),
    "feature versions as a list": (VERSIONS, '{"v1": ("speed@1",)}', '["v1"]', "FEATURE_VERSIONS is missing or is no"),
    "feature version as text": (VERSIONS, '("speed@1",)', '"speed@1"', "v1 is missing or is no tuple of texts"),
    "event time that is empty": (SOURCE, 'event_time="started"', 'event_time=""', "time '' is not a column"),
    "table of its own": (SPLIT, "trips.select(", 'trips.anti_join(ibis.table({"trip": "string"}, name="gone"), "trip").select(', "the expression reads gone, which the function is not given"),
    "table of other columns": (SPLIT, "trips.select(", 'trips.anti_join(ibis.table({"trip": "string"}, name="trips"), "trip").select(', "the expression reads trips, which"),
    # nulls where the machinery needs values, and names
    "known_from nullable": (SOURCE, 'known_from="started"', 'known_from="ended"', "known_from='ended' is nullable in Trips"),
    "spine's time nullable": (CONTRACTS, 'Field(description="Departure (UTC)")\n    label', 'Field(nullable=True, description="D")\n    label', "event_timestamp is nullable in LateFrame"),
    "spine's part nullable": (CONTRACTS, "split: str = Field(", "split: str = Field(nullable=True, ", "split is nullable in LateFrame"),
    "spine's part a number": (CONTRACTS, "split: str", "split: int", "split is int64 in LateFrame"),
    "label is the key": (FRAME, 'split="trips"', 'split="trips", label="trip"', "has label 'trip', which is its key"),
    "label is the part": (FRAME, 'split="trips"', 'split="trips", label="split"', "has label 'split', which is its key"),
    "value in other case": (CONTRACTS, "longest: Int32", "LABEL: Int32", "column 'LABEL' comes from the spine of late, where it is 'label' (case does not count), and from speed@1"),
    "contract without columns": (SOURCE, "contracts.Trips", "SourceContract", "has no columns"),
    "period of the name of a column": (SOURCE, "@source(", '@source(partition_by=("month(started)",), ', "partition_by month(started) is stored as started_month, which is also"),
    "entity of the time": (VIEW, '("car",))', '("car", "event_timestamp"))', "has key 'event_timestamp'"),
    # what cannot be imported
    "unknown argument": (MODEL, "seed=0", 'seed=0, trusted_=("x",)', "TypeError: model() got an unexpected keyword argument"),
    "unknown argument of a column": (CONTRACTS, "ge=0", "min=0", "TypeError: Field() got an unexpected keyword argument"),
    "argument left out": (VIEW, "ttl=timedelta(days=7), ", "", "TypeError: feature_view() missing 1 required keyword-only"),
    "no Python": (FRAME, "def late(trips):", "def late(trips:", "SyntaxError"),
    "unknown name": (SPLIT, '(complete(of="trips"),)', "(complet,)", "NameError: name 'complet' is not defined"),
    "unknown module": (SOURCE, "from .. import", "import nowhere_at_all\nfrom .. import", "ModuleNotFoundError: No module named"),
    "decorator without call": (SPLIT, "@split(", "@rule\ndef odd(t):\n    return t\n\n@split(", "TypeError: rule() takes 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_told(name: str, package: Package) -> None:
    """Once, with file and line of the package, and a remedy."""
    file, old, new, says = EDITS[name]
    if file == SPLIT:
        package.edit(SPLIT, "from ml_assets", "import ibis\nfrom ml_assets")
        package.edit(SPLIT, "import complete, split", "import complete, disjoint, label_rates, rule, shares, split")
    if name == "value in other case":
        package.edit(VIEW, "longest=", "LABEL=")
    if name == "contract without columns":
        package.edit(SOURCE, "PackageFile, source", "PackageFile, SourceContract, source")
    if name == "period of the name of a column":
        package.edit(CONTRACTS, "km: float", "started_month: float")
    package.edit(file, old, new)
    told = [error for error in package.mistakes() if says in error.problem]
    assert len(told) == 1, package.mistakes()
    assert re.match(rf"{package.name}/\w+(/\w+)?.py:\d+: ", told[0].problem)
    assert told[0].remedy


def test_kinds(package: Package) -> None:
    """A column that may be null is a contract mismatch, a name in other case a duplicate."""
    package.edit(SOURCE, 'known_from="started"', 'known_from="ended"')
    assert {type(error) for error in package.mistakes()} == {ContractMismatch}
    package.edit(SOURCE, 'known_from="ended"', 'known_from="started"')
    package.edit(VIEW, "longest=", "LABEL=")
    package.edit(CONTRACTS, "longest: Int32", "LABEL: Int32")
    assert {type(error) for error in package.mistakes()} == {DuplicateName}


def test_split_key_of_the_name_of_the_part(package: Package) -> None:
    """The index has one column of the name."""
    package.edit(CONTRACTS, 'trip: str = Field(description="Key")\n    car: str = Field(description="The car")\n    started',
                 'split: str = Field(description="Key")\n    car: str = Field(description="The car")\n    started')  # fmt: skip
    package.edit(CONTRACTS, 'unique = ("trip",)\n\nclass Speed', 'unique = ("split",)\n\nclass Speed')
    package.edit(SPLIT, 'key="trip"', 'key="split"')
    assert any("has key 'split', which is also the column" in error.problem for error in package.mistakes())


def test_lists_are_tuples(package: Package) -> None:
    """Whoever writes a list gets what a tuple gives."""
    package.edit(VIEW, '("car",))', '["car"])')
    package.edit(SPLIT, '(complete(of="trips"),)', '[complete(of="trips")]')
    package.edit(MODEL, '("car",)', '["car"]')
    loaded = package.load()
    assert loaded.models["late"].categories == ("car",)
    assert loaded.views["speed", 1].keys.keys == ("car",)
    assert isinstance(loaded.splits["hash-s42"].rules, tuple)


def test_names_of_any_alphabet(package: Package) -> None:
    """A value of a view may be chosen by its name, however that is composed in versions.py."""
    package.edit(VIEW, "longest=", "größe_7d=")
    package.edit(CONTRACTS, "longest: Int32", "größe_7d: Int32")
    for spelled in ("gr\u00f6\u00dfe_7d", "gro\u0308\u00dfe_7d"):
        package.write(
            VERSIONS, f'SPLIT_VERSIONS = ("hash-s42",)\nFEATURE_VERSIONS = {{"v1": ("speed@1[{spelled}]",)}}\n'
        )
        (ref,) = package.load().feature_versions["v1"]
        assert ref.columns == ("gr\u00f6\u00dfe_7d",)


def test_rules_of_a_source_are_built(package: Package) -> None:
    """As those of every other table, before anything runs."""
    package.edit(SOURCE, "@source(", "from ml_assets.lib.declare import rule\n\n@rule()\ndef odd(table):\n    "
                 '"""Odd."""\n    return table.filter(table.minuets > 1)\n\n@source(rules=(odd,), ')  # fmt: skip
    (error,) = package.mistakes()
    assert isinstance(error, DeclarationError)
    assert "sources/trips: rule 'odd'" in error.problem
    assert "minuets" in error.problem
