"""The target is not what the gate left there: inputs that moved on, data that somebody changed, uncommitted objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ml_assets.lib.core.errors import GateError, MissingInput, StaleInput, TargetDirty, UnrecordedChange
from ml_assets.lib.core.names import Unit, keep_branch
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.world import (
    CARS,
    FRAME,
    LARGE,
    LOG,
    MODEL,
    PARTED,
    RESTING,
    SOURCE,
    SPLIT,
    TABLES,
    UNITS,
    VIEW,
    Place,
    World,
    changed,
    declarations,
)

# Missing and stale inputs


@pytest.mark.parametrize("unit", RESTING, ids=str)
def test_missing_input(world: World, place_before: Callable[[Unit], Place], unit: Unit) -> None:
    """A unit whose input was never published is told which one to materialize first."""
    needed = next(iter(world.base.work(unit).inputs.values()))
    place = place_before(needed)
    with pytest.raises(MissingInput, match=f"^{unit} needs {needed}, .*; materialize {needed} first"):
        place.materialize(unit)
    assert world.before[needed] == place.head


def test_stale_input(moved_on: Place) -> None:
    """After new source data a frame asks for split and view first, in words that can be followed to the end."""
    place = moved_on
    with pytest.raises(StaleInput, match=r"made from an older sources/trips; materialize splits/trips@hash-s42 first"):
        place.materialize(FRAME)
    assert isinstance(place.materialize(SPLIT), Published)
    with pytest.raises(StaleInput, match=r"older sources/trips; materialize features/longest@1 first, or .*--changed"):
        place.materialize(FRAME)
    assert isinstance(place.materialize(VIEW), Published)
    assert isinstance(place.materialize(FRAME), Published)


def test_stale_input_of_an_input(moved_on: Place) -> None:
    """A model does not learn from a frame that was made from older data; what is oldest is named first."""
    place = moved_on
    with pytest.raises(StaleInput, match=r"older sources/trips; materialize (splits|features)/.* first"):
        place.materialize(MODEL)
    place.materialize(SPLIT)
    place.materialize(VIEW)
    with pytest.raises(StaleInput, match="materialize frames/late@hash-s42__v1 first"):
        place.materialize(MODEL)
    place.materialize(FRAME)
    assert isinstance(place.materialize(MODEL), Published)


def test_stale_inputs_by_declaration(moved_on: Place) -> None:
    """A frame may allow stale inputs: that is recorded, and all commits that it rests on are kept."""
    place = moved_on
    frames = {"late": replace(declarations().frames["late"], allow_stale=True)}
    machinery = place.new_machinery(changed(frames=frames))
    place.materialize(CARS, machinery=machinery)
    outcome = place.materialize(FRAME, machinery=machinery)
    assert isinstance(outcome, Published)
    assert [str(VIEW), str(SPLIT)] == outcome.publication.extra["stale_inputs"]
    pins = {outcome.publication.pin, *(place.publication(unit).pin for unit in (SOURCE, SPLIT, VIEW))}
    for pin in pins:
        assert pin == place.lake.head(keep_branch(pin))
    assert isinstance(place.materialize(FRAME, machinery=machinery), Unchanged)


def test_stale_itself_is_unchanged_where_inputs_are_equal(moved_on: Place) -> None:
    """Nothing is asked of a unit whose inputs came back to what they were."""
    place = moved_on
    assert isinstance(place.materialize(SOURCE), Published)
    assert all(isinstance(place.materialize(unit), Unchanged) for unit in UNITS[1:])


# Changed behind the gate


def rewrite(place: Place, unit: Unit) -> None:
    """Write other rows into the unit's table with a plain client, straight onto the target."""
    tables = place.machinery.systems.tables
    rows = tables.scan(unit.table, place.head).read_all().slice(1)
    declared = declarations()
    contract = {
        SOURCE: declared.sources["trips"].contract,
        LOG: declared.sources["log"].contract,
        VIEW: declared.views["longest", 1].contract,
        PARTED: declared.views["shortest", 1].contract,
    }
    split = declarations().contract(declarations().splits["hash-s42"])
    tables.write(unit.table, place.target, rows, schema=contract.get(unit, split).iceberg_schema(), properties={})


