"""Branches that stayed: which there are, why, and which of them may go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.lib.core.names import keep_branch
from ml_assets.lib.core.process import Process
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.gate import branches
from ml_assets.lib.gate.branches import (
    ABANDONED,
    ELSEWHERE,
    KEEP,
    LIVE,
    MLFLOW_RUN,
    REFUSED,
    RunBranch,
    list_branches,
)
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import Refused, Unchanged
from ml_assets_tests.gate.children import Child, DieAt, Job
from ml_assets_tests.gate.test_refusals import duplicate_keys
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    VIEW,
    Place,
    World,
    build,
    changed,
    declarations,
    mlflow_runs,
    new_run,
    trips,
    write_trips,
)
from ml_assets_tests.lakes import LakeEndpoint


@pytest.fixture(scope="module")
def own_world(lake_endpoint: LakeEndpoint, distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A lake of this module's own: its branches are listed as a whole."""
    return build(lake_endpoint, tmp_path_factory.mktemp("own"), distribution)


@pytest.fixture
def place(own_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place in that lake, in which no run branch is left by others."""
    monkeypatch.setattr(branches, "_BIRTH_S", 0.0)
    place = own_world.place(tmp_path / "home")
    yield place
    for info in (*place.lake.branches("run-"), *place.lake.branches("test-")):
        place.lake.drop(info.branch)


def listed(place: Place, *, prune: bool = False, days: float = 7) -> dict[str, RunBranch]:
    """What `list_branches` tells, by name."""
    found = list_branches(place.new_machinery(), prune=prune, older_than=timedelta(days=days))
    return {branch.name: branch for branch in found}


def left(place: Place) -> set[str]:
    """The run branches that there are."""
    return {info.name for info in place.lake.branches("run-")}


def test_nothing_is_left_of_what_was_published(place: Place) -> None:
    """A lake in which all went well has no run branches, and pruning it changes nothing."""
    before = {info.name for info in place.lake.branches(hidden=True)}
    assert {} == listed(place, prune=True)
    assert before == {info.name for info in place.lake.branches(hidden=True)}


@pytest.mark.parametrize("step", [Step.BRANCH, Step.WRITE, Step.VERDICT])
def test_abandoned(place: Place, step: Step) -> None:
    """A branch whose process has died is abandoned, tells how far it came, and goes when pruned."""
    run = new_run()
    Child(Job(place, [CARS], run=run, die_after=step)).death()
    (name,) = place.left_by(run)
    found = listed(place)[name]
    assert (ABANDONED, str(CARS), False) == (found.state, found.unit, found.dropped)
    said = {Step.BRANCH: "begin", Step.WRITE: "data of", Step.VERDICT: "verdict on"}[step]
    assert found.reason.endswith(f"ended after: {said} {CARS}")
    assert {name} == left(place)
    assert listed(place, prune=True)[name].dropped
    assert set() == left(place)


def test_died_before_its_first_commit(place: Place) -> None:
    """A branch that was made and says nothing of its owner is abandoned too."""
    run = new_run()
    Child(Job(place, [CARS], run=run, die_at=DieAt("ml_assets.lib.lake.client:Lake.commit", "before"))).death()
    (name,) = place.left_by(run)
    assert (ABANDONED, "died before its first commit") == (listed(place)[name].state, listed(place)[name].reason)
    listed(place, prune=True)
    assert set() == left(place)


def test_live(place: Place) -> None:
    """A branch on which a process is at work is never dropped; once that is gone it is."""
    run = new_run()
    child = Child(Job(place, [CARS], run=run, sleep_after=Step.WRITE))
    while not any(place.lake.info(info.commit).message.startswith("data") for info in place.lake.branches("run-")):
        time.sleep(0.05)
    found = listed(place, prune=True, days=0)
    assert [(LIVE, False)] == [(branch.state, branch.dropped) for branch in found.values()]
    assert f"pid {child.pid} on" in next(iter(found.values())).reason
    child.kill()
    assert [(ABANDONED, True)] == [(b.state, b.dropped) for b in listed(place, prune=True).values()]


def test_process_id_that_was_used_again(place: Place) -> None:
    """A process of the same id that began later is not the owner."""
    here = Process.here()
    begin(place, "run-aaaaaaaa-1-x-000000", replace(here, started=here.started - 3600))
    assert ABANDONED == listed(place)["run-aaaaaaaa-1-x-000000"].state


def test_on_another_host(place: Place) -> None:
    """Nobody can tell from here whether a process on another machine lives: its branch stays."""
    begin(place, "run-bbbbbbbb-1-x-000000", Process("elsewhere", 1, 0.0))
    found = listed(place, prune=True, days=0)["run-bbbbbbbb-1-x-000000"]
    assert (ELSEWHERE, False) == (found.state, found.dropped)


def begin(place: Place, name: str, owner: Process) -> None:
    """Make a run branch as its *owner* would."""
    branch = Branch(name)
    place.lake.branch(branch, place.head)
    metadata = {**owner.as_text(), "unit": str(CARS), "run": "r"}
    place.lake.commit(branch, f"begin {CARS}", metadata, allow_empty=True)


def test_branch_of_a_person(place: Place) -> None:
    """A branch that only happens to begin like a run's is none of ours."""
    place.lake.branch(Branch("run-home"), place.head)
    place.lake.branch(Branch("run-2020-trial"), place.head)
    place.lake.put(Branch("run-2020-trial"), "x", b"x")
    place.lake.commit(Branch("run-2020-trial"), "mine", {})
    assert {} == listed(place, prune=True)
    assert {"run-home", "run-2020-trial"} == left(place)


def test_refused(place: Place, tmp_path: Path) -> None:
    """A refused branch tells what failed, and by how much; it is kept until it is old."""
    outcome = place.materialize(SOURCE, path=write_trips(tmp_path / "poison.csv", duplicate_keys(trips())))
    assert isinstance(outcome, Refused)
    found = listed(place, prune=True)[outcome.branch.name]
    assert (REFUSED, "contract: unique(trip) (7)", False) == (found.state, found.reason, found.dropped)
    assert listed(place, prune=True, days=0)[outcome.branch.name].dropped
    assert set() == left(place)


def test_published_and_not_settled(place: Place) -> None:
    """A branch that landed and was not dropped is dropped by the next run, or by pruning."""
    for repair in (lambda: place.materialize(CARS), lambda: listed(place, prune=True)):
        place.lake.drop(place.target)
        place.lake.branch(place.target, Branch("main"))
        Child(Job(place, [CARS], die_after=Step.PUBLISH)).death()
        assert 1 == len(left(place))
        repair()
        assert set() == left(place)
        assert isinstance(place.materialize(CARS), Unchanged)


def test_prune_ends_the_runs_of_dead_processes_in_mlflow(place: Place) -> None:
    """What a killed attempt left in MLflow ends as KILLED; published runs stay."""
    run = new_run()
    options = {"recompute": True}
    Child(Job(place, [MODEL], run=run, die_after=Step.WRITE, options=options)).death()
    (dead,) = (run for run, (_, version) in mlflow_runs(place).items() if version is None)
    found = listed(place, prune=True)
    assert (MLFLOW_RUN, str(MODEL)) == (found[dead].state, found[dead].unit)
    assert ["FINISHED", "KILLED"] == sorted(state for state, _ in mlflow_runs(place).values())
    assert dead not in listed(place, prune=True)


# Keeps


def keeps(place: Place) -> set[str]:
    """The keep branches that there are."""
    return {info.name for info in place.lake.branches("keep-", hidden=True)}


def new_frame(place: Place, count: int) -> str:
    """Publish source, split, view and frame over more trips: the name of the frame's keep."""
    place.materialize(SOURCE, path=write_trips(place.home / f"{count}.csv", trips(TRIPS + count)))
    for unit in (SPLIT, VIEW, FRAME):
        place.materialize(unit)
    return keep_branch(place.publication(FRAME).pin).name


def test_keep_of_a_published_frame_stays(place: Place) -> None:
    """What a published frame is read at is kept, on whatever target it is published."""
    keep = new_frame(place, 20)
    listed(place.with_target("test-other"), prune=True)
    assert keep in keeps(place)


def test_keep_of_a_superseded_frame_goes(place: Place) -> None:
    """Once nothing names a commit, its keep is released."""
    first, second = new_frame(place, 20), new_frame(place, 40)
    found = listed(place, prune=True)
    assert (KEEP, True) == (found[first].state, found[first].dropped)
    assert second in keeps(place)
    assert first not in keeps(place)


def test_keeps_stay_while_a_publication_cannot_be_read(place: Place) -> None:
    """Somebody's branch may need any of them: that is said, and the rest is pruned all the same."""
    first = new_frame(place, 20)
    new_frame(place, 40)
    other = place.with_target(f"{place.target}-later")
    other.lake.put(other.target, "_publications/x", b"")
    other.lake.commit(other.target, "whatever", {})
    try:
        told = [row for row in listed(place, prune=True).values() if row.state == KEEP]
        assert ["_publications/x" in row.reason for row in told] == [True]
        assert first in keeps(place)
    finally:
        other.lake.drop(other.target)
    assert listed(place, prune=True)[first].dropped


def test_keep_of_a_registered_model_stays(place: Place) -> None:
    """The data of a registered model are kept, although its frame has been superseded, and not declared any more."""
    first = new_frame(place, 20)
    place.materialize(MODEL)
    new_frame(place, 40)
    machinery = place.new_machinery(changed(models={}, frames={}))
    assert first not in {branch.name for branch in list_branches(machinery, prune=True)}
    assert first in keeps(place)


def test_keeps_of_stale_inputs_stay(place: Place) -> None:
    """A frame that allowed stale inputs keeps the commits at which these were made, too."""
    before = {keep_branch(place.publication(unit).pin).name for unit in (SPLIT, VIEW)}
    place.materialize(SOURCE, path=write_trips(place.home / "more.csv", trips(TRIPS + 20)))
    frames = {"late": replace(declarations().frames["late"], allow_stale=True)}
    place.materialize(FRAME, machinery=place.new_machinery(changed(frames=frames)))
    assert before <= keeps(place)
    listed(place, prune=True)
    assert before <= keeps(place)
