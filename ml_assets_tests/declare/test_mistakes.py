"""Each mistake in what people write is told with file, line, name and remedy."""

from __future__ import annotations

import re

import pytest

from ml_assets.lib.core.errors import (
    ContractMismatch,
    DeclarationError,
    DuplicateName,
    NotIdentifiable,
)
from ml_assets_tests.declare.mistakes import CASES, FRAME, PRELUDE, SPLIT, VIEW
from ml_assets_tests.declare.packages import Package


def test_the_package_is_lawful(package: Package) -> None:
    """Without an edit nothing is told."""
    loaded = package.load()
    assert [decl.name for decl in loaded] == ["trips", "trips", "speed", "late", "late"]


@pytest.mark.parametrize("name", CASES)
def test_mistake(name: str, package: Package) -> None:
    """One mistake, one error: it begins with file and line, names what is wrong, and ends with the remedy."""
    case = CASES[name]
    if case.file in {VIEW, SPLIT, FRAME}:
        package.write(case.file, PRELUDE + (package.folder / case.file).read_text())
    package.edit(case.file, case.old, case.new)
    told = package.mistakes()
    of_this = [error for error in told if re.search(case.says, error.problem)]
    assert len(of_this) == 1, told
    assert type(of_this[0]) is case.kind
    assert re.search(case.remedy, of_this[0].remedy), of_this
    assert re.match(rf"{package.name}/{case.told_at or case.file}:\d+: ", of_this[0].problem), of_this


def test_key_missing_in_the_contract(package: Package) -> None:
    """A view's contract spells the keys of its entity."""
    package.edit("contracts/__init__.py", 'unique = ("car", "event_timestamp")', 'unique = ("event_timestamp",)')
    package.edit("features/speed.py", 'Entity("car", ("car",))', 'Entity("bus", ("bus",))')
    problems = [str(error) for error in package.mistakes()]
    assert any(re.search(r"Speed \(.*:\d+\) has no column 'bus'; add the column", problem) for problem in problems)


def test_illegal_partition_keys(package: Package) -> None:
    """What Dagster or a path would split a key at is refused in both kinds of version."""
    for version in ("a|b", "a[b", "a]b", "a,b", "a...b", "a__b", "a/b", ""):
        package.write(
            "versions.py", f'SPLIT_VERSIONS = ("hash-s42",)\nFEATURE_VERSIONS = {{{version!r}: ("speed@1",)}}\n'
        )
        with pytest.raises(DeclarationError, match=re.escape(f"feature version {version!r} cannot be a partition key")):
            package.load()
        package.write("versions.py", f'SPLIT_VERSIONS = ("hash-s42", {version!r})\nFEATURE_VERSIONS = {{}}\n')
        with pytest.raises(DeclarationError, match=re.escape(f"split version {version!r} cannot be a partition key")):
            package.load()


def test_values_of_one_name(package: Package) -> None:
    """Two views of a feature version may not bring the same column, unless the columns are chosen."""
    package.add(
        "features/speed.py",
        """
        @feature_view(version=1, keys=CAR, ttl=None, contract=contracts.Speed)
        def pace(trips):
            \"""Again.\"""
            return speed(trips)
    """,
    )
    package.edit("versions.py", '("speed@1",)', '("speed@1", "pace@1")')
    with pytest.raises(DuplicateName, match=r"'v1' column 'longest' comes from speed@1 .* and from pace@1"):
        package.load()


def test_value_of_the_name_of_a_spine_column(package: Package) -> None:
    """A value may not be called as a column of the spine is."""
    package.edit("features/speed.py", "longest=", "label=")
    package.edit("contracts/__init__.py", "longest: Int32", "label: Int32")
    with pytest.raises(DuplicateName, match=r"column 'label' comes from the spine of late and from speed@1"):
        package.load()


def test_two_split_versions_of_one_table(package: Package) -> None:
    """Versions that a table name cannot tell apart are refused even where one of them is not listed."""
    package.add(
        "splits/trips.py",
        """
        @split("hash_s42", of="trips", key="trip")
        def other(trips):
            \"""Other.\"""
            return hash_s42(trips)
    """,
    )
    with pytest.raises(DuplicateName, match=r"stored as splits.trips__hash_s42, as splits/trips"):
        package.load()


def told(package: Package, says: str) -> DeclarationError:
    """The one error whose problem matches *says*."""
    (error,) = (error for error in package.mistakes() if re.search(says, error.problem))
    return error


def test_two_datasets_of_one_name(package: Package) -> None:
    """Both places are told."""
    package.add(
        "frames/late.py",
        """
        @frame(name="late", split="trips", contract=contracts.LateFrame)
        def other(trips):
            \"""Other.\"""
            return late(trips)
    """,
    )
    error = told(package, r"frames/late.py:\d+: frames/late is declared a second time, first at .*late.py:5")
    assert isinstance(error, DuplicateName)


def test_folder_of_another_stage(package: Package) -> None:
    """The file tree and the graph say the same, so a split lies with the splits."""
    package.add(
        "frames/late.py",
        """
        from ml_assets.lib.declare import split

        @split("time", of="trips", key="trip")
        def time(trips):
            \"""By nothing.\"""
            return trips.select("trip", split=trips.car)
    """,
    )
    assert told(package, r"splits/trips@time is not written in its stage's folder").remedy == "move it to splits/"


def test_frame_unique_in_another_column(package: Package) -> None:
    """A frame has one row per key of its split."""
    text = (package.folder / "contracts/__init__.py").read_text()
    at = text.rindex('("trip",)')
    package.write("contracts/__init__.py", f'{text[:at]}("car",){text[at + 9 :]}')
    error = told(package, r"frames/late: LateFrame .* is unique in \(car\), its split's key is \(trip\)")
    assert isinstance(error, ContractMismatch)


def test_mistakes_are_told_together(package: Package) -> None:
    """Whoever made several mistakes sees all of them at once."""
    package.edit("models/late.py", 'frame="late"', 'frame="early"')
    package.edit("features/speed.py", "speed(trips):", "speed(rides):")
    with pytest.raises(DeclarationError) as caught:
        package.load()
    assert re.search(r"2 mistakes in .*1\. .*'rides'.*2\. .*'early'", str(caught.value), re.DOTALL)


def test_opting_out_of_determinism(package: Package) -> None:
    """``deterministic=False`` lets a float sum pass, and the definition says so."""
    package.edit("features/speed.py", "known.minutes.max()", 'known.km.mean().cast("int32")')
    package.edit("features/speed.py", "version=1,", "version=1, deterministic=False,")
    loaded = package.load()
    assert not loaded.definition(loaded.views["speed", 1]).deterministic


def test_rule_may_not_hide_code(package: Package) -> None:
    """A rule with a UDF has no identity, so a changed rule could not be told from an unchanged one."""
    package.write("splits/trips.py", PRELUDE + (package.folder / "splits/trips.py").read_text())
    package.add("splits/trips.py", "")
    package.edit("splits/trips.py", 'rules=(complete(of="trips"),)', "rules=(odd,)")
    package.edit(
        "splits/trips.py",
        "@split(",
        '''from ml_assets.lib.declare import rule

@rule()
def odd(table):
    """Nothing is odd."""
    return table.filter(twice(table.trip.length()) > 2)

@split(''',
    )
    with pytest.raises(NotIdentifiable, match=r"splits/trips@hash-s42: rule 'odd'.*function of its own"):
        package.load()