def data_files(place: Place, unit: Unit) -> list[str]:
    """Paths of the unit's data files."""
    return [stat.path for stat in place.lake.ls(place.head, f"{unit.table_path}data/")]


def overwrite_data(place: Place, unit: Unit) -> None:
    """Overwrite one data file with other bytes: the table's metadata stay as they are."""
    place.lake.put(place.target, data_files(place, unit)[0], b"PAR1 no more PAR1")


def delete_data(place: Place, unit: Unit) -> None:
    """Delete one data file."""
    place.lake.delete(place.target, data_files(place, unit)[:1])


def overwrite_metadata(place: Place, unit: Unit) -> None:
    """Overwrite the head of the table's metadata with something that is none."""
    place.lake.put(place.target, place.publication(unit).outputs[0].path, b"{}")


def delete_table(place: Place, unit: Unit) -> None:
    """Delete every file of the table."""
    place.lake.delete(place.target, [stat.path for stat in place.lake.ls(place.head, unit.table_path)])


def add_a_file(place: Place, unit: Unit) -> None:
    """Put a file beside the table's own."""
    place.lake.put(place.target, f"{unit.table_path}data/stray.parquet", b"PAR1PAR1")


HARM = [rewrite, overwrite_data, delete_data, overwrite_metadata, delete_table, add_a_file]


def harmed(place: Place, harm: Callable[[Place, Unit], None], unit: Unit) -> Commit:
    """Do harm to *unit* and commit it, as a person with a client would."""
    harm(place, unit)
    return place.lake.commit(place.target, "I know what I do", {})


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("unit", TABLES, ids=str)
def test_table_was_changed(place: Place, unit: Unit, harm: Callable[[Place, Unit], None]) -> None:
    """A table that is not what was published is an error for itself and for all that rests on it; recompute repairs."""
    rows = place.rows(unit)
    head = harmed(place, harm, unit)
    for asked in (unit, *(below for below in RESTING if below != unit and unit in (SOURCE, place_of(below, unit)))):
        with pytest.raises(UnrecordedChange, match=f"{unit}.* with --recompute to overwrite it"):
            place.materialize(asked)
    with pytest.raises(UnrecordedChange):
        place.machinery.gate.unchanged(place.work(unit))
    assert head == place.head
    outcome = place.materialize(unit, recompute=True)
    assert isinstance(outcome, Published)
    assert rows == place.rows(unit)
    place.check_whole()
    assert all(isinstance(place.materialize(other), Unchanged) for other in UNITS)


def place_of(below: Unit, unit: Unit) -> Unit | None:
    """*unit*, if *below* rests on it."""
    return unit if below in (FRAME, LARGE, MODEL) and unit in (SPLIT, VIEW) else None


@pytest.mark.parametrize("unit", [FRAME, MODEL], ids=str)
@pytest.mark.parametrize("data", [b"{}", None], ids=["overwritten", "deleted"])
def test_object_was_changed(place: Place, unit: Unit, data: bytes | None) -> None:
    """The same for the object that a frame or a model is in the lake."""
    if data is None:
        place.lake.delete(place.target, [unit.object_path])
    else:
        place.lake.put(place.target, unit.object_path, data)
    place.lake.commit(place.target, "I know what I do", {})
    for asked in {unit, MODEL}:
        with pytest.raises(UnrecordedChange, match=f"{unit}.* with --recompute"):
            place.materialize(asked)
    digest = place.publication(unit).digest
    assert isinstance(place.materialize(unit, recompute=True), Published)
    assert digest == place.publication(unit).digest
    place.check_whole()
    assert isinstance(place.materialize(MODEL), Unchanged)


