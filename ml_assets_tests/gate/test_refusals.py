"""What does not pass its audit: the target stays where it was, the branch is kept and explains itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest

from ml_assets.lib.core.errors import ContractError, MissingInput
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.core.recipe import canonical_json
from ml_assets.lib.core.refs import Branch
from ml_assets.lib.declare import Field, Int32, load, rule
from ml_assets.lib.gate.outcome import Published, Refused, Unchanged
from ml_assets.lib.gate.plan import Partition
from ml_assets.lib.gate.units.sources import SourceWork
from ml_assets.lib.tracking import registry
from ml_assets_tests.gate.trips import contracts
from ml_assets_tests.gate.world import (
    BEGIN,
    FRAME,
    MODEL,
    SOURCE,
    SPLIT,
    TRIPS,
    VIEW,
    Place,
    changed,
    declarations,
    mlflow_runs,
    new_run,
    trips,
    write_trips,
)
from ml_assets_tests.lakes import LakeEndpoint
from ml_assets_tests.twin import POISONS, Twin, write_twin

Rows = list[dict[str, Any]]


def duplicate_keys(rows: Rows) -> Rows:
    """Seven trips twice."""
    return rows + rows[:7]


def impossible_minutes(rows: Rows) -> Rows:
    """Three trips of a negative duration, two that took a day."""
    for number, row in enumerate(rows[:5]):
        row["minutes"] = -1 if number < 3 else 24 * 60
    return rows


def known_tomorrow(rows: Rows) -> Rows:
    """Four trips that ended long after they were ingested."""
    for row in rows[:4]:
        row["ended"] = BEGIN.replace(year=2200).isoformat()
    return rows


def no_rows(rows: Rows) -> Rows:
    """Nothing but the header."""
    return []


def ends_before_it_starts(rows: Rows) -> Rows:
    """Two trips that arrived before they had left."""
    for row in rows[:2]:
        row["ended"] = BEGIN.replace(year=1999).isoformat()
    return rows


def null_car(rows: Rows) -> Rows:
    """A trip without a taxi."""
    rows[0]["car"] = None
    return rows


REFUSED = [
    (duplicate_keys, "contract", {"unique(trip)": 7}),
    (impossible_minutes, "contract", {"minutes: ge": 3, "minutes: le": 2}),
    (null_car, "contract", {"car: null": 1}),
    (known_tomorrow, "known_in_time", {"ended: after ingestion": 4}),
    (ends_before_it_starts, "ends_after_it_starts", {"ends_after_it_starts": 2}),
    (no_rows, "not_empty", {"no rows": 1}),
]
"""What is wrong, which check says so, and what it counts."""


def refused(place: Place, unit: Unit, **options: Any) -> Refused:
    """Materialize *unit*, which must be refused; the target must not move, and the branch must explain itself."""
    before, run = place.head, new_run()
    outcome = place.materialize(unit, run=run, **options)
    assert isinstance(outcome, Refused)
    assert before == place.head
    assert [outcome.branch.name] == place.left_by(run)
    assert outcome.commit == place.lake.head(outcome.branch)
    told = Publication.from_bytes(place.lake.read(outcome.commit, unit.publication_path) or b"")
    assert (outcome.verdict, outcome.branch.name, unit) == (told.verdict, told.run["branch"], told.unit)
    return outcome


@pytest.mark.parametrize(("poison", "check", "counts"), REFUSED, ids=lambda item: getattr(item, "__name__", ""))
def test_poisoned_source(
    place: Place, tmp_path: Path, poison: Callable[[Rows], Rows], check: str, counts: dict[str, int]
) -> None:
    """A bad file is refused with failing rows and counts; its rows can be looked at; the next good run is green."""
    file = write_trips(tmp_path / "poison.csv", poison(trips()))
    outcome = refused(place, SOURCE, path=file)
    (result,) = (result for result in outcome.verdict if result.check == check)
    assert (False, counts) == (result.passed, result.counts)
    if check != "not_empty":
        assert sum(counts.values()) == result.rows_failed >= len(result.examples) > 0
    audited = Publication.from_bytes(place.lake.read(outcome.commit, SOURCE.publication_path) or b"").audited
    assert len(poison(trips())) == len(place.rows(SOURCE, audited))
    good = write_trips(tmp_path / "good.csv", trips(TRIPS + 1))
    assert isinstance(place.materialize(SOURCE, path=good), Published)
    place.check_whole()


def test_whatever_a_late_fact_holds_is_recorded(place: Place) -> None:
    """Numbers that JSON lacks are told as text: a verdict that could not be written would refuse nothing."""
    late = {"ended": [BEGIN.replace(year=2200)], "count": [2**60], "share": [float("nan")]}
    work = place.work(SOURCE)
    assert isinstance(work, SourceWork)
    known = work._known_in_time(ibis.memtable(pa.table(late)))
    assert known is not None
    assert {"ended: after ingestion": 1} == known.counts
    (shown,) = json.loads(canonical_json(known.as_json()))["examples"]
    assert {"ended": "2200-06-01T00:00:00+00:00", "count": str(2**60), "share": "nan"} == shown


@pytest.mark.parametrize("content", ["", "trip,car\nt1,c1\n", "trip,car,started,ended,minutes,seats\nt,c,x,,,\n"])
def test_unreadable_source(place: Place, tmp_path: Path, content: str) -> None:
    """A file that is empty, lacks columns or holds no times is an error of the data, told with the file's name."""
    file, before = tmp_path / "broken.csv", place.head
    file.write_text(content)
    with pytest.raises(ContractError, match=r"broken\.csv"):
        place.materialize(SOURCE, path=file)
    assert before == place.head
    assert isinstance(place.materialize(SOURCE), Unchanged)


