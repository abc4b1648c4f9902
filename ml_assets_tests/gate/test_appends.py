"""Sources that grow: every batch is in the table once, whoever races or fails, and the digest is that of all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.errors import UnrecordedChange
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import passes
from ml_assets.lib.declare import Field
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.outcome import Outcome, Published, Refused, Unchanged
from ml_assets.lib.gate.units.appends import AppendWork, batches
from ml_assets_tests.gate.children import Child, DieAt, Job
from ml_assets_tests.gate.logs import BATCH, LogPlace, appending, batch, log_place, write_batch
from ml_assets_tests.gate.trips import contracts
from ml_assets_tests.gate.world import SOURCE, SPLIT, TRIPS, VIEW, Place, write_trips

LAKE = "ml_assets.lib.lake.client:Lake."


@pytest.fixture
def log(place_before: Callable[[Unit], Place]) -> LogPlace:
    """A place where no batch is published yet."""
    return log_place(place_before(SOURCE))


@pytest.fixture
def append(log: LogPlace, tmp_path: Path) -> Callable[..., Outcome]:
    """Appends a batch by its number; options as of `Place.materialize`."""
    return lambda number, **options: log.materialize(SOURCE, path=write_batch(tmp_path, number), **options)


def whole(log: LogPlace) -> str:
    """The digest of all rows, read anew."""
    return digest(log.machinery.systems.tables.scan(SOURCE.table, log.head))


def check_holds(log: LogPlace, *numbers: int) -> None:
    """Assert that exactly these batches are published, each once, by the digest of their rows."""
    log.check_whole()
    expected = sorted(row["trip"] for number in numbers for row in batch(number))
    assert expected == sorted(row["trip"] for row in log.rows(SOURCE))
    publication = log.publication(SOURCE)
    assert whole(log) == publication.digest
    assert len(expected) == publication.outputs[0].rows == publication.extra["append"]["rows"]
    assert len(numbers) == len(batches(publication))


# One after the other


def test_batches_add_up(log: LogPlace, append: Callable[..., Outcome]) -> None:
    """The first one makes the table, each further one adds its rows as one more file."""
    for number in (1, 2, 3):
        assert isinstance(append(number), Published)
    check_holds(log, 1, 2, 3)
    assert 3 == len(list(log.lake.ls(log.head, f"{SOURCE.table_path}data/")))


def test_a_batch_that_is_there_is_unchanged(log: LogPlace, append: Callable[..., Outcome]) -> None:
    """The newest and an older one, under another file name, and with code that reads files differently."""
    append(1)
    append(2)
    head = log.head
    copy = write_trips(log.home / "copy.csv", batch(1))
    assert isinstance(log.materialize(SOURCE, path=copy), Unchanged)
    assert isinstance(append(2), Unchanged)
    newer = replace(appending().sources["trips"], libraries=("pyarrow", "numpy"))
    machinery = log.new_machinery(replace(appending(), sources={"trips": newer}))
    assert isinstance(append(1, machinery=machinery), Unchanged)
    assert head == log.head
    assert isinstance(append(3, machinery=machinery), Published)
    check_holds(log, 1, 2, 3)


def test_the_order_does_not_matter(log: LogPlace, append: Callable[..., Outcome], tmp_path: Path) -> None:
    """The same batches in another order are the same recipe and the same digest."""
    other = log.with_target("other")
    for number in (1, 2, 3):
        append(number)
    for number in (2, 3, 1):
        other.materialize(SOURCE, path=write_batch(tmp_path, number))
    one, two = log.publication(SOURCE), other.publication(SOURCE)
    assert (one.recipe, one.digest) == (two.recipe, two.digest)


def test_only_new_rows_are_summed_up(
    log: LogPlace, append: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published is not read again for the digest."""
    append(1)
    monkeypatch.setattr("ml_assets.lib.engines.duckdb.DuckDBSession.row_sum", None)
    assert isinstance(append(2), Published)
    check_holds(log, 1, 2)


