"""Maintenance is one more gated publish: smaller tables, the same digests, nothing lost, nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.lib.core.errors import BrokenClosure, ConfigError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate import look
from ml_assets.lib.gate.branches import list_branches
from ml_assets.lib.gate.gate import Step
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.maintain import Maintained, State, maintain
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.gate.children import Child, DieAt, Job
from ml_assets_tests.gate.logs import LogPlace, log_place, write_batch
from ml_assets_tests.gate.world import (
    FRAME,
    MODEL,
    SOURCE,
    SPLIT,
    TABLES,
    TRIPS,
    UNITS,
    VIEW,
    Place,
    World,
    new_run,
    trips,
    write_trips,
)

NOTHING_KEPT = timedelta(days=-1)
"""Even snapshots of this moment are old."""
LAKE = "ml_assets.lib.lake.client:Lake."


def run_maintenance(
    place: Place, *names: str, machinery: Machinery | None = None, keep: timedelta = NOTHING_KEPT, **options: Any
) -> dict[Unit, Maintained]:
    """Maintain as another process would; what came of each table."""
    found = maintain(machinery or place.new_machinery(), names, run=new_run(), keep=keep, **options)
    return {maintained.unit: maintained for maintained in found}


@pytest.fixture(scope="module")
def grown(world: World, tmp_path_factory: pytest.TempPathFactory) -> LogPlace:
    """A place where everything is published; then six batches of trips came, so that the source has seven files."""
    log, folder = log_place(world.place(tmp_path_factory.mktemp("grown"))), tmp_path_factory.mktemp("batches")
    for number in range(6):
        assert isinstance(log.materialize(SOURCE, path=write_batch(folder, number)), Published)
    return log


@pytest.fixture
def log(grown: LogPlace, place: Place) -> LogPlace:
    """The same, of the test's own."""
    return log_place(place.with_target(f"{place.target}-grown", grown.head))


def test_tables_get_small_and_stay_what_they_are(log: LogPlace) -> None:
    """The publication keeps everything but where its data lies; nothing is stale, and nothing looks changed."""
    before, state = log.publication(SOURCE), log.head
    rows = log.rows(SOURCE)
    found = run_maintenance(log, "sources/trips")[SOURCE]
    assert State.MAINTAINED == found.state
    assert found.before is not None
    assert found.after is not None
    assert (7, 7, 7) == (found.before.files, found.before.manifests, found.before.snapshots)
    assert (1, 1, 1) == (found.after.files, found.after.manifests, found.after.snapshots)
    assert found.after.objects < found.before.objects
    assert found.after.bytes < found.before.bytes
    assert found.commit == log.head
    now = log.publication(SOURCE)
    assert now.audited != before.audited
    assert (before.digest, before.recipe, before.run, before.inputs, before.verdict, before.as_input()) == (
        *(now.digest, now.recipe, now.run, now.inputs, now.verdict),
        now.as_input(),
    )
    assert found.after.bytes > now.outputs[0].bytes
    assert rows == log.rows(SOURCE)
    assert rows == log.rows(SOURCE, state)
    log.check_whole()
    assert isinstance(log.materialize(SOURCE, path=write_batch(log.home, 3)), Unchanged)


def test_what_others_published_elsewhere_is_not_in_the_way(log: LogPlace) -> None:
    """A publication of a later version, on a target of its own, keeps nobody from maintaining this one."""
    other = log.with_target(f"{log.target}-later")
    data = other.publication(VIEW).to_bytes().replace(b'"format":1', b'"format":2')
    other.lake.put(other.target, VIEW.publication_path, data)
    other.lake.commit(other.target, "from the future", {})
    try:
        assert State.MAINTAINED == run_maintenance(log, "sources/trips")[SOURCE].state
    finally:
        other.lake.drop(other.target)


def test_maintaining_again_finds_everything_in_order(log: LogPlace) -> None:
    """No branch is opened, no commit made."""
    assert {State.MAINTAINED, State.IN_ORDER} >= {found.state for found in run_maintenance(log).values()}
    head, branches = log.head, {found.name for found in list_branches(log.machinery)}
    assert set(TABLES) == set(again := run_maintenance(log))
    assert {State.IN_ORDER} == {found.state for found in again.values()}
    assert head == log.head
    assert branches == {found.name for found in list_branches(log.machinery)}


def test_a_dry_run_only_says_what_is_to_be_done(log: LogPlace) -> None:
    """In figures, and truly."""
    head = log.head
    found = run_maintenance(log, "sources.trips", dry_run=True)[SOURCE]
    assert (State.PLANNED, None) == (found.state, found.after)
    assert found.plan is not None
    assert (7, 7, 7) == (found.plan.merge_files, found.plan.merge_manifests, found.plan.expire)
    assert head == log.head
    assert found.plan.remove > 7
    done = run_maintenance(log, "sources.trips")[SOURCE]
    assert done.before is not None
    assert done.after is not None
    # Removed as said; the merged file, two manifests, a manifest list and a version come.
    assert done.before.objects - found.plan.remove + 5 == done.after.objects


