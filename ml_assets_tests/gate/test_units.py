"""What is published of each kind of unit; and that what stands published is left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime

import pytest

from ml_assets.lib.core.digest import digest, schema_hash
from ml_assets.lib.core.names import Unit, features_tag, keep_branch, model_tag, run_branch_prefix
from ml_assets.lib.core.recipe import recipe
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.gate.records import output_prefixes
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    LOG,
    MODEL,
    SOURCE,
    SPLIT,
    TABLES,
    UNITS,
    VIEW,
    Place,
    World,
    mlflow_runs,
    new_run,
    trips,
)

CHANGES = ("upload_object", "commit", "merge_into_branch", "delete_branch", "delete_objects", "revert_branch")
"""Calls that change something in a lake however often they are sent; names that are there are asked for again."""


def changes(place: Place) -> dict[str, int]:
    """How often each of `CHANGES` was sent from this place so far."""
    return {name: place.lake.calls[name] for name in CHANGES}


def names(place: Place) -> tuple[set[str], set[str]]:
    """All branches and tags of the lake."""
    lake = place.lake
    return {info.name for info in lake.branches(hidden=True)}, {info.name for info in lake.tags()}


# First publication


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_publishes(world: World, unit: Unit) -> None:
    """Every kind of unit takes all nine steps, in order, and is on the target afterwards."""
    outcome = world.outcomes[unit]
    assert isinstance(outcome, Published)
    assert list(Step) == list(outcome.seconds)
    assert outcome.recomputed
    assert outcome.publication == world.base.publication(unit, outcome.commit)
    assert outcome.verdict == outcome.publication.verdict
    assert world.before[unit] == world.base.lake.info(outcome.commit).parents[0]
    assert [] == [b.name for b in world.base.lake.branches(outcome.branch.name)]


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_publication(world: World, unit: Unit) -> None:
    """The publication says who published what, made from what, by which code, judged how."""
    base, found, work = world.base, world.base.publication(unit), world.base.work(unit)
    assert unit == found.unit
    assert work.assets == found.assets
    assert work.definition == found.definition
    assert work.rules == found.rules
    assert found.recipe == work.recipe(found.inputs, None)
    if unit != LOG:
        assert found.recipe == recipe(
            work.definition,
            found.inputs,
            parameters=work.parameters,
            seed=work.seed,
            libraries=work.libraries,
            semantics=work.semantics,
        )
    assert world.before[unit] == found.pin
    assert {name: base.publication(input_).as_input() for name, input_ in work.inputs.items()} == found.inputs
    checks = base.machinery.plan.assets[f"{unit.stage}/{unit.name}"].checks
    assert [name for name in checks if name != "ordered_started"] == [result.check for result in found.verdict]
    assert {"git_commit", "git_remote", "dirty", "diff", "version", "environment"} == found.code.keys()
    assert {"id", "attempt", "branch", "user", "start", "end", "engine"} == found.run.keys()
    assert 1 == found.run["attempt"]
    assert found.run["branch"].startswith(run_branch_prefix(found.run["id"]))
    assert datetime.fromisoformat(found.run["start"]) < datetime.fromisoformat(found.run["end"])
    assert "duckdb" == found.run["engine"]["name"]


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_commits_of_a_publish(world: World, unit: Unit) -> None:
    """The audited commit has the data; the verdict's commit adds the publication and nothing else."""
    base, found = world.base, world.base.publication(unit)
    merged, verdict = base.lake.info(world.outcomes[unit].commit).parents
    begin = base.lake.info(found.audited).parents[0]
    assert (world.before[unit], found.audited) == (merged, base.lake.info(verdict).parents[0])
    assert (merged,) == base.lake.info(begin).parents
    assert [unit.publication_path] == [row.path for row in base.lake.diff(found.audited, verdict, base="left")]
    assert all(row.path.startswith(output_prefixes(unit)) for row in base.lake.diff(begin, found.audited, base="left"))
    assert {"pid", "host", "started", "user", "unit", "run"} <= base.lake.info(begin).metadata.keys()