def test_a_batch_that_fails_its_audit_is_not_appended(log: LogPlace, tmp_path: Path) -> None:
    """Keys that an earlier batch has are found, although they are unique in the file."""
    log.materialize(SOURCE, path=write_batch(tmp_path, 1))
    again = write_trips(tmp_path / "again.csv", [*batch(1)[:3], *batch(2)])
    outcome = log.materialize(SOURCE, path=again)
    assert isinstance(outcome, Refused)
    failed = [result.check for result in outcome.verdict if not result.passed and result.severity == "error"]
    assert ["contract"] == failed
    check_holds(log, 1)
    assert isinstance(log.materialize(SOURCE, path=write_batch(tmp_path, 2)), Published)
    check_holds(log, 1, 2)


def test_a_source_that_was_replaced_so_far(place: Place, tmp_path: Path) -> None:
    """Its file is the first batch: nothing is lost, and it is not appended a second time."""
    log = log_place(place)
    log.materialize(SOURCE, path=write_batch(tmp_path, 1))
    assert TRIPS + BATCH == len(log.rows(SOURCE))
    assert whole(log) == log.publication(SOURCE).digest
    assert isinstance(log.materialize(SOURCE), Unchanged)
    assert 2 == len(batches(log.publication(SOURCE)))


def test_what_rests_on_it_follows(log: LogPlace, append: Callable[..., Outcome]) -> None:
    """A split and a view of a table that grew are made anew."""
    append(1)
    assert isinstance(log.materialize(SPLIT), Published)
    append(2)
    assert isinstance(log.materialize(SPLIT), Published)
    assert isinstance(log.materialize(VIEW), Published)
    assert 2 * BATCH == len(log.rows(SPLIT))


class NotedTrips(contracts.Trips):
    """As before, with a note."""

    note: str = Field(nullable=True, description="What the driver says")


def noted(trips: Path) -> pa.Table:
    """The trips, with a note."""
    rows = appending().sources["trips"].function(trips)
    return rows.append_column("note", pa.array(["fine"] * rows.num_rows))


def test_a_wider_contract(log: LogPlace, append: Callable[..., Outcome]) -> None:
    """A new column is null in older rows; the digest is that of all rows under the new columns."""
    append(1)
    wider = replace(appending().sources["trips"], contract=NotedTrips, function=noted)
    machinery = log.new_machinery(replace(appending(), sources={"trips": wider}))
    for number in (2, 3):
        assert isinstance(append(number, machinery=machinery), Published)
    check_holds(log, 1, 2, 3)
    assert [None] * BATCH + ["fine"] * 2 * BATCH == [row["note"] for row in log.rows(SOURCE)]


def test_other_rules_judge_again(log: LogPlace, append: Callable[..., Outcome]) -> None:
    """The batches stay recorded."""
    append(1)
    append(2)
    source = appending().sources["trips"]
    machinery = log.new_machinery(replace(appending(), sources={"trips": replace(source, rules=source.rules[:1])}))
    outcome = append(2, machinery=machinery)
    assert isinstance(outcome, Published)
    assert not outcome.recomputed
    check_holds(log, 1, 2)


# On demand, and behind the gate


def test_recompute_of_what_is_there_confirms_it(log: LogPlace, append: Callable[..., Outcome]) -> None:
    """Old files may be gone, so the table is not built from them again: what is published stands."""
    append(1)
    append(2)
    outcome = append(1, recompute=True)
    assert isinstance(outcome, Unchanged)
    assert outcome.confirmed
    check_holds(log, 1, 2)


@pytest.mark.parametrize("number", [1, 3], ids=["a batch that is there", "a new batch"])
def test_recompute_puts_right_what_was_changed_behind_the_gate(
    log: LogPlace, append: Callable[..., Outcome], number: int
) -> None:
    """The published rows are restored from the audited commit."""
    append(1)
    append(2)
    log.machinery.systems.tables.catalog(log.target).load_table(SOURCE.table).delete("trip = 'b001-t00003'")
    log.lake.commit(log.target, "behind the gate", {})
    with pytest.raises(UnrecordedChange):
        append(number)
    assert isinstance(append(number, recompute=True), Published)
    check_holds(log, *sorted({1, 2, number}))
    assert isinstance(append(number), Unchanged)