def test_file_that_changes_while_it_is_read(place: Place, tmp_path: Path) -> None:
    """The hash in the recipe is that of the rows: a file that is being written is refused."""
    file = write_trips(tmp_path / "growing.csv", trips(TRIPS + 1))
    work, before = place.work(SOURCE, path=file), place.head
    write_trips(file, trips(TRIPS + 2))
    with pytest.raises(ContractError, match=r"growing\.csv changed"):
        place.machinery.gate.materialize(work, new_run())
    assert before == place.head


def test_refused_first_publication_leaves_nothing_for_others(place_before: Any, tmp_path: Path) -> None:
    """What rests on a source that was refused at first does not run, and is told what to do."""
    place = place_before(SOURCE)
    refused(place, SOURCE, path=write_trips(tmp_path / "poison.csv", duplicate_keys(trips())))
    for unit in (SPLIT, VIEW):
        with pytest.raises(MissingInput, match=f"{unit} needs sources/trips.*materialize sources/trips first"):
            place.materialize(unit)
    assert {} == place.published()


def test_refused_source_keeps_the_old_one_in_use(place: Place, tmp_path: Path) -> None:
    """While new data are refused, everything goes on with those that were published before."""
    refused(place, SOURCE, path=write_trips(tmp_path / "poison.csv", duplicate_keys(trips())))
    assert all(isinstance(place.materialize(unit), Unchanged) for unit in (SPLIT, VIEW, FRAME, MODEL))


@rule()
def nobody_is_fast(longest: ir.Table) -> ir.Table:
    """No trip takes less than a quarter of an hour."""
    return longest.filter(longest.longest < 15)


class Bounded(contracts.LateFrame):
    """As `LateFrame`, but for a bound that the data break."""

    label: Int32 = Field(isin=(0,), description="Never late")


def test_rule_of_a_view_refuses(place_before: Callable[[Unit], Place]) -> None:
    """A rule stops a feature view with the rows that break it."""
    place, declared = place_before(VIEW), declarations()
    views = {**declared.views, ("longest", 1): replace(declared.views["longest", 1], rules=(nobody_is_fast,))}
    outcome = refused(place, VIEW, machinery=place.new_machinery(changed(views=views)))
    fast = sum(1 for row in trips() if row["minutes"] is not None and row["minutes"] < 15)
    assert fast - 5 <= outcome.verdict[-1].rows_failed <= fast
    assert all(example["longest"] < 15 for example in outcome.verdict[-1].examples)
    assert isinstance(place.materialize(VIEW), Published)