def test_young_snapshots_stay(log: LogPlace) -> None:
    """A week, unless something else is said."""
    found = run_maintenance(log, str(SOURCE), keep=timedelta(days=7))[SOURCE]
    assert found.after is not None
    assert (1, 8) == (found.after.files, found.after.snapshots)


def test_what_is_not_published_cannot_be_maintained(place: Place) -> None:
    """A name that means nothing is told, with the names there are."""
    with pytest.raises(ConfigError, match=r"no published table is named sources/nope, models/late; choose of .*trips"):
        run_maintenance(place, "sources/nope", "models/late")


def test_one_that_was_changed_behind_the_gate_is_not_passed_off_as_audited(log: LogPlace) -> None:
    """It is told, and keeps no other from being maintained."""
    log.machinery.systems.tables.catalog(log.target).load_table(SOURCE.table).delete("trip = 't00003'")
    log.lake.commit(log.target, "behind the gate", {})
    log.machinery.systems.tables.write(
        SPLIT.table,
        log.target,
        log.machinery.systems.tables.scan(SPLIT.table, log.target),
        schema=log.machinery.systems.tables.catalog(log.target).load_table(SPLIT.table).schema(),
        properties={},
    )
    log.lake.commit(log.target, "behind the gate", {})
    head, found = log.head, run_maintenance(log)
    told = {unit: State.FAILED if unit in (SOURCE, SPLIT) else State.IN_ORDER for unit in TABLES}
    assert told == {unit: maintained.state for unit, maintained in found.items()}
    assert "not what was published; materialize it with --recompute" in found[SOURCE].note
    assert head == log.head


