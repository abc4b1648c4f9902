"""Others publish at the same time: nothing is lost, nothing is published twice, what is judged is what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lakefs_sdk
import pytest
from tenacity import wait_none

from ml_assets.lib.core.errors import (
    LakeUnavailable,
    LostCommit,
    RefNotFound,
    SilentConflict,
    TargetDirty,
    TooManyTries,
)
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.declare import Declarations
from ml_assets.lib.gate import attempts
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Outcome, Published, Unchanged
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.children import Child, Job
from ml_assets_tests.gate.test_again import Tight
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    JUNE,
    LOG,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    UNITS,
    VIEW,
    Place,
    changed,
    declarations,
    mlflow_runs,
    new_run,
    trips,
    write_trips,
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts begin again without a pause."""
    monkeypatch.setattr(attempts, "wait_random_exponential", lambda **_options: wait_none())


def history(place: Place) -> list[str]:
    """Messages of the commits on the target, newest first."""
    return [info.message for info in place.lake.log(place.head)]


def publishes(place: Place, unit: Unit) -> int:
    """How often *unit* was merged into the target."""
    return history(place).count(f"publish {unit}")


# Two processes


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_same_unit_at_once(place_before: Callable[[Unit], Place], unit: Unit) -> None:
    """Two processes materialize the same unit at once: it is published once, and both know it."""
    place = place_before(unit)
    runs = new_run(), new_run()
    children = [Child(Job(place, [unit], run=run), hold=True) for run in runs]
    for child in children:
        child.go()
    outcomes = [child.result() for child in children]
    assert {Published, Unchanged} >= {type(outcome) for outcome in outcomes}
    assert any(isinstance(outcome, Published) for outcome in outcomes)
    assert 1 == publishes(place, unit)
    assert [] == place.left_by(*runs)
    place.check_whole()
    assert isinstance(place.materialize(unit), Unchanged)
    if unit == MODEL:
        (version,) = registry.versions_by(place.machinery.tracking, "late")
        published = place.publication(MODEL).extra["mlflow"]["run"]
        assert published == version.run_id
        assert {"FINISHED"} == {state for run, (state, _) in mlflow_runs(place).items() if run == published}
        assert {"KILLED"} >= {state for run, (state, _) in mlflow_runs(place).items() if run != published}


def test_same_unit_on_two_machines(place_before: Callable[[Unit], Place], tmp_path: Path) -> None:
    """The same without a file lock between them: correctness does not rest on it."""
    place = place_before(VIEW)
    other = replace(place, home=tmp_path / "other machine", _kept={})
    children = [Child(Job(where, [VIEW]), hold=True) for where in (place, other)]
    for child in children:
        child.go()
    assert any(isinstance(child.result(), Published) for child in children)
    assert 1 == publishes(place, VIEW)
    place.check_whole()


def test_different_units_at_once(place_before: Callable[[Unit], Place]) -> None:
    """Four processes publish four units onto one target at once: all of them are there."""
    place = place_before(SPLIT)
    children = [Child(Job(place, [unit]), hold=True) for unit in (SPLIT, JUNE, VIEW, CARS)]
    for child in children:
        child.go()
    assert all(isinstance(child.result(), Published) for child in children)
    assert {SOURCE, LOG, SPLIT, JUNE, VIEW, CARS} == place.published().keys()
    assert [1, 1, 1, 1] == [publishes(place, unit) for unit in (SPLIT, JUNE, VIEW, CARS)]
    place.check_whole()


# Another one lands at a chosen moment


class Meanwhile:
    """A machinery in which something happens at a chosen moment of a materialization, as often as it comes.

    Args:
        place: Where.
        happens: What happens; told how often the moment has come, from 1.
        before: A call of the lake before which it happens.
        after: Or a step after which it does.
    """

    def __init__(
        self,
        place: Place,
        happens: Callable[[int], object],
        *,
        before: str | None = None,
        after: Step | None = None,
        declared: Declarations | None = None,
    ) -> None:
        self.times = 0

        def moment() -> None:
            self.times += 1
            happens(self.times)

        def observe(step: Step, _unit: Unit) -> None:
            if step == after:
                moment()

        self.machinery = place.new_machinery(declared, observe)
        if before is not None:
            lake = self.machinery.lake
            call = getattr(lake, before)

            def heralded(*args: Any, **kwargs: Any) -> Any:
                moment()
                return call(*args, **kwargs)

            setattr(lake, before, heralded)


def elsewhere(place: Place, declared: Declarations | None = None) -> Machinery:
    """A machinery on another machine, which does not wait for this one's file lock."""
    state = place.home / "elsewhere"
    state.mkdir(exist_ok=True)
    return replace(place.new_machinery(declared), state=state)


