"""Names that the project makes up: each can be read back, is lawful where it is used, and means one thing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.core.errors import BadRef
from ml_assets.lib.core.names import (
    CURRENT,
    PUBLICATIONS,
    STAGES,
    Unit,
    features_tag,
    identifier,
    keep_branch,
    model_tag,
    run_branch_prefix,
)
from ml_assets.lib.core.refs import Commit
from ml_assets_tests.core.test_publication import commits, names, units, versions

LAKEFS_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
ICEBERG_TABLE = re.compile(r"[a-z]+\.\w+", re.ASCII)


@given(units)
def test_unit_comes_back(unit: Unit) -> None:
    """A unit is read from its own text; `current` is not written."""
    assert unit == Unit.parse(str(unit))
    assert (CURRENT == unit.version) == ("@" not in str(unit))


@given(st.text() | st.builds("{}/{}@{}".format, st.sampled_from(STAGES), st.text(), st.text()))
def test_parsed_or_refused(text: str) -> None:
    """Any text is a unit that says the same, or is refused."""
    try:
        unit = Unit.parse(text)
    except BadRef:
        return
    assert unit == Unit.parse(str(unit))
    assert str(unit) == text.removesuffix("@").removesuffix(f"@{CURRENT}")


@pytest.mark.parametrize(
    "text", ["", "flights", "raw/flights", "sources/Flights", "sources/", "sources/a/b", "splits/a@-x"]
)
def test_no_unit(text: str) -> None:
    """What is not spelled as a unit is refused, with how to spell one."""
    with pytest.raises(BadRef, match="write <stage>/<name>@<version>"):
        Unit.parse(text)


@given(units)
def test_paths_and_tables(unit: Unit) -> None:
    """Table names are lawful in Iceberg; everything of a unit lies where its stage and name say."""
    assert ICEBERG_TABLE.fullmatch(unit.table)
    assert unit.table_path.endswith(f"{unit.table.replace('.', '/')}/")
    assert f"{PUBLICATIONS}{unit.stage}/{unit.name}/{unit.version}.json" == unit.publication_path
    assert unit.publication_path.endswith(unit.object_path)


@pytest.mark.parametrize(
    ("unit", "table"),
    [
        (Unit("sources", "flights"), "sources.flights"),
        (Unit("splits", "flights", "hash-s42"), "splits.flights__hash_s42"),
        (Unit("features", "route", "1"), "features.route_v1"),
    ],
)
def test_tables(unit: Unit, table: str) -> None:
    """The table of each kind of unit, as people know it."""
    assert table == unit.table


@given(st.text(min_size=1), st.integers(1, 10_000), units)
def test_run_branch(run_id: str, attempt: int, unit: Unit) -> None:
    """Whatever a run is called, its branches are lawful in lakeFS and begin as those of the run do."""
    branch = unit.run_branch(run_id, attempt).name
    assert LAKEFS_BRANCH.fullmatch(branch)
    assert branch.startswith(run_branch_prefix(run_id))
    assert branch.endswith(f"-{unit.slug}")
    assert str(attempt) == branch.removeprefix(run_branch_prefix(run_id)).partition("-")[0]


@given(units, units)
def test_slugs_differ(one: Unit, other: Unit) -> None:
    """Two units never share a slug, nor does one end in another's: branches of a unit are found by it."""
    assert one == other or not one.slug.endswith(other.slug)


def test_slugs_of_names_that_look_alike() -> None:
    """Versions that differ only where a branch name does not are told apart by the hash."""
    alike = [Unit("splits", "a", version) for version in ("b-c", "b_c", "b--c", "b__c")]
    assert len(alike) == len({unit.slug for unit in alike})
    assert 2 == len({unit.slug[:-6] for unit in alike})


@given(versions, versions)
def test_both_versions(split_version: str, feature_version: str) -> None:
    """A frame's two versions are read back, as long as neither has the joint in it: declarations refuse that."""
    if "__" in split_version + feature_version or split_version.endswith("_") or feature_version.startswith("_"):
        return
    assert (split_version, feature_version) == Unit.of_both("frames", "f", split_version, feature_version).both


@given(names, st.integers(1, 9999), st.text("0123456789abcdef", min_size=32, max_size=32), versions, commits)
def test_tags(model: str, number: int, run: str, feature_version: str, commit: Commit) -> None:
    """Tags are lawful: making one checks it."""
    assert f"{model}-v{number}-{run[:8]}-data" == model_tag(model, number, run).name
    assert f"features-{feature_version}-{commit.id[:8]}" == features_tag(feature_version, commit).name


@given(commits)
def test_keep_branch(commit: Commit) -> None:
    """A keep is named after its commit."""
    assert LAKEFS_BRANCH.fullmatch(keep_branch(commit).name)
    assert f"keep-{commit.id[:16]}" == keep_branch(commit).name


@given(st.text())
def test_identifier(text: str) -> None:
    """Any text becomes one of the same length that a table name can hold; doing it twice changes nothing."""
    assert re.fullmatch(r"\w*", identifier(text), re.ASCII)
    assert len(text) == len(identifier(text))
    assert identifier(text) == identifier(identifier(text))
