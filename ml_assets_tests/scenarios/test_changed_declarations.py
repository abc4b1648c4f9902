"""Someone edits declarations: what follows from the edit is computed, and nothing else is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.gate.records import output_prefixes
from ml_assets_tests.scenarios.test_demo import SPLITS
from ml_assets_tests.scenarios.user import User, edit

ROUTE_2 = '''

@feature_view(name="route", version=2, keys=entities.ROUTE, ttl=None, contract=contracts.Route, owner="team:flights")
def route_2(flights: ir.Table) -> ir.Table:
    """Distance between origin and destination, the shortest one that was flown."""
    distances = flights.group_by("origin", "dest").agg(distance=flights.distance.min())
    return distances.select("origin", "dest", ibis.timestamp(ALWAYS).name("event_timestamp"), "distance")
'''


@pytest.fixture
def defs(checkout: Path, tmp_path: Path) -> Path:
    """Declarations of a clone that this test may edit."""
    shutil.copytree(checkout, tmp_path / "clone")
    return tmp_path / "clone" / "ml_assets" / "defs"


@pytest.fixture
def editor(apart: User, defs: Path) -> User:
    """Who works in that clone and publishes to a branch of their own."""
    return replace(apart, project=defs.parents[1])


def touched(user: User) -> set[str]:
    """Units that differ between ``main`` and the user's target, by their data or their record."""
    published = {Unit.parse(name) for name in user.published()}
    found = set()
    for row in user.lake.diff(Branch("main"), user.target, base="left"):
        owners = [
            str(unit)
            for unit in published
            if row.path == unit.publication_path or row.path.startswith(output_prefixes(unit))
        ]
        assert len(owners) == 1, f"{row.path} belongs to {owners}"
        found.add(owners[0])
    return found


def planned(user: User) -> dict[str, str]:
    """What ``check`` says would be done, by unit."""
    lines = [line.split(maxsplit=1) for line in user.runs("check").out.splitlines() if "/" in line.split()[0]]
    return {unit: reason for unit, reason in lines if reason != "up to date"}


def test_a_new_view_version_and_a_new_feature_version(editor: User, defs: Path) -> None:
    """`route@2` in `v4`: the view, three frames and three models are made; splits and all that was there stay."""
    with (defs / "features/route.py").open("a") as file:
        file.write(ROUTE_2)
    edit(defs / "versions.py", '    "v3": (', '    "v4": ("schedule@1", "route@2", "plane@1"),\n    "v3": (')
    new = {"features/route@2", *(f"{kind}/late_arrival@{s}__v4" for kind in ("frames", "models") for s in SPLITS)}
    assert planned(editor).keys() == new
    versions = len(editor.versions)

    results = editor.runs("materialize", "--changed").results()

    published = {asset for asset, outcome in results.items() if outcome == "published"}
    both = {(f"{kind}/late_arrival", f"v4|{split}") for kind in ("frames", "models") for split in SPLITS}
    assert published == {("features/route", "v4"), *both}
    assert set(results.values()) == {"published", "unchanged"}
    assert touched(editor) == new
    assert planned(editor) == {}
    assert {v.tags["features/version"] for v in editor.versions[versions:]} == {"v4"}
    head = editor.head
    assert editor.runs("materialize", "--changed").results().keys() == results.keys()
    assert editor.head == head


def test_a_definition_changed_in_place_is_an_error(user: User, defs: Path) -> None:
    """Another meaning of `route@1` is told by `check` and refused at materialization, with the remedy."""
    editor = replace(user, project=defs.parents[1])
    edit(defs / "features/route.py", "flights.distance.max()", "flights.distance.min()")
    head = user.head
    for words in (["check"], ["materialize", "features/route", "--features", "v1"], ["materialize", "--changed"]):
        done = editor.runs(*words, code=1)
        assert "route@1" in done.err
        assert "version=2" in done.err
    assert user.head == head


def test_a_definition_changed_in_place_is_found_without_the_lock(user: User, defs: Path) -> None:
    """Two people may each have locked another `route@1`: the lake's own record tells."""
    editor = replace(user, project=defs.parents[1])
    edit(defs / "features/route.py", "flights.distance.max()", "flights.distance.min()")
    (defs / "versions.lock").unlink()
    head = user.head
    done = editor.runs("materialize", "--changed", "features", code=1)
    assert "route@1" in done.err
    assert user.head == head


def test_a_tightened_contract_is_judged_anew(editor: User, defs: Path) -> None:
    """The view and the frames that hold its values are audited again; nothing is computed, no model is trained."""
    edit(defs / "contracts/route.py", "le=12500", "le=9000")
    frames = {f"frames/late_arrival@{split}__{features}" for split in SPLITS for features in ("v1", "v2", "v3")}
    assert set(planned(editor).values()) == {"rules changed: judged again, not recomputed (contract of distance)"}
    assert planned(editor).keys() == {"features/route@1", *frames}
    before, versions = editor.published(), len(editor.versions)

    results = editor.runs("materialize", "--changed").results()

    assert set(results.values()) == {"judged anew", "unchanged"}
    after = editor.published()
    assert {unit for unit in after if after[unit] != before[unit]} == {"features/route@1", *frames}
    assert [after[unit].outputs for unit in after] == [before[unit].outputs for unit in after]
    assert len(editor.versions) == versions
    assert planned(editor) == {}


def test_a_contract_that_the_data_break_is_refused(editor: User, defs: Path) -> None:
    """The old publication stays, with the verdict that it had."""
    edit(defs / "contracts/route.py", "le=12500", "le=1000")
    head = editor.lake.head(Branch("main"))
    done = editor.runs("materialize", "--changed", "features", code=1)
    assert done.results()["features/route", "v1"] == "refused"
    assert "distance" in done.err
    assert editor.head == head
    assert "refused" in editor.runs("branches").out


def test_a_changed_frame_takes_its_models_with_it(editor: User, defs: Path) -> None:
    """Asked three hours ahead instead of two: frame and model are made anew in one go, tables stay."""
    edit(defs / "frames/late_arrival.py", "HOURS_AHEAD = 2", "HOURS_AHEAD = 3")
    results = editor.runs("materialize", "--changed", "--split", "hash-s42", "--features", "v3").results()
    made = {asset: outcome for asset, outcome in results.items() if outcome != "unchanged"}
    assert made == {(f"{kind}/late_arrival", "v3|hash-s42"): "published" for kind in ("frames", "models")}
    assert touched(editor) == {f"{kind}/late_arrival@hash-s42__v3" for kind in ("frames", "models")}


def test_a_moved_parameter_trains_models_anew(editor: User) -> None:
    """A declared parameter set for one run makes another recipe: the model is trained, the frame is not touched."""
    words = ("models/late_arrival", "--split", "hash-s42", "--features", "v1", "--param", "max_iter=20")
    done = editor.runs("materialize", *words)
    assert set(done.results().values()) == {"published"}
    assert touched(editor) == {"models/late_arrival@hash-s42__v1"}
    assert editor.tracking.client.get_run(editor.versions[-1].run_id).data.params["model/max_iter"] == "20"
    again = editor.runs("materialize", "--changed", *words)
    assert set(again.results().values()) == {"unchanged"}
