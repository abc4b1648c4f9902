"""What was given on purpose stays until somebody names another: files of sources, batches, parameters of models.

`standings` (which is `check`) and the gate must say the same in every case: see `agree`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import ConfigError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.declare import Declarations, PackageFile
from ml_assets.lib.gate import causes
from ml_assets.lib.gate.explain import JUDGED_AGAIN, standings
from ml_assets.lib.gate.outcome import Outcome, Published, Unchanged
from ml_assets_tests.gate.logs import BATCH, appending, write_batch
from ml_assets_tests.gate.world import (
    MODEL,
    RESTING,
    SOURCE,
    TRIPS,
    UNITS,
    Place,
    changed,
    declarations,
    trips,
    write_trips,
)

MORE = TRIPS + 20


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A file with more trips than the declared one."""
    return write_trips(tmp_path / "given" / "more.csv", trips(MORE))


@pytest.fixture
def ingested(place: Place, given: Path) -> Place:
    """A place whose trips are published from a file that was given."""
    assert isinstance(place.materialize(SOURCE, path=given), Published)
    return place


def source(**parts: Any) -> Declarations:
    """The declarations with an edited source."""
    return changed(sources={"trips": replace(declarations().sources["trips"], **parts)})


def model(**parts: Any) -> Declarations:
    """The declarations with an edited model."""
    return changed(models={"late": replace(declarations().models["late"], **parts)})


def after_an_edit(place: Place, unit: Unit, declared: Declarations | None = None) -> tuple[str | None, Outcome]:
    """What `check` says of *unit*, and what ``materialize --changed`` does with it: they must agree."""
    machinery = place.new_machinery(declared)
    (reason,) = (standing.reason for standing in standings(machinery) if standing.unit == unit)
    outcome = place.materialize(unit, machinery=machinery, keep=True)
    if reason is None:
        assert isinstance(outcome, Unchanged)
    else:
        assert isinstance(outcome, Published)
        assert outcome.recomputed == (not reason.startswith(JUDGED_AGAIN))
    again = place.materialize(unit, machinery=place.new_machinery(declared), keep=True)
    assert isinstance(again, Unchanged)
    return reason, outcome


def is_refused(place: Place, unit: Unit, declared: Declarations, says: str) -> None:
    """Assert that both refuse, in the same words, and that the target does not move."""
    head, machinery = place.head, place.new_machinery(declared)
    (reason,) = (standing.reason for standing in standings(machinery) if standing.unit == unit)
    with pytest.raises(ConfigError, match=says) as told:
        place.materialize(unit, machinery=machinery, keep=True)
    assert reason == str(told.value)
    assert place.head == head


def forget(place: Place, unit: Unit, *fields: str) -> Publication:
    """Rewrite the publication of *unit* as an earlier version of the project wrote it."""
    found = place.publication(unit)
    fields = fields or (causes.MADE_FROM, causes.JUDGED_BY, causes.GIVEN)
    old = replace(found, extra={name: value for name, value in found.extra.items() if name not in fields})
    place.lake.put(place.target, unit.publication_path, old.to_bytes())
    place.lake.commit(place.target, "as an earlier version wrote it", {})
    return old


def reading(trips: Path) -> pa.Table:
    """Another function of the source, which gives the same rows."""
    rows = declarations().sources["trips"].function(trips)
    return rows.slice(0)


SEEN: list[Any] = []
"""The parameter ``rate`` of each training."""


def training(train: Any, val: Any, *, params: Any, seed: int) -> Any:
    """Another function of the model."""
    SEEN.append(params.get("rate"))
    return declarations().models["late"].function(train, val, params={"max_iter": 5}, seed=seed)


# A file


def test_nothing_was_edited(ingested: Place) -> None:
    """The source is up to date, and the file is recorded with what it stands in for."""
    assert (None, Unchanged) == ((found := after_an_edit(ingested, SOURCE))[0], type(found[1]))
    assert ingested.publication(SOURCE).extra["given"] == {
        "path": str(ingested.home.parent / "given" / "more.csv"),
        "instead_of": "tinytrips/trips.csv of tinytrips",
    }


def test_the_file_is_gone_and_nothing_was_edited(ingested: Place, given: Path) -> None:
    """It is not needed."""
    given.unlink()
    assert after_an_edit(ingested, SOURCE)[0] is None