def test_a_maintenance_that_would_change_rows_is_not_published(log: LogPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: the digest is taken from the rows as they lie on the branch."""
    real = Tables.scan

    def forgetful(tables: Tables, branch: Any) -> None:
        rows = real(tables, SOURCE.table, branch).read_all().slice(1)
        schema = tables.catalog(branch).load_table(SOURCE.table).schema()
        tables.write(SOURCE.table, branch, rows, schema=schema, properties={})

    monkeypatch.setattr(
        "ml_assets.lib.tables.maintain.tidy", lambda tables, _table, branch, **_options: forgetful(tables, branch)
    )
    head, found = log.head, run_maintenance(log)[SOURCE]
    assert (State.FAILED, True) == (found.state, "would change its rows" in found.note)
    assert head == log.head


def test_what_frames_and_models_read_stays_readable(log: LogPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their commits are looked at, each state of the table once; one that is broken stops the maintenance."""
    asked = []
    real = Tables.check_closure

    def checked(tables: Tables, table: str, commit: Any, **options: Any) -> None:
        asked.append(commit)
        if commit == pin:
            raise BrokenClosure("made up", remedy="none")
        real(tables, table, commit, **options)

    pin = None
    monkeypatch.setattr(Tables, "check_closure", checked)
    tables, frame_pin = log.machinery.systems.tables, log.publication(FRAME).pin
    assert State.MAINTAINED == run_maintenance(log)[SOURCE].state
    read = tables.head(SOURCE.table, frame_pin).path
    (pin,) = (commit for commit in asked if tables.head(SOURCE.table, commit).path == read)
    assert len(asked) == len(set(asked))
    log.materialize(SOURCE, path=write_trips(log.home / "more.csv", trips(TRIPS + 9)[-9:]))
    head = log.head
    assert (State.FAILED, True) == ((found := run_maintenance(log)[SOURCE]).state, "made up" in found.note)
    assert head == log.head


def test_frames_and_models_are_reproduced_as_before(place: Place, tmp_path: Path) -> None:
    """After every table was maintained, and replaced, and maintained again."""
    published = place.publication(FRAME)
    more = write_trips(tmp_path / "more.csv", trips(TRIPS + 20))
    for path in (more, None):
        assert isinstance(place.materialize(SOURCE, path=path), Published)
        assert State.MAINTAINED == run_maintenance(place)[SOURCE].state
    for unit in UNITS[1:]:
        assert isinstance(place.materialize(unit), Unchanged)
    found = look.frame(place.new_machinery(), "late", split_version="hash-s42", feature_version="v1")
    assert published.digest == found.digest
    assert isinstance(place.materialize(FRAME, recompute=True), Unchanged)
    assert isinstance(place.materialize(MODEL), Unchanged)


def test_a_stale_unit_is_maintained_too(place: Place, tmp_path: Path) -> None:
    """That its input moved on is no reason to leave it large."""
    assert isinstance(place.materialize(SOURCE, path=write_trips(tmp_path / "a.csv", trips(TRIPS + 20))), Published)
    assert isinstance(place.materialize(SPLIT), Published)
    assert isinstance(place.materialize(SOURCE, path=write_trips(tmp_path / "b.csv", trips(TRIPS + 30))), Published)
    assert State.MAINTAINED == run_maintenance(place)[SPLIT].state
    place.check_whole()


# At the same time


def after(step: Step, do: Callable[[], object]) -> Callable[[Step, Unit], None]:
    """An observer that does something once, after *step*."""
    waiting = [do]

    def observe(taken: Step, _unit: Unit) -> None:
        if taken == step and waiting:
            waiting.pop()()

    return observe


@pytest.mark.parametrize("step", [Step.PIN, Step.WRITE, Step.VERDICT, Step.CHECK])
def test_the_unit_is_published_meanwhile(log: LogPlace, tmp_path: Path, step: Step) -> None:
    """Maintenance begins again, on what was published."""

    def publish() -> None:
        outcome = log.materialize(SOURCE, path=write_batch(tmp_path, 7), machinery=log.new_machinery())
        assert isinstance(outcome, Published)

    found = run_maintenance(log, str(SOURCE), machinery=log.new_machinery(observe=after(step, publish)))[SOURCE]
    assert State.MAINTAINED == found.state
    assert found.before is not None
    assert 8 == found.before.files
    log.check_whole()
    assert isinstance(log.materialize(SOURCE, path=write_batch(tmp_path, 7)), Unchanged)
    assert TRIPS + 7 * 20 == len(log.rows(SOURCE))


@pytest.mark.parametrize("step", [Step.PIN, Step.WRITE, Step.VERDICT, Step.CHECK])
def test_maintained_while_the_unit_is_published(log: LogPlace, tmp_path: Path, step: Step) -> None:
    """The batch is put on top of the smaller table."""

    def clean_up() -> None:
        assert State.MAINTAINED == run_maintenance(log, str(SOURCE))[SOURCE].state

    machinery = log.new_machinery(observe=after(step, clean_up))
    assert isinstance(log.materialize(SOURCE, path=write_batch(tmp_path, 7), machinery=machinery), Published)
    log.check_whole()
    assert TRIPS + 7 * 20 == len(log.rows(SOURCE))
    assert 2 == len(list(log.lake.ls(log.head, f"{SOURCE.table_path}data/")))


def test_another_unit_is_published_meanwhile(log: LogPlace) -> None:
    """They do not disturb one another, even if one is made from the other."""

    def publish() -> None:
        assert isinstance(log.materialize(SPLIT, machinery=log.new_machinery()), Published)

    found = run_maintenance(log, str(SOURCE), machinery=log.new_machinery(observe=after(Step.CHECK, publish)))
    assert State.MAINTAINED == found[SOURCE].state
    log.check_whole()
    assert isinstance(log.materialize(SPLIT), Unchanged)


# Killed


@dataclass(frozen=True)
class MaintainJob(Job):
    """Maintains the table of a unit."""

    def do(self, unit: Unit, machinery: Machinery) -> Maintained:
        """One pass over it."""
        (found,) = maintain(machinery, [str(unit)], run=self.run, keep=NOTHING_KEPT)
        return found


def check_maintained_once_more(log: LogPlace, rows: list[dict[str, Any]]) -> None:
    """Assert that nothing was lost, and that the next maintenance leaves everything in order."""
    log.check_whole()
    assert rows == log.rows(SOURCE)
    assert run_maintenance(log, str(SOURCE))[SOURCE].state in (State.MAINTAINED, State.IN_ORDER)
    log.check_whole()
    assert rows == log.rows(SOURCE)
    assert State.IN_ORDER == run_maintenance(log, str(SOURCE))[SOURCE].state


@pytest.mark.parametrize("step", [step for step in Step if step not in (Step.RECIPE, Step.SETTLE)])
def test_killed_between_two_steps(log: LogPlace, step: Step) -> None:
    """No row is lost; before the merge nothing has happened, after it everything."""
    rows, head = log.rows(SOURCE), log.head
    Child(MaintainJob(log, [SOURCE], die_after=step)).death()
    assert (head == log.head) == (step != Step.PUBLISH)
    check_maintained_once_more(log, rows)


@pytest.mark.parametrize(
    "point",
    [DieAt(f"{LAKE}{call}", when) for call in ("delete", "commit", "put", "merge") for when in ("before", "after")],
    ids=str,
)
def test_killed_inside_a_step(log: LogPlace, point: DieAt) -> None:
    """Around every effect."""
    rows = log.rows(SOURCE)
    Child(MaintainJob(log, [SOURCE], die_at=point)).death()
    check_maintained_once_more(log, rows)


def test_what_a_killed_maintenance_left_is_pruned(log: LogPlace) -> None:
    """Its branch belongs to a process that has ended."""
    Child(job := MaintainJob(log, [SOURCE], die_after=Step.AUDIT)).death()
    (left,) = log.left_by(job.run)
    assert [str(SOURCE)] == [found.unit for found in list_branches(log.machinery, prune=True) if found.name == left]
    assert [] == log.left_by(job.run)