def once(happens: Callable[[], object]) -> Callable[[int], object]:
    """*happens*, the first time only."""
    return lambda times: happens() if times == 1 else None


def more_trips(place: Place, count: int) -> Outcome:
    """Publish the source with some more trips, from elsewhere."""
    file = write_trips(place.home / "elsewhere" / f"trips-{count}.csv", trips(TRIPS + count))
    return place.materialize(SOURCE, machinery=elsewhere(place), path=file)


MOMENTS = [{"after": Step.WRITE}, {"after": Step.VERDICT}, {"before": "merge"}]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_another_unit_lands(place_before: Callable[[Unit], Place], moment: dict[str, Any]) -> None:
    """Another unit that lands while this one is made, checked or merged does not matter."""
    place = place_before(VIEW)
    meanwhile = Meanwhile(place, once(lambda: place.materialize(CARS, machinery=elsewhere(place))), **moment)
    outcome = place.materialize(VIEW, machinery=meanwhile.machinery)
    assert isinstance(outcome, Published)
    assert 1 == outcome.publication.run["attempt"]
    assert [f"publish {VIEW}", f"publish {CARS}"] == history(place)[:2]
    place.check_whole()


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_an_input_lands(place_before: Callable[[Unit], Place], moment: dict[str, Any]) -> None:
    """An input that lands before or even during the merge: the unit is made anew from it and published over."""
    place, run = place_before(VIEW), new_run()
    meanwhile = Meanwhile(place, once(lambda: more_trips(place, 20)), **moment)
    outcome = place.materialize(VIEW, machinery=meanwhile.machinery, run=run)
    assert isinstance(outcome, Published)
    assert 2 == outcome.publication.run["attempt"]
    assert place.publication(SOURCE).digest == outcome.publication.inputs["trips"].digest
    assert (2 if "before" in moment else 1) == publishes(place, VIEW)
    assert [] == place.left_by(run)
    assert isinstance(place.materialize(VIEW), Unchanged)
    place.check_whole()


def test_an_input_lands_under_a_model(place: Place) -> None:
    """A model that landed on a frame that had moved on was published: it gets its version before the next."""
    model = replace(declarations().models["late"], seed=5)

    def new_frame() -> None:
        more_trips(place, 20)
        for unit in (SPLIT, VIEW, FRAME):
            place.materialize(unit, machinery=elsewhere(place))

    meanwhile = Meanwhile(place, once(new_frame), before="merge", declared=changed(models={"late": model}))
    outcome = place.materialize(MODEL, machinery=meanwhile.machinery)
    assert isinstance(outcome, Published)
    runs = mlflow_runs(place)
    versions = registry.versions_by(place.machinery.tracking, "late")
    assert [("FINISHED", f"late/{number}") for number in (1, 2, 3)] == sorted(runs.values(), key=str)
    assert set(runs) == {version.run_id for version in versions}
    assert "3" == outcome.settled["model_version"]
    place.check_whole()


def test_inputs_that_never_rest(place_before: Callable[[Unit], Place]) -> None:
    """If an input moves at every try the run gives up; what landed is stale, the next run publishes over it."""
    place = place_before(VIEW)
    meanwhile = Meanwhile(place, lambda times: more_trips(place, times), before="merge")
    with pytest.raises(TooManyTries, match=f"{VIEW} .* in 5 tries: input trips .* was published anew meanwhile"):
        place.materialize(VIEW, machinery=meanwhile.machinery)
    assert 5 == meanwhile.times
    assert isinstance(place.materialize(VIEW), Published)
    place.check_whole()


@pytest.mark.parametrize("moment", [*MOMENTS, {"after": Step.CHECK}], ids=str)
def test_the_same_unit_lands(place_before: Callable[[Unit], Place], moment: dict[str, Any]) -> None:
    """Who loses the race for a unit finds it published, and leaves no branch behind."""
    place, run = place_before(VIEW), new_run()
    meanwhile = Meanwhile(place, once(lambda: place.materialize(VIEW, machinery=elsewhere(place))), **moment)
    assert isinstance(place.materialize(VIEW, machinery=meanwhile.machinery, run=run), Unchanged)
    assert 1 == publishes(place, VIEW)
    assert [] == place.left_by(run)
    place.check_whole()