def test_a_function_is_edited(ingested: Place) -> None:
    """The given file is read again, not the declared one; what was given stays recorded."""
    reason, outcome = after_an_edit(ingested, SOURCE, source(function=reading))
    assert reason == "recipe changed: definition"
    assert isinstance(outcome, Published)
    assert outcome.publication.outputs[0].rows == MORE
    assert Path(outcome.publication.extra["given"]["path"]).name == "more.csv"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"function": reading}, "definition"),
        ({"libraries": ("pyarrow", "numpy")}, "library numpy none -> "),
        ({"partition_by": ("car",)}, r"partition_by none -> \['car'\]"),
    ],
    ids=["function", "libraries", "partition_by"],
)
@pytest.mark.parametrize("state", ["is not there any more", "holds something else now"])
def test_the_file_is_needed_and_is_not_what_it_was(
    ingested: Place, given: Path, edit: Mapping[str, Any], says: str, state: str
) -> None:
    """The declared file is not taken in its place: what to do is said, and the published table stays."""
    if state == "is not there any more":
        given.unlink()
    else:
        write_trips(given, trips(MORE + 1))
    is_refused(ingested, SOURCE, source(**edit), rf"more.csv, which was given by --path and {state}; .*{says}.*--path")
    assert TRIPS + 20 == len(ingested.rows(SOURCE))
    found = {standing.unit: standing.reason for standing in standings(ingested.new_machinery(source(**edit)))}
    assert {f"input {SOURCE} changed"} == {found[unit] for unit in RESTING if unit != MODEL}  # since the ingest


def test_the_declared_file_has_another_content(ingested: Place, distribution: Path) -> None:
    """It was replaced on purpose: what it holds does not matter."""
    declared = distribution / "tinytrips" / "trips.csv"
    before = declared.read_bytes()
    try:
        write_trips(declared, trips(TRIPS + 1))
        assert after_an_edit(ingested, SOURCE)[0] is None
        declared.unlink()
        assert after_an_edit(ingested, SOURCE)[0] is None
    finally:
        declared.write_bytes(before)


def test_the_declaration_names_another_file(ingested: Place, distribution: Path) -> None:
    """Who declares another main file names it: it is taken, and `check` says so."""
    write_trips(distribution / "tinytrips" / "other.csv", trips(TRIPS + 5))
    edited = source(files={"trips": PackageFile("tinytrips", "tinytrips/other.csv")})
    reason, outcome = after_an_edit(ingested, SOURCE, edited)
    assert reason == "recipe changed: file trips"
    assert isinstance(outcome, Published)
    assert outcome.publication.outputs[0].rows == TRIPS + 5
    assert "given" not in outcome.publication.extra


def test_somebody_names_another_file(ingested: Place, tmp_path: Path) -> None:
    """Another file by path, or the declared one, is taken; it stays then."""
    other = write_trips(tmp_path / "other.csv", trips(TRIPS + 7))
    assert isinstance(ingested.materialize(SOURCE, path=other), Published)
    assert after_an_edit(ingested, SOURCE)[0] is None
    assert isinstance(ingested.materialize(SOURCE), Published)
    assert after_an_edit(ingested, SOURCE)[0] is None
    assert TRIPS == len(ingested.rows(SOURCE))
    assert "given" not in ingested.publication(SOURCE).extra


def test_the_same_rows_by_another_name(place: Place, tmp_path: Path, distribution: Path) -> None:
    """A given file with the content of the declared one is recorded as given, and not read again."""
    copy = tmp_path / "copy.csv"
    copy.write_bytes((distribution / "tinytrips" / "trips.csv").read_bytes())
    outcome = place.materialize(SOURCE, path=copy)
    assert isinstance(outcome, Published)
    assert not outcome.recomputed
    assert outcome.publication.extra["given"]["path"] == str(copy)
    assert isinstance(place.materialize(SOURCE, path=copy), Unchanged)
    back = place.materialize(SOURCE)
    assert isinstance(back, Published)
    assert not back.recomputed
    assert "given" not in back.publication.extra


def test_the_declared_file_by_path(place: Place, distribution: Path) -> None:
    """It is not another file."""
    declared = distribution / "tinytrips" / ".." / "tinytrips" / "trips.csv"
    assert isinstance(place.materialize(SOURCE, path=declared), Unchanged)


def test_rules_are_edited(ingested: Place, given: Path) -> None:
    """The published table is judged again; the file is not needed for it."""
    given.unlink()
    before = ingested.publication(SOURCE)
    reason, outcome = after_an_edit(ingested, SOURCE, source(rules=()))
    assert reason == f"{JUDGED_AGAIN} (rule ends_after_it_starts, is_short)"
    assert isinstance(outcome, Published)
    for name in ("given", "ingest", "made_from"):
        assert before.extra[name] == outcome.publication.extra[name]