def test_contract_of_a_frame_refuses(place_before: Callable[[Unit], Place]) -> None:
    """A frame whose rows break its contract is not published, and nothing is trained on it."""
    place = place_before(FRAME)
    frames = {"late": replace(declarations().frames["late"], contract=Bounded)}
    machinery = place.new_machinery(changed(frames=frames))
    refused(place, FRAME, machinery=machinery)
    with pytest.raises(MissingInput, match="frames/late@hash-s42__v1"):
        place.materialize(MODEL, machinery=machinery)
    assert isinstance(place.materialize(FRAME), Published)


def test_floor_of_a_model_refuses(place_before: Callable[[Unit], Place]) -> None:
    """A model below its floor is not registered; its MLflow run ends as KILLED, and says nothing of being published."""
    place = place_before(MODEL)
    models = {"late": replace(declarations().models["late"], floors={"test/roc_auc": 0.999})}
    outcome = refused(place, MODEL, machinery=place.new_machinery(changed(models=models)))
    (floors,) = (result for result in outcome.verdict if result.check == "floors")
    assert {"test/roc_auc below 0.999": 1} == floors.counts
    assert 0.999 == floors.examples[0]["floor"]
    assert [("KILLED", None)] == list(mlflow_runs(place).values())
    assert () == registry.versions_by(place.machinery.tracking, "late")
    assert isinstance(place.materialize(MODEL), Published)
    assert 1 == len(registry.versions_by(place.machinery.tracking, "late"))


def test_metric_that_cannot_be_computed_misses_its_floor(place_before: Callable[[Unit], Place]) -> None:
    """A floor for a split without rows is not reached."""
    place = place_before(MODEL)
    models = {"late": replace(declarations().models["late"], floors={"test/no_such": 0.1})}
    outcome = refused(place, MODEL, machinery=place.new_machinery(changed(models=models)))
    assert [{"metric": "test/no_such", "value": None, "floor": 0.1}] == list(outcome.verdict[-1].examples)


# The real declarations, over the twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """Generated flights, in the place of the real ones."""
    twin = write_twin(tmp_path_factory.mktemp("twin"), flights=3000)
    sys.path.insert(0, str(twin.folder))
    yield twin
    sys.path.remove(str(twin.folder))


@pytest.fixture(scope="module")
def flights(lake_endpoint: LakeEndpoint, twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A lake in which the twin's flights are published."""
    home = tmp_path_factory.mktemp("flights")
    place = Place(lake_endpoint, lake_endpoint.new_lake().repository, Branch("main"), home, twin.folder)
    assert isinstance(materialize_flights(place), Published)
    return place


def materialize_flights(place: Place, path: Path | None = None) -> Any:
    """Materialize ``sources/flights`` as the project declares it."""
    machinery = place.new_machinery(load())
    asset = machinery.plan.assets["sources/flights"]
    work = machinery.plan.work(machinery.systems, asset, Partition(), path=path)
    assert work is not None
    return machinery.gate.materialize(work, new_run())


@pytest.mark.parametrize("kind", POISONS)
def test_poisoned_flights(flights: Place, twin: Twin, kind: str) -> None:
    """Each poison of the twin is stopped, by a verdict or because the file cannot be read; the target stays."""
    before = flights.head
    if kind in ("missing_column", "empty_file"):
        with pytest.raises(ContractError, match=r"flights\.csv\.zip"):
            materialize_flights(flights, twin.poisoned(kind))
    else:
        outcome = materialize_flights(flights, twin.poisoned(kind))
        assert isinstance(outcome, Refused)
        failed = {r.check: r for r in outcome.verdict if not r.passed and not r.not_applicable}
        assert {
            "duplicate_keys": "contract",
            "impossible_delay": "contract",
            "late_timestamp": "known_in_time",
            "no_rows": "not_empty",
        }[kind] in failed
        assert all(result.counts and (result.examples or kind == "no_rows") for result in failed.values())
    assert before == flights.head
    assert isinstance(materialize_flights(flights), Unchanged)