@pytest.mark.parametrize("unit", TABLES, ids=str)
def test_output_of_a_table(world: World, unit: Unit) -> None:
    """A table's output names the head of its metadata, and counts and digests its rows."""
    base, (output,) = world.base, world.base.publication(unit).outputs
    rows = base.machinery.systems.tables.scan(unit.table, base.head).read_all()
    stat = base.lake.stat(base.head, output.path)
    assert stat is not None
    assert (unit.table, f"{unit.table_path}metadata/v2.metadata.json") == (output.name, output.path)
    assert (stat.checksum, rows.num_rows, digest(rows)) == (output.checksum, output.rows, output.digest)
    assert schema_hash(rows.schema) == output.schema_hash
    assert sum(s.size for s in base.lake.ls(base.head, f"{unit.table_path}data/")) == output.bytes


def test_output_of_a_frame(world: World) -> None:
    """A frame's output is a small object: digests and counts of the whole and of each split, schema, quality."""
    base, found = world.base, world.base.publication(FRAME)
    body = json.loads(base.lake.read(base.head, FRAME.object_path) or b"")
    rows = base.machinery.systems.rows.get(found.digest)
    assert rows is not None
    table = rows.reader().read_all()
    assert (digest(table), dict(rows.digests), dict(rows.counts)) == (body["digest"], body["digests"], body["counts"])
    assert sum(1 for row in trips() if row["minutes"] is not None) == found.outputs[0].rows == table.num_rows
    assert ["trip", "car", "event_timestamp", "label", "longest", "split"] == [name for name, _ in body["columns"]]
    assert 0 < body["quality"]["longest"]["null_rate"] < 0.2
    assert 0 == body["quality"]["trip"]["null_rate"]


def test_output_of_a_model(world: World) -> None:
    """A model's output is a small object: MLflow run, hash of its file, figures, what it was trained on."""
    base, found = world.base, world.base.publication(MODEL)
    body = json.loads(base.lake.read(base.head, MODEL.object_path) or b"")
    assert {"run": body["mlflow"]["run"], "model": "late"} == found.extra["mlflow"]
    assert base.publication(FRAME).digest == body["frame_digest"]
    assert body["predictions_digest"] == found.digest
    assert body["scores"]["test"]["roc_auc"] > 0.6
    assert (0, 0) == (body["predictions"]["nulls"], body["predictions"]["outside"])
    assert [["car", "string"], ["longest", "int32"]] == body["input"]


def test_source_records_its_files(world: World) -> None:
    """The publication of a source tells name, hash and size of each file, and when it was read."""
    (file,) = world.base.publication(SOURCE).extra["ingest"]["files"]
    data = (world.base.folder / "tinytrips" / "trips.csv").read_bytes()
    assert {
        "label": "trips",
        "name": "trips.csv",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    } == file


def test_warnings_do_not_block(world: World) -> None:
    """A rule of severity warn is counted and shown with examples, and the source is published all the same."""
    (warning,) = (result for result in world.outcomes[SOURCE].verdict if result.severity == "warn")
    long = [row["trip"] for row in trips() if (row["minutes"] or 0) > 40]
    assert (False, len(long), {"is_short": len(long)}) == (warning.passed, warning.rows_failed, warning.counts)
    assert 10 == len(warning.examples)
    assert {row["trip"] for row in warning.examples} <= set(long)


def test_frame_keeps_its_pin(world: World) -> None:
    """A hidden branch saves the commit at which a frame is read from garbage collection."""
    pin = world.base.publication(FRAME).pin
    assert pin == world.base.lake.head(keep_branch(pin))
    assert [] == list(world.base.lake.branches("keep-"))