def test_recompute_reads_the_given_file(ingested: Place, given: Path) -> None:
    """What was changed behind the gate is put right from it; without it, that is said."""
    data = next(iter(ingested.lake.ls(ingested.head, f"{SOURCE.table_path}data/"))).path
    ingested.lake.put(ingested.target, data, b"PAR1 no more PAR1")
    ingested.lake.commit(ingested.target, "I know what I do", {})
    text = given.read_bytes()
    given.unlink()
    with pytest.raises(ConfigError, match=r"not there any more; it must be read again; name the file"):
        ingested.materialize(SOURCE, recompute=True, keep=True)
    given.write_bytes(text)
    assert isinstance(ingested.materialize(SOURCE, recompute=True, keep=True), Published)
    assert MORE == len(ingested.rows(SOURCE))
    ingested.check_whole()


def test_what_rests_on_it_follows(ingested: Place) -> None:
    """One pass after the ingest, and nothing is left to do."""
    for unit in RESTING:
        assert isinstance(ingested.materialize(unit, keep=True), Published)
    assert {None} == {standing.reason for standing in standings(ingested.new_machinery()) if standing.unit in UNITS}


# A file, published by an earlier version


def test_an_old_record_of_the_declared_file(place: Place) -> None:
    """It is up to date, and says what changed as far as it can be known."""
    for unit in UNITS:
        forget(place, unit)
    assert {None} == {standing.reason for standing in standings(place.new_machinery()) if standing.unit in UNITS}
    edited = source(libraries=())
    (reason,) = (s.reason for s in standings(place.new_machinery(edited)) if s.unit == SOURCE)
    assert reason == "recipe changed: libraries or partition_by (which was not recorded)"
    assert after_an_edit(place, SOURCE, source(function=reading))[0] == "recipe changed: definition"


def test_an_old_record_of_a_given_file(ingested: Place, given: Path) -> None:
    """Its name tells: it stays; where it is nobody knows any more."""
    forget(ingested, SOURCE)
    assert after_an_edit(ingested, SOURCE)[0] is None
    is_refused(ingested, SOURCE, source(function=reading), "from more.csv, which was given")
    assert isinstance(
        ingested.materialize(SOURCE, machinery=ingested.new_machinery(source(function=reading)), path=given), Published
    )


def test_an_old_record_of_a_file_of_the_same_name(place: Place, tmp_path: Path) -> None:
    """Nobody can tell whether it was given: the declared file is taken as changed, and `check` says so."""
    same_name = write_trips(tmp_path / "given" / "trips.csv", trips(MORE))
    place.materialize(SOURCE, path=same_name)
    forget(place, SOURCE)
    assert after_an_edit(place, SOURCE)[0] == "recipe changed: file trips"
    assert TRIPS == len(place.rows(SOURCE))


def test_a_changed_declared_file_is_read(place: Place, distribution: Path) -> None:
    """Where no file was given, an edit of the declared one is an edit."""
    declared = distribution / "tinytrips" / "trips.csv"
    before = declared.read_bytes()
    try:
        write_trips(declared, trips(TRIPS + 1))
        assert after_an_edit(place, SOURCE)[0] == "recipe changed: file trips"
        assert TRIPS + 1 == len(place.rows(SOURCE))
    finally:
        declared.write_bytes(before)


# Batches


@pytest.fixture
def log(place_before: Callable[[Unit], Place], tmp_path: Path) -> Place:
    """A place where two batches are published."""
    place = place_before(SOURCE)
    for number in (1, 2):
        machinery = place.new_machinery(appending())
        assert isinstance(place.materialize(SOURCE, machinery=machinery, path=write_batch(tmp_path, number)), Published)
    return place


def test_batches_are_not_added_again(log: Place) -> None:
    """Neither an old one nor the declared file; the source is up to date."""
    assert after_an_edit(log, SOURCE, appending())[0] is None
    assert 2 * BATCH == len(log.rows(SOURCE))


def test_code_that_reads_batches_is_edited(log: Place) -> None:
    """What is published stays: old files may be gone."""
    edited = changed(sources={"trips": replace(appending().sources["trips"], function=reading, libraries=())})
    assert after_an_edit(log, SOURCE, edited)[0] is None


def test_rules_of_batches_are_edited(log: Place, tmp_path: Path) -> None:
    """They are judged again, all of them, and stay recorded; the next one is added."""
    edited = changed(sources={"trips": replace(appending().sources["trips"], rules=())})
    before = log.publication(SOURCE)
    reason, outcome = after_an_edit(log, SOURCE, edited)
    assert reason is not None
    assert reason.startswith(JUDGED_AGAIN)
    assert isinstance(outcome, Published)
    assert before.extra["append"] == outcome.publication.extra["append"]
    log.materialize(SOURCE, machinery=log.new_machinery(edited), path=write_batch(tmp_path, 3))
    assert 3 * BATCH == len(log.rows(SOURCE))


