"""``kill -9`` at any point: the target stays whole, one more run completes, no model version is double or missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import Outcome, Published, Unchanged
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.children import Child, DieAt, Job
from ml_assets_tests.gate.world import FRAME, MODEL, SOURCE, SPLIT, UNITS, VIEW, Place, World, mlflow_runs, new_run

GAPS = [step for step in Step if step != Step.SETTLE]
"""A gap is named by the step before it; after the last one there is none."""

LAKE = "ml_assets.lib.lake.client:Lake."
INSIDE = [
    *((SOURCE, DieAt(f"{LAKE}{call}", when)) for call in ("put", "commit") for when in ("before", "after")),
    *((VIEW, DieAt(f"{LAKE}merge", when)) for when in ("before", "after")),
    (VIEW, DieAt(f"{LAKE}tag", "after")),
    (FRAME, DieAt(f"{LAKE}merge", "before")),
    *((FRAME, DieAt("ml_assets.lib.gate.rows:RowCache.put", when)) for when in ("before", "after")),
    (MODEL, DieAt("ml_assets.lib.tracking.models:log_model", "before")),
    (MODEL, DieAt("ml_assets.lib.tracking.models:log_model", "after")),
    *((MODEL, DieAt(f"ml_assets.lib.tracking.registry:{call}", "after")) for call in ("_create", "register")),
    *((MODEL, DieAt(f"{LAKE}{call}", when)) for call in ("tag", "drop") for when in ("before", "after")),
    (MODEL, DieAt("ml_assets.lib.tracking.registry:tag_version", "after")),
    (MODEL, DieAt("ml_assets.lib.tracking.registry:mark_published", "after")),
]
"""Points inside of steps: around every effect of publish and settle, and where a run has begun in MLflow."""


def check_completed(place: Place, world: World, unit: Unit, *, died: bool = True) -> None:
    """Assert that *unit* is published once, whole, with the rows that it always has, and settled.

    Of attempts whose process *died* nothing stays as if it were good; those of a living one may, until it ends.
    """
    place.check_whole()
    assert world.base.publication(unit).digest == place.publication(unit).digest
    assert isinstance(place.materialize(unit), Unchanged)
    if unit != MODEL:
        return
    published = place.publication(MODEL).extra["mlflow"]["run"]
    (version,) = registry.versions_by(place.machinery.tracking, "late")
    assert (published, place.publication(FRAME).pin.id) == (version.run_id, version.tags["data/lakefs_commit"])
    assert [] != list(place.lake.tags(version.tags["data/lakefs_tag"]))
    states = mlflow_runs(place)
    assert ("FINISHED", f"late/{version.number}") == states.pop(published)
    assert {None} >= {version for _, version in states.values()}
    assert not died or {"KILLED"} >= {state for state, _ in states.values()}


def rerun(place: Place, unit: Unit) -> Outcome:
    """Materialize once more, as the next run of another process would."""
    return place.materialize(unit, machinery=place.new_machinery())


@pytest.mark.parametrize("step", GAPS)
@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_killed_between_two_steps(world: World, place_before: Callable[[Unit], Place], unit: Unit, step: Step) -> None:
    """A process dies between two steps: before the merge nothing is published, after it everything."""
    place, run = place_before(unit), new_run()
    Child(Job(place, [unit], run=run, die_after=step)).death()
    place.check_whole()
    assert (unit in place.published()) == (step == Step.PUBLISH)
    outcome = rerun(place, unit)
    assert isinstance(outcome, Unchanged if step == Step.PUBLISH else Published)
    check_completed(place, world, unit)
    landed_or_never_begun = step in (Step.PIN, Step.RECIPE, Step.PUBLISH)
    assert len(place.left_by(run)) == (0 if landed_or_never_begun else 1)


@pytest.mark.parametrize(("unit", "point"), INSIDE, ids=str)
def test_killed_inside_a_step(world: World, place_before: Callable[[Unit], Place], unit: Unit, point: DieAt) -> None:
    """A process dies around an effect of write, publish or settle: one further run completes all the same."""
    place = place_before(unit)
    Child(Job(place, [unit], die_at=point)).death()
    place.check_whole()
    rerun(place, unit)
    check_completed(place, world, unit)


@pytest.mark.parametrize("step", [Step.BRANCH, Step.VERDICT])
def test_retry_of_the_same_run_drops_its_old_branch(place_before: Callable[[Unit], Place], step: Step) -> None:
    """A run that is tried again does not write to the branch of its first try, which a zombie may hold."""
    place, run = place_before(SPLIT), new_run()
    Child(Job(place, [SPLIT], run=run, die_after=step)).death()
    assert 1 == len(place.left_by(run))
    assert isinstance(place.materialize(SPLIT, run=run), Published)
    assert [] == place.left_by(run)


def test_killed_twice(world: World, place_before: Callable[[Unit], Place]) -> None:
    """The run that repairs may die as well."""
    place = place_before(MODEL)
    for step in (Step.WRITE, Step.PUBLISH):
        Child(Job(place, [MODEL], die_after=step)).death()
    Child(Job(place, [MODEL], die_at=DieAt("ml_assets.lib.tracking.registry:_create", "after"))).death()
    rerun(place, MODEL)
    check_completed(place, world, MODEL)


def test_killed_while_recomputing(world: World, place: Place) -> None:
    """A recomputation of what is published that is killed leaves the publication as it was, and its run ends."""
    Child(Job(place, [MODEL], die_after=Step.WRITE, options={"recompute": True})).death()
    place.check_whole()
    assert isinstance(rerun(place, MODEL), Unchanged)
    check_completed(place, world, MODEL)
