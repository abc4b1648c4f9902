"""What makes a published unit be judged anew, and what makes it be computed again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pytest

from ml_assets.lib.core.errors import VersionNotBumped
from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare import Field, Int32
from ml_assets.lib.gate.outcome import Published, Refused, Unchanged
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.trips import contracts
from ml_assets_tests.gate.world import (
    FRAME,
    MODEL,
    RESTING,
    SOURCE,
    SPLIT,
    TRIPS,
    UNITS,
    VIEW,
    Place,
    World,
    changed,
    declarations,
    mlflow_runs,
    new_run,
    trips,
    write_trips,
)

# Judged anew


class Tight(contracts.Longest):
    """As `Longest`, with a bound that the data keep."""

    longest: Int32 = Field(nullable=True, ge=1, description="Duration of the trip that ended, minutes")


class TightFrame(contracts.LateFrame):
    """As `LateFrame`, with a bound that the data keep."""

    car: str = Field(str_matches="c[0-9]", description="The taxi")


def judged_anew(place: Place, unit: Unit, **parts: Any) -> Published:
    """Materialize *unit* with changed declarations, which must only judge it again."""
    before = place.publication(unit)
    uploads = place.lake.calls["upload_object"]
    machinery = place.new_machinery(changed(**parts))
    run = new_run()
    outcome = place.materialize(unit, machinery=machinery, run=run)
    assert isinstance(outcome, Published)
    assert not outcome.recomputed
    after = outcome.publication
    assert uploads == place.lake.calls["upload_object"]
    assert 1 == machinery.lake.calls["upload_object"]
    assert (before.recipe, before.pin, before.inputs, before.outputs) == (
        after.recipe,
        after.pin,
        after.inputs,
        after.outputs,
    )
    assert before.rules != after.rules
    assert run.id == after.run["id"]
    assert [] == place.left_by(run)
    again = place.materialize(unit, machinery=machinery)
    assert isinstance(again, Unchanged)
    place.check_whole()
    return outcome


def test_table_is_judged_anew(place: Place) -> None:
    """A tightened contract of a table reads the published rows again and writes a verdict only."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], contract=Tight)}
    judged_anew(place, VIEW, views=views)
    below = place.materialize(FRAME, machinery=place.new_machinery(changed(views=views)))
    assert isinstance(below, Published)  # its contract has the bounds of its features
    assert not below.recomputed


def test_source_is_judged_anew_by_its_time_of_ingestion(place: Place) -> None:
    """Facts must have been known when the source was read, not when it is judged again."""
    source = declarations().sources["trips"]
    before = place.publication(SOURCE)
    outcome = judged_anew(place, SOURCE, sources={"trips": replace(source, rules=())})
    assert before.extra["ingest"] == outcome.publication.extra["ingest"]
    known = next(result for result in outcome.verdict if result.check == "known_in_time")
    assert datetime.fromisoformat(before.extra["ingest"]["at"]).replace(microsecond=0) == datetime.fromisoformat(
        str(known.figures["ingested_at"])
    )


@pytest.mark.parametrize("cached", [True, False], ids=["rows cached", "rows gone"])
def test_frame_is_judged_anew(place: Place, cached: bool) -> None:
    """A tightened contract of a frame judges the rows again: from the cache, or rebuilt at the frame's own pin."""
    if cached:
        place.materialize(FRAME, recompute=True)
    else:
        shutil.rmtree(place.home / "rows", ignore_errors=True)
    judged_anew(place, FRAME, frames={"late": replace(declarations().frames["late"], contract=TightFrame)})


def test_model_is_judged_anew(place: Place) -> None:
    """Another floor judges the recorded figures: nothing is trained, the version stays."""
    runs = mlflow_runs(place)
    judged_anew(place, MODEL, models={"late": replace(declarations().models["late"], floors={"test/roc_auc": 0.5})})
    assert runs == mlflow_runs(place)
    assert 1 == len(registry.versions_by(place.machinery.tracking, "late"))


def test_refused_anew_leaves_the_published_model_alone(place: Place, world: World) -> None:
    """A published model that misses a raised floor is refused; its MLflow run and version stay what they were."""
    runs = mlflow_runs(place)
    model = replace(declarations().models["late"], floors={"test/roc_auc": 0.999})
    outcome = place.materialize(MODEL, machinery=place.new_machinery(changed(models={"late": model})))
    assert isinstance(outcome, Refused)
    assert world.complete == place.head
    assert runs == mlflow_runs(place)
    assert isinstance(place.materialize(MODEL), Unchanged)


# Computed again