def test_features_are_tagged_when_complete(world: World, place: Place) -> None:
    """A feature version gets a tag at the commit that published the last of its views; an unchanged one keeps it."""
    published = world.outcomes[VIEW].commit
    assert {"features_tag": features_tag("v1", published).name} == world.outcomes[VIEW].settled
    assert {"features_tag": features_tag("v1", published).name} == place.materialize(VIEW).settled
    second = place.materialize(CARS)
    assert {"features_tag": features_tag("v2", second.commit).name} == second.settled
    both = f"{features_tag('v1', published)}, {features_tag('v2', second.commit)}"
    assert {"features_tag": both} == place.materialize(VIEW).settled


def test_one_view_of_two_feature_versions(world: World) -> None:
    """A view is one unit however many partitions mean it."""
    assert (("features/longest", "v1"), ("features/longest", "v2")) == world.base.publication(VIEW).assets


def test_model_is_registered(world: World) -> None:
    """A published model has one version, whose lakeFS tag is the commit at which its frame is read."""
    base, run_id = world.base, world.base.publication(MODEL).extra["mlflow"]["run"]
    (version,) = registry.versions_by(base.machinery.tracking, "late")
    tag = model_tag("late", version.number, run_id)
    (data,) = base.lake.tags(tag.name)
    assert (run_id, tag.name) == (version.run_id, version.tags["data/lakefs_tag"])
    assert base.publication(FRAME).pin == data.commit
    assert base.publication(FRAME).pin.id == version.tags["data/lakefs_commit"]
    assert ("FINISHED", f"late/{version.number}") == mlflow_runs(base)[run_id]
    settled = world.outcomes[MODEL].settled
    assert (run_id, str(version.number), tag.name) == (
        settled["mlflow_run"],
        settled["model_version"],
        settled["lakefs_tag"],
    )


def test_run_tags_reach_commits_and_publication(place_before: Callable[[Unit], Place]) -> None:
    """Author, ticket and approver are on every commit of the run's branch and in the publication."""
    place, tags = place_before(SPLIT), {"author": "ada", "ticket": "T-1", "approved_by": "grace"}
    outcome = place.materialize(SPLIT, run=new_run(**tags))
    found = place.publication(SPLIT)
    verdict = place.lake.info(outcome.commit).parents[1]
    for commit in (found.audited, verdict, place.lake.info(found.audited).parents[0]):
        assert tags.items() <= place.lake.info(commit).metadata.items()
    assert tags.items() <= found.run.items()


# Again


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_unchanged_writes_nothing(world: World, unit: Unit) -> None:
    """A unit that the target holds already is not computed, and the lake stays as it is."""
    base = world.base
    before, there, runs = changes(base), names(base), mlflow_runs(base)
    outcome = base.materialize(unit)
    assert isinstance(outcome, Unchanged)
    assert (base.publication(unit), world.complete) == (outcome.publication, outcome.commit)
    assert Step.WRITE not in outcome.seconds
    assert (before, there, runs) == (changes(base), names(base), mlflow_runs(base))
    assert world.complete == base.head


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_gate_can_be_asked(world: World, place_before: Callable[[Unit], Place], unit: Unit) -> None:
    """Whether a unit is unchanged can be asked without materializing it."""
    found = world.base.machinery.gate.unchanged(world.base.work(unit))
    assert found is not None
    assert world.base.publication(unit) == found.publication
    place = place_before(unit)
    assert place.machinery.gate.unchanged(place.work(unit)) is None
    assert world.before[unit] == place.head


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_recompute_confirms(place: Place, world: World, unit: Unit) -> None:
    """Computed again on demand, the same rows confirm the publication; nothing is published, nothing left behind."""
    run = new_run()
    outcome = place.materialize(unit, recompute=True, run=run)
    assert isinstance(outcome, Unchanged)
    assert outcome.confirmed
    assert Step.WRITE in outcome.seconds
    assert world.complete == place.head
    assert [] == place.left_by(run)
    assert 1 == len(registry.versions_by(place.machinery.tracking, "late"))
    states = sorted(state for state, _ in mlflow_runs(place).values())
    assert (["FINISHED", "KILLED"] if unit == MODEL else ["FINISHED"]) == states