def test_model_was_deleted_in_mlflow(place: Place) -> None:
    """A model whose MLflow run is gone is not what was published; recompute trains and registers it anew."""
    tracking, run = place.machinery.tracking, place.publication(MODEL).extra["mlflow"]["run"]
    tracking.client.delete_run(run)
    with pytest.raises(UnrecordedChange, match="models/late"):
        place.materialize(MODEL)
    outcome = place.materialize(MODEL, recompute=True)
    assert isinstance(outcome, Published)
    assert run != outcome.publication.extra["mlflow"]["run"]
    assert 2 == len(registry.versions_by(tracking, "late"))
    assert isinstance(place.materialize(MODEL), Unchanged)


def test_version_was_deleted_in_mlflow(place: Place) -> None:
    """A registered version that somebody removed comes back under another number."""
    tracking = place.machinery.tracking
    tracking.client.delete_model_version("late", "1")
    assert "2" == place.materialize(MODEL).settled["model_version"]
    assert [2] == [version.number for version in registry.versions_by(tracking, "late")]


def test_publication_was_deleted(place: Place, world: World) -> None:
    """Without its publication a unit was never published; it is computed and published again."""
    place.lake.delete(place.target, [VIEW.publication_path])
    place.lake.commit(place.target, "I know what I do", {})
    with pytest.raises(MissingInput, match="features/longest@1"):
        place.materialize(FRAME)
    outcome = place.materialize(VIEW)
    assert isinstance(outcome, Published)
    assert world.base.publication(VIEW).digest == outcome.publication.digest
    assert isinstance(place.materialize(FRAME), Unchanged)


@pytest.mark.parametrize("data", [b"", b"no json", b"[]", b'{"format": 1}'])
def test_publication_was_overwritten(place: Place, data: bytes) -> None:
    """A publication that cannot be read is an error that says how to repair it, and recompute does."""
    place.lake.put(place.target, VIEW.publication_path, data)
    place.lake.commit(place.target, "I know what I do", {})
    for unit in (VIEW, FRAME):
        with pytest.raises(GateError, match="--recompute"):
            place.materialize(unit)
    assert isinstance(place.materialize(VIEW, recompute=True), Published)
    assert isinstance(place.materialize(FRAME), Unchanged)


def test_publication_of_a_later_format(place: Place) -> None:
    """What a later version of the project published is neither read nor overwritten, not even on demand."""
    data = place.publication(VIEW).to_bytes().replace(b'"format":1', b'"format":2')
    place.lake.put(place.target, VIEW.publication_path, data)
    place.lake.commit(place.target, "from the future", {})
    for recompute in (False, True):
        with pytest.raises(GateError, match="newer ml_assets"):
            place.materialize(VIEW, recompute=recompute)
    place.lake.drop(place.target)  # no test that prunes this lake could tell what its frames need


def test_publication_of_another_hand_stays_readable(place: Place) -> None:
    """Fields that a later version added to a publication are kept when it is read and judged."""
    found = place.publication(VIEW)
    kept = Publication.from_bytes(replace(found, extra={"note": [1, None]}).to_bytes())
    place.lake.put(place.target, VIEW.publication_path, kept.to_bytes())
    place.lake.commit(place.target, "more is known", {})
    assert isinstance(place.materialize(VIEW), Unchanged)
    assert {"note": [1, None]} == place.publication(VIEW).extra


# A dirty target


def test_dirty_target(place: Place) -> None:
    """Uncommitted objects on the target, which would block the merge, are told before any work."""
    place.lake.put(place.target, "left/behind", b"x")
    for unit in UNITS:
        with pytest.raises(TargetDirty, match=r"left/behind.*reset"):
            place.materialize(unit)
    place.lake.delete(place.target, ["left/behind"])
    assert isinstance(place.materialize(SOURCE), Unchanged)


def test_other_objects_are_no_harm(place: Place) -> None:
    """What people commit beside the units does not concern the gate."""
    place.lake.put(place.target, "notes/readme.txt", b"hello")
    place.lake.commit(place.target, "a note", {})
    assert all(isinstance(place.materialize(unit), Unchanged) for unit in UNITS)