def longer(trips: ir.Table) -> ir.Table:
    """Another definition of `longest`."""
    known = trips.filter(trips.ended.notnull())
    return known.group_by("car", event_timestamp=known.ended).agg(
        longest=(known.minutes.max() + known.seats.max()).cast("int32")
    )


def recomputed(place: Place, unit: Unit, **parts: Any) -> Published:
    """Materialize *unit* with changed declarations, which must compute it again."""
    before = place.publication(unit)
    outcome = place.materialize(unit, machinery=place.new_machinery(changed(**parts)))
    assert isinstance(outcome, Published)
    assert outcome.recomputed
    assert before.recipe != outcome.publication.recipe
    place.check_whole()
    return outcome


def test_changed_definition_is_recomputed(place: Place) -> None:
    """Another expression gives another table; the frame upon it must be made anew."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], function=longer)}
    rows = place.rows(VIEW)
    recomputed(place, VIEW, views=views)
    assert len(rows) == len(place.rows(VIEW))
    assert rows != place.rows(VIEW)
    recomputed(place, FRAME, views=views)


def test_changed_ttl_is_recomputed(place: Place) -> None:
    """A view's time to live is part of its recipe, although its rows stay the same, and of the frame's."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], ttl=timedelta(minutes=90))}
    before, frame = place.publication(VIEW), place.publication(FRAME)
    assert before.digest == recomputed(place, VIEW, views=views).publication.digest
    assert frame.digest != recomputed(place, FRAME, views=views).publication.digest


def test_version_means_one_thing_on_main(world: World) -> None:
    """On ``main`` a published view cannot take another definition under its version, whoever declares it."""
    declared = declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], function=longer)}
    with pytest.raises(VersionNotBumped, match="version=2"):
        world.base.materialize(VIEW, machinery=world.base.new_machinery(changed(views=views)))
    assert world.complete == world.base.head


def test_changed_seed_is_retrained(place: Place) -> None:
    """Another seed is another recipe: a second version, and the first one stays."""
    recomputed(place, MODEL, models={"late": replace(declarations().models["late"], seed=1)})
    assert [1, 2] == [version.number for version in registry.versions_by(place.machinery.tracking, "late")]


def test_parameters_of_the_run_are_in_the_recipe(place: Place) -> None:
    """Parameters that the run gives train another model; those it gave before are not trained again."""
    other = place.materialize(MODEL, parameters={"max_iter": 6})
    assert isinstance(other, Published)
    assert {"max_iter": 6} == json.loads(place.lake.read(place.head, MODEL.object_path) or b"")["parameters"]
    assert isinstance(place.materialize(MODEL, parameters={"max_iter": 6}), Unchanged)
    assert isinstance(place.materialize(MODEL), Published)


def test_path_replaces_the_file_of_a_source(place: Place, tmp_path: Path) -> None:
    """Another file is ingested and named in the publication; the same rows in another file are another recipe."""
    file = write_trips(tmp_path / "more.csv", trips(TRIPS + 20))
    outcome = place.materialize(SOURCE, path=file)
    assert isinstance(outcome, Published)
    assert TRIPS + 20 == outcome.publication.outputs[0].rows == len(place.rows(SOURCE))
    assert "more.csv" == outcome.publication.extra["ingest"]["files"][0]["name"]
    assert isinstance(place.materialize(SOURCE, path=file), Unchanged)
    assert isinstance(place.materialize(SOURCE), Published)
    assert TRIPS == len(place.rows(SOURCE))


def test_new_source_data_go_down_the_graph(place: Place, tmp_path: Path) -> None:
    """Each unit that rests on new data is computed again, once; keys that were there stay in their split."""
    file = write_trips(tmp_path / "more.csv", trips(TRIPS + 20))
    parts = {row["trip"]: row["split"] for row in place.rows(SPLIT)}
    place.materialize(SOURCE, path=file)
    for unit in RESTING:
        assert isinstance(place.materialize(unit), Published)
        assert isinstance(place.materialize(unit), Unchanged)
    now = {row["trip"]: row["split"] for row in place.rows(SPLIT)}
    assert parts.items() < now.items()
    assert 2 == len(registry.versions_by(place.machinery.tracking, "late"))
    place.check_whole()


def test_same_rows_change_nothing_downstream(place: Place, tmp_path: Path) -> None:
    """A source published anew with equal rows leaves everything that rests on it unchanged."""
    file = write_trips(tmp_path / "shuffled.csv", trips()[::-1])
    before = place.publication(SOURCE)
    outcome = place.materialize(SOURCE, path=file)
    assert isinstance(outcome, Published)
    assert before.digest == outcome.publication.digest
    assert all(isinstance(place.materialize(unit), Unchanged) for unit in UNITS[1:])