# At the same time


class Meanwhile:
    """Appends other batches whenever an attempt has been checked, and counts how often files are read."""

    def __init__(self, log: LogPlace, folder: Path, others: list[int]) -> None:
        self.log, self.folder, self.others, self.attempts = log, folder, others, 0

    def __call__(self, step: Step, _unit: Unit) -> None:
        """After the verdict of an attempt, publish the next of the other batches."""
        if step == Step.VERDICT:
            self.attempts += 1
            if self.others:
                path = write_batch(self.folder, self.others.pop(0))
                assert isinstance(
                    self.log.materialize(SOURCE, path=path, machinery=self.log.new_machinery()), Published
                )


def test_who_loses_a_race_is_replayed(
    log: LogPlace, append: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times in a row; its file is read once, its data is written once, and it is judged with the rest."""
    append(1)
    meanwhile = Meanwhile(log, tmp_path, [2, 3, 4])
    read, files = AppendWork.read, []

    def counted(work: AppendWork) -> pa.Table:
        files.append(work.files["trips"].name)
        return read(work)

    monkeypatch.setattr(AppendWork, "read", counted)
    outcome = append(9, machinery=log.new_machinery(observe=meanwhile))
    assert isinstance(outcome, Published)
    assert passes(outcome.verdict)
    assert 4 == meanwhile.attempts
    assert ["batch-009.csv", "batch-002.csv", "batch-003.csv", "batch-004.csv"] == files
    check_holds(log, 1, 2, 3, 4, 9)
    assert 5 == len(list(log.lake.ls(log.head, f"{SOURCE.table_path}data/")))


def test_a_replayed_batch_is_audited_again(log: LogPlace, append: Callable[..., Outcome], tmp_path: Path) -> None:
    """Two batches that are sound by themselves have a key in common: the second one is refused."""
    append(1)
    both = write_trips(tmp_path / "both.csv", [*batch(2)[:1], *batch(3)])
    machinery = log.new_machinery(observe=Meanwhile(log, tmp_path, [2]))
    assert isinstance(log.materialize(SOURCE, path=both, machinery=machinery), Refused)
    check_holds(log, 1, 2)


def test_the_same_batch_twice_at_once(log: LogPlace, append: Callable[..., Outcome], tmp_path: Path) -> None:
    """The second finds it published: not an error, and not twice in the table."""
    append(1)
    assert isinstance(append(2, machinery=log.new_machinery(observe=Meanwhile(log, tmp_path, [2]))), Unchanged)
    check_holds(log, 1, 2)


def test_the_first_batches_at_once(log: LogPlace, append: Callable[..., Outcome], tmp_path: Path) -> None:
    """Both make the table: that is not replayed, but read again and appended."""
    assert isinstance(append(1, machinery=log.new_machinery(observe=Meanwhile(log, tmp_path, [2]))), Published)
    check_holds(log, 1, 2)


# Killed

KILLS = [
    *(DieAt(f"{LAKE}{call}", when) for call in ("put", "commit", "merge", "drop") for when in ("before", "after")),
    DieAt("ml_assets.lib.tables.tables:Tables.append", "after"),
]


@pytest.mark.parametrize("point", KILLS, ids=str)
def test_killed(log: LogPlace, append: Callable[..., Outcome], tmp_path: Path, point: DieAt) -> None:
    """Whether the batch had landed or not, the next run leaves it in the table once."""
    append(1)
    Child(Job(log, [SOURCE], die_at=point, options={"path": write_batch(tmp_path, 2)})).death()
    log.check_whole()
    append(2, machinery=log.new_machinery())
    check_holds(log, 1, 2)