def test_batches_changed_behind_the_gate(log: Place) -> None:
    """On demand they are restored, and nothing is added."""
    rows = log.rows(SOURCE)
    log.machinery.systems.tables.catalog(log.target).load_table(SOURCE.table).delete("trip = 'b001-t00003'")
    log.lake.commit(log.target, "behind the gate", {})
    outcome = log.materialize(SOURCE, machinery=log.new_machinery(appending()), recompute=True, keep=True)
    assert isinstance(outcome, Published)
    assert rows == log.rows(SOURCE)
    assert after_an_edit(log, SOURCE, appending())[0] is None


def test_nothing_is_published_yet(place_before: Callable[[Unit], Place]) -> None:
    """The declared file is the first batch."""
    place = place_before(SOURCE)
    assert after_an_edit(place, SOURCE, appending())[0] == "never materialized"
    assert TRIPS == len(place.rows(SOURCE))


def test_a_source_grows_from_now_on(place: Place) -> None:
    """What was published is its first batch, recorded as that; nothing is added."""
    reason, _ = after_an_edit(place, SOURCE, appending())
    assert reason == "recipe changed: it grows by batches from now on (append=True)"
    assert TRIPS == len(place.rows(SOURCE))


def test_a_source_does_not_grow_any_more(log: Place) -> None:
    """No one file holds its rows: they are not dropped without a word."""
    is_refused(log, SOURCE, declarations(), "a source that grows, of 2 batches")
    assert isinstance(log.materialize(SOURCE), Published)
    assert TRIPS == len(log.rows(SOURCE))
    assert after_an_edit(log, SOURCE)[0] is None


# Parameters


@pytest.fixture
def tuned(place: Place) -> Place:
    """A place whose model was trained with a parameter that was given."""
    assert isinstance(place.materialize(MODEL, parameters={"max_iter": 6}), Published)
    return place


def test_given_parameters_stay(tuned: Place) -> None:
    """The model is up to date."""
    assert after_an_edit(tuned, MODEL)[0] is None


def test_given_parameters_stay_when_it_is_trained_again(tuned: Place, tmp_path: Path) -> None:
    """For another seed or other data the model is trained with them."""
    reason, outcome = after_an_edit(tuned, MODEL, model(seed=1))
    assert reason == "recipe changed: seed 0 -> 1"
    assert isinstance(outcome, Published)
    assert outcome.publication.extra["made_from"]["parameters"] == {"max_iter": 6}


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"params": {"max_iter": 7}}, "parameter max_iter 6 -> 7"),
        ({"function": training}, "definition, parameter max_iter 6 -> 5"),
    ],
    ids=["parameters", "function"],
)
def test_an_edit_names_others(tuned: Place, edit: Mapping[str, Any], says: str) -> None:
    """Whoever edits what is declared names it: the declared values are taken, and `check` says so."""
    edited = model(**edit)
    (reason,) = (s.reason for s in standings(tuned.new_machinery(edited)) if s.unit == MODEL)
    assert reason is not None
    assert says in reason
    after_an_edit(tuned, MODEL, edited)
    parameters = tuned.publication(MODEL).extra["made_from"]["parameters"]
    assert parameters == dict(edited.models["late"].params)


def test_somebody_names_other_parameters(tuned: Place) -> None:
    """Those that are not named are as declared; without any, all are."""
    assert isinstance(tuned.materialize(MODEL), Published)
    assert after_an_edit(tuned, MODEL)[0] is None
    assert tuned.publication(MODEL).extra["made_from"]["parameters"] == {"max_iter": 5}


def test_a_float_stays_a_float(place: Place) -> None:
    """Canonical JSON writes 1.0 as 1; the function receives what was given."""
    SEEN.clear()
    options: Mapping[int, Mapping[str, Any]] = {0: {"parameters": {"rate": 1.0}}, 1: {"keep": True}}
    for seed in options:
        edited = model(params={"rate": 0.5}, function=training, seed=seed)
        assert isinstance(place.materialize(MODEL, machinery=place.new_machinery(edited), **options[seed]), Published)
    assert [(1.0, float)] * 2 == [(value, type(value)) for value in SEEN]


def test_an_old_record_of_parameters(tuned: Place) -> None:
    """Which were given is not recorded: they count as edited, and are named."""
    forget(tuned, MODEL)
    assert after_an_edit(tuned, MODEL)[0] == "recipe changed: parameter max_iter 6 -> 5"