@pytest.mark.parametrize("moment", [{"after": Step.VERDICT}, {"before": "merge"}], ids=str)
def test_the_same_unit_lands_by_other_rules(place_before: Callable[[Unit], Place], moment: dict[str, Any]) -> None:
    """Who loses to somebody with other rules judges the winner's rows by its own."""
    place = place_before(VIEW)
    declared = declarations()
    tight = changed(views={**declared.views, ("longest", 1): replace(declared.views["longest", 1], contract=Tight)})
    meanwhile = Meanwhile(place, once(lambda: place.materialize(VIEW, machinery=elsewhere(place, tight))), **moment)
    outcome = place.materialize(VIEW, machinery=meanwhile.machinery)
    assert isinstance(outcome, Published)
    assert not outcome.recomputed
    assert 2 == publishes(place, VIEW)
    assert isinstance(place.materialize(VIEW), Unchanged)
    place.check_whole()


def test_landed_and_superseded(place_before: Callable[[Unit], Place]) -> None:
    """The merge's answer is lost, and before it is looked for somebody publishes the unit over it."""
    place = place_before(VIEW)
    declared = declarations()
    tight = changed(views={**declared.views, ("longest", 1): replace(declared.views["longest", 1], contract=Tight)})
    machinery = place.new_machinery()
    merge = machinery.lake.merge

    def superseded(*args: Any, **kwargs: Any) -> Any:
        merge(*args, **kwargs)
        machinery.lake.merge = merge  # type: ignore[method-assign]
        place.materialize(VIEW, machinery=elsewhere(place, tight))
        raise LakeUnavailable("no answer", remedy="ask")

    machinery.lake.merge = superseded  # type: ignore[method-assign]
    outcome = place.materialize(VIEW, machinery=machinery)
    assert isinstance(outcome, Published)
    assert 3 == publishes(place, VIEW)
    assert isinstance(place.materialize(VIEW), Unchanged)
    place.check_whole()


# What must not happen, and does


def test_silent_conflict(place_before: Callable[[Unit], Place]) -> None:
    """A merge that lakeFS lets pass over a conflict is taken back, loudly: the target is what the other published."""
    place = place_before(VIEW)
    machinery = place.new_machinery()
    lake = machinery.lake
    theirs = []

    def silent(source: Any, into: Any, message: str, metadata: Any, *, allow_empty: bool = False) -> Commit:
        other = place.materialize(VIEW, machinery=elsewhere(place))
        assert isinstance(other, Published)
        theirs.append(other.publication)
        answer = lake.connection.sdk.refs_api.merge_into_branch(
            lake.repository,
            str(source),
            into.name,
            merge=lakefs_sdk.Merge(
                message=message, metadata=dict(metadata), strategy="source-wins", allow_empty=allow_empty
            ),
        )
        return Commit(answer.reference)

    lake.merge = silent  # type: ignore[method-assign]
    with pytest.raises(SilentConflict, match="was reverted"):
        place.materialize(VIEW, machinery=machinery)
    assert [place.publication(VIEW)] == theirs
    place.check_whole()
    assert isinstance(place.materialize(VIEW), Unchanged)


def test_target_gets_dirty(place_before: Callable[[Unit], Place]) -> None:
    """Uncommitted objects that appear before the merge stop it; without them the next run publishes."""
    place = place_before(VIEW)
    meanwhile = Meanwhile(place, once(lambda: place.lake.put(place.target, "left/behind", b"x")), before="merge")
    before = place.head
    with pytest.raises(TargetDirty, match=r"reset"):
        place.materialize(VIEW, machinery=meanwhile.machinery)
    assert before == place.head
    place.lake.delete(place.target, ["left/behind"])
    assert isinstance(place.materialize(VIEW), Published)


def test_branch_is_dropped(place_before: Callable[[Unit], Place]) -> None:
    """A branch that somebody drops before the merge cannot be merged; the next run publishes."""
    place, run = place_before(VIEW), new_run()

    def drop_the_branch() -> None:
        for info in place.lake.branches(place.left_by(run)[0]):
            place.lake.drop(info.branch)

    meanwhile = Meanwhile(place, once(drop_the_branch), before="merge")
    with pytest.raises(RefNotFound):
        place.materialize(VIEW, machinery=meanwhile.machinery, run=run)
    assert VIEW not in place.published()
    assert isinstance(place.materialize(VIEW), Published)


def test_somebody_writes_on_the_branch(place_before: Callable[[Unit], Place]) -> None:
    """An object that appears on the branch after the audit is not published."""
    place, run = place_before(VIEW), new_run()

    def intrude() -> None:
        (info,) = place.lake.branches(place.left_by(run)[0])
        place.lake.put(info.branch, f"{VIEW.table_path}data/more.parquet", b"PAR1")

    meanwhile = Meanwhile(place, once(intrude), after=Step.AUDIT)
    before = place.head
    with pytest.raises(LostCommit, match=r"changed while .* was audited"):
        place.materialize(VIEW, machinery=meanwhile.machinery, run=run)
    assert before == place.head
    assert isinstance(place.materialize(VIEW), Published)
