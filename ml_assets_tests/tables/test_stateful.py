"""Tables on branches do what a dict of rows would do, in any order of calls.

Branches, writes, appends, deletes, changes of schema, drops, commits, merges, rebases, reverts and maintenance are
drawn at random. After every step the branch that was touched holds what the dict says; at the end every commit that was
ever made still does, and is whole. A merge that would lose a side must be told beforehand.

The suite takes 300 steps; ``python -m ml_assets_tests.tables.test_stateful 10000 --seed 7`` takes as many as it is
told, and with the same seed the same ones.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from pyiceberg.types import DoubleType, IcebergType, LongType, StringType

from ml_assets.lib.core.errors import Conflict, NothingToCommit
from ml_assets.lib.core.refs import Branch, Commit, Ref
from ml_assets.lib.tables.maintain import tidy
from ml_assets.lib.tables.rebase import changed_on_both_sides, rebase
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.lakes import LakeEndpoint
from ml_assets_tests.tables.examples import schema
from ml_assets_tests.tables.model import Content, Model, Row, State, merged, rebased, widened

STEPS: Final = 300
STEPS_OF_AN_EXAMPLE: Final = 50
TABLES: Final = ("sources.a", "features.b_v1")
COLUMNS: Final[Mapping[str, tuple[IcebergType, pa.DataType]]] = {
    "k": (LongType(), pa.int64()),
    "x": (DoubleType(), pa.float64()),
    "s": (StringType(), pa.string()),
    "t": (StringType(), pa.string()),
}
MAIN: Final = Branch("main")
MOST_BRANCHES: Final = 4

values = st.fixed_dictionaries(
    {
        "k": st.none() | st.integers(0, 9),
        "x": st.none() | st.floats(-5, 5, width=16),
        "s": st.none() | st.sampled_from(["", "a", "ä"]),
        "t": st.none() | st.sampled_from(["u", "v"]),
    }
)
some_rows = st.lists(values, max_size=4)
some_columns = st.sets(st.sampled_from(sorted(COLUMNS)), min_size=1).map(lambda names: tuple(sorted(names)))
numbers = st.integers(0, 11)
table_names = st.sampled_from(TABLES)


class TablesAgainstDict(RuleBasedStateMachine):
    """The lake with its tables beside the model."""

    endpoint: LakeEndpoint

    @initialize()
    def begin(self) -> None:
        """A repository of its own with both tables on main, and a branch."""
        self.lake = self.endpoint.new_lake()
        self.tables = Tables(self.lake)
        self.model = Model()
        head = self.lake.head(MAIN)
        self.model.commits[head] = {}
        self.model.work[MAIN] = {}
        self.made = 0
        row = {"k": 1, "x": 0.5, "s": "a", "t": None}
        for table in TABLES:
            self.write(0, table, ("k", "s"), [row])
        self.commit_all(MAIN)
        self.make_branch(1)

    # What is chosen by a number, so that a failing example shrinks well

    def branch(self, number: int) -> Branch:
        """One of the branches."""
        return sorted(self.model.work, key=str)[number % len(self.model.work)]

    def two_branches(self, one: int, other: int) -> tuple[Branch, Branch]:
        """Two of them; the same twice if there is only one."""
        count = len(self.model.work)
        return self.branch(one), self.branch(one + 1 + other % max(1, count - 1))

    def commit(self, number: int) -> Commit:
        """One of the commits, in the order in which they were made."""
        return list(self.model.commits)[number % len(self.model.commits)]

    def set(self, branch: Branch, table: str, content: Content | None) -> None:
        """Say what a table is now, and compare."""
        state = dict(self.model.work[branch])
        if content is None:
            del state[table]
        else:
            state[table] = content
        self.model.work[branch] = state
        self.compare(branch, state)

    def committed(self, branch: Branch, commit: Commit, state: State) -> None:
        """Say what a branch is after a commit, and compare."""
        self.model.commits[commit] = self.model.work[branch] = state
        assert commit == self.lake.head(branch)
        self.compare(branch, state)

    def compare(self, ref: Ref, state: State) -> None:
        """Every table, every row, no other table."""
        assert sorted(state) == sorted(self.tables.tables(ref))
        for table, content in state.items():
            found = self.tables.scan(table, ref).read_all()
            assert sorted(content.columns) == sorted(found.column_names)
            rows = [tuple(sorted(row.items())) for row in found.to_pylist()]
            assert sorted(content.rows, key=repr) == sorted(rows, key=repr)
            assert len(rows) == self.tables.head(table, ref).rows

    # Changes of a table

    @rule(number=numbers, table=table_names, columns=some_columns, rows=some_rows)
    def write(self, number: int, table: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
        """Make it, or replace schema and rows."""
        branch = self.branch(number)
        self.tables.write(table, branch, _arrow(rows, columns), schema=_schema(columns), properties={})
        new = Content(columns, _rows(rows, columns), before=self.model.work[branch].get(table))
        self.set(branch, table, new)

    @rule(number=numbers, table=table_names, more=st.none() | st.sampled_from(sorted(COLUMNS)), rows=some_rows)
    def append(self, number: int, table: str, more: str | None, rows: list[dict[str, Any]]) -> None:
        """Append to it, or make it; with one more column sometimes."""
        branch = self.branch(number)
        old = self.model.work[branch].get(table)
        columns = tuple(sorted({*(old.columns if old else ("k",)), *([more] if more else [])}))
        self.tables.append(table, branch, _arrow(rows, columns), schema=_schema(columns), properties={})
        new = _rows(rows, columns)
        if old is None:
            self.set(branch, table, Content(columns, new))
            return
        wider = tuple(widened(row, columns) for row in old.rows)
        appended = new if columns == old.columns else None
        self.set(branch, table, Content(columns, (*wider, *new), before=old, appended=appended))

    @rule(number=numbers, table=table_names, key=st.integers(0, 9))
    def delete_rows(self, number: int, table: str, key: int) -> None:
        """Delete rows by a value: files that hold some are rewritten."""
        branch = self.branch(number)
        old = self.model.work[branch].get(table)
        if old is None or "k" not in old.columns or ("k", key) not in {cell for row in old.rows for cell in row}:
            return
        self.tables.catalog(branch).load_table(table).delete(f"k = {key}")
        kept = tuple(row for row in old.rows if ("k", key) not in row)
        self.set(branch, table, Content(old.columns, kept, before=old))

    @rule(number=numbers, table=table_names)
    def rename_column(self, number: int, table: str) -> None:
        """Values stay under the new name."""
        branch = self.branch(number)
        old = self.model.work[branch].get(table)
        if old is None or "s" not in old.columns or "t" in old.columns:
            return
        with self.tables.catalog(branch).load_table(table).update_schema() as update:
            update.rename_column("s", "t")
        rows = tuple(tuple(sorted(("t" if n == "s" else n, v) for n, v in row)) for row in old.rows)
        columns = tuple(sorted("t" if name == "s" else name for name in old.columns))
        self.set(branch, table, Content(columns, rows, before=old))

    @rule(number=numbers, table=table_names)
    def drop_table(self, number: int, table: str) -> None:
        """The branch has none of this name any more."""
        branch = self.branch(number)
        if table in self.model.work[branch]:
            self.tables.drop(table, branch)
            self.set(branch, table, None)

    @rule(number=numbers, table=table_names, keep=st.booleans())
    def maintain(self, number: int, table: str, keep: bool) -> None:
        """Rows stay as they are."""
        branch = self.branch(number)
        if (old := self.model.work[branch].get(table)) is not None:
            older_than = datetime.now(UTC) + timedelta(days=-1 if keep else 1)
            before = self.tables.head(table, branch).path
            tidy(self.tables, table, branch, older_than=older_than, properties={})
            if before != self.tables.head(table, branch).path:
                self.set(branch, table, Content(old.columns, old.rows, before=old))

    # Branches and commits

    @rule(number=numbers)
    def make_commit(self, number: int) -> None:
        """Commit what is uncommitted, if anything is."""
        self.commit_all(self.branch(number))

    def commit_all(self, branch: Branch) -> None:
        """As `make_commit`; done before a merge, too, of both sides."""
        self.tables.check_before_commit(branch)
        try:
            commit = self.lake.commit(branch, "change", {})
        except NothingToCommit:
            assert [] == list(self.lake.uncommitted(branch))
            return
        for table in self.model.work[branch]:
            self.tables.check_closure(table, commit)
        self.committed(branch, commit, self.model.work[branch])

    @precondition(lambda self: len(self.model.work) < MOST_BRANCHES)
    @rule(number=numbers)
    def make_branch(self, number: int) -> None:
        """At any commit."""
        commit = self.commit(number)
        self.made += 1
        branch = Branch(f"b{self.made:02}")
        assert self.lake.branch(branch, commit)
        self.model.work[branch] = self.model.commits[commit]
        self.compare(branch, self.model.work[branch])

    @rule(number=numbers)
    def drop_branch(self, number: int) -> None:
        """Its commits stay."""
        branch = self.branch(number)
        if branch != MAIN:
            self.lake.drop(branch)
            del self.model.work[branch]

    @rule(one=numbers, other=numbers)
    def merge(self, one: int, other: int) -> None:
        """One branch into another: all of it, or nothing if both changed a table."""
        source, into = self.two_branches(one, other)
        ours, theirs = self.heads(source, into)
        base = self.lake.merge_base(ours, theirs)
        expected = merged(*(self.model.commits[commit] for commit in (base, ours, theirs)))
        both = changed_on_both_sides(self.lake, base, ours, theirs)
        assert bool(both) == (expected is None)
        if expected is None:
            return
        try:
            commit = self.lake.merge(ours, into, "merge", {})
        except NothingToCommit:
            assert expected == self.model.work[into]
            return
        for table in expected:
            self.tables.check_closure(table, commit)
        self.committed(into, commit, expected)

    @rule(one=numbers, other=numbers, table=table_names, rows=some_rows, more=st.none() | st.sampled_from(["x", "t"]))
    def both_append(self, one: int, other: int, table: str, rows: list[dict[str, Any]], more: str | None) -> None:
        """Two branches append to a table, as many runs do to a log; one is put on top of the other."""
        ours, theirs = self.two_branches(one, other)
        for branch, wider in ((ours, None), (theirs, more)):
            self.append(sorted(self.model.work, key=str).index(branch), table, wider, rows)
        self.rebase(one, other)

    @rule(one=numbers, other=numbers)
    def rebase(self, one: int, other: int) -> None:
        """Appends of one branch on top of another, whatever rows that one has now."""
        source, into = self.two_branches(one, other)
        ours, theirs = self.heads(source, into)
        base = self.lake.merge_base(ours, theirs)
        expected = rebased(*(self.model.commits[commit] for commit in (base, ours, theirs)))
        if expected is None:
            return
        rebase(self.tables, ours, into, properties={})
        self.tables.check_before_commit(into)
        commit = self.lake.commit(into, "rebased", {})
        for table in expected:
            self.tables.check_closure(table, commit)
        self.committed(into, commit, expected)

    def heads(self, *branches: Branch) -> list[Commit]:
        """Their heads, with everything committed."""
        for branch in branches:
            self.commit_all(branch)
        return [self.lake.head(branch) for branch in branches]

    @rule(number=numbers, back=st.integers(0, 3))
    def revert(self, number: int, back: int) -> None:
        """Take back a commit of the branch's own line."""
        branch = self.branch(number)
        self.commit_all(branch)
        line = list(self.lake.log(branch, first_parent=True, amount=back + 2))
        if len(line) < back + 2:
            return
        wrong, before = line[back].id, line[back].parents[0]
        if not {wrong, before} <= self.model.commits.keys():
            return  # in the middle of a rebase, which makes two
        head = line[0].id
        expected = merged(*(self.model.commits[commit] for commit in (wrong, before, head)))
        assert bool(changed_on_both_sides(self.lake, wrong, before, head)) == (expected is None)
        objects = merged(*(self.objects(commit) for commit in (wrong, before, head)))
        if expected is None and objects == self.objects(head):
            expected = self.model.work[branch]  # nothing of the commit is left to take back
        if expected is None and objects is not None:
            return  # told beforehand; lakeFS would mix the objects of both sides
        try:
            self.lake.revert(branch, wrong)
        except Conflict:
            assert expected is None
            assert objects is None
            return
        except NothingToCommit:
            assert expected == self.model.work[branch]
            return
        assert expected is not None
        self.committed(branch, self.lake.head(branch), expected)

    def objects(self, commit: Commit) -> dict[str, str]:
        """What lakeFS sees of the tables: objects, which it compares by their checksums."""
        return {stat.path: stat.checksum for stat in self.lake.ls(commit, "warehouse/")}

    def teardown(self) -> None:
        """Every commit that was ever made holds what it held, and is whole."""
        if not hasattr(self, "model"):
            return
        for commit, state in self.model.commits.items():
            self.compare(commit, state)
            for table in state:
                self.tables.check_closure(table, commit)


def _machine(endpoint: LakeEndpoint) -> type[TablesAgainstDict]:
    return type("Machine", (TablesAgainstDict,), {"endpoint": endpoint})


def _line(state: TablesAgainstDict) -> list[Commit]:
    return [info.id for info in state.lake.log(MAIN, first_parent=True)]


def _schema(columns: tuple[str, ...]) -> Any:
    return schema(**{name: COLUMNS[name][0] for name in columns})


def _arrow(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], COLUMNS[name][1]) for name in columns})


def _rows(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(tuple(sorted((name, row[name]) for name in columns)) for row in rows)


def take(steps: int, endpoint: LakeEndpoint, number: int | None = None) -> None:
    """Take about so many steps, in examples of `STEPS_OF_AN_EXAMPLE`; those of the seed *number* if there is one."""
    machine = _machine(endpoint)
    if number is not None:
        machine = seed(number)(machine)
    how = settings(
        max_examples=max(1, steps // STEPS_OF_AN_EXAMPLE),
        stateful_step_count=STEPS_OF_AN_EXAMPLE,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)


@pytest.mark.slow
@pytest.mark.timeout(600)  # 20 s alone, 140 s beside eight other runs; a failure is shrunk for up to 300 s more
def test_tables_against_a_dict(lake_endpoint: LakeEndpoint) -> None:
    """In any order of calls."""
    take(STEPS, lake_endpoint)


@pytest.fixture
def on_main(lake_endpoint: LakeEndpoint) -> Iterator[TablesAgainstDict]:
    """The machine after its first step, with nothing but main, so that each number means main."""
    state = _machine(lake_endpoint)()
    state.begin()
    state.drop_branch(number=0)
    yield state
    state.teardown()


def test_a_revert_of_a_version_that_is_gone_changes_nothing(on_main: TablesAgainstDict) -> None:
    """What lakeFS compares are objects: the version is gone already, whatever took the place of its table.

    A real lakeFS makes a commit without a difference here, for the version hint was written twice; the embedded one
    says that there is nothing to do.
    """
    table = TABLES[0]
    on_main.rename_column(number=0, table=table)
    on_main.make_commit(number=0)
    on_main.revert(number=0, back=0)
    on_main.drop_table(number=0, table=table)
    on_main.make_commit(number=0)
    on_main.append(number=0, more=None, rows=[], table=table)
    on_main.make_commit(number=0)
    anew, wrong, before = _line(on_main)[0], _line(on_main)[3], _line(on_main)[4]
    assert changed_on_both_sides(on_main.lake, wrong, before, anew) == [table]
    on_main.revert(number=0, back=3)
    assert on_main.objects(on_main.lake.head(MAIN)) == on_main.objects(anew)


def test_a_revert_that_would_mix_two_tables_is_told_beforehand(on_main: TablesAgainstDict) -> None:
    """Versions of the new table have the old one's numbers: lakeFS would put a snapshot of the old one beside them."""
    table, rows = TABLES[0], [{"k": 2, "x": None, "s": "a", "t": None}]
    on_main.append(number=0, more=None, rows=rows, table=table)
    on_main.make_commit(number=0)
    on_main.maintain(number=0, table=table, keep=False)
    on_main.make_commit(number=0)
    on_main.revert(number=0, back=0)
    on_main.drop_table(number=0, table=table)
    on_main.make_commit(number=0)
    on_main.append(number=0, more=None, rows=rows, table=table)
    on_main.append(number=0, more=None, rows=rows, table=table)
    on_main.make_commit(number=0)
    anew, _, _, wrong, before = _line(on_main)[:5]
    on_main.revert(number=0, back=3)
    assert on_main.lake.head(MAIN) == anew
    assert changed_on_both_sides(on_main.lake, wrong, before, anew) == [table]
    on_main.lake.revert(MAIN, wrong)
    assert len(on_main.objects(on_main.lake.head(MAIN))) > len(on_main.objects(anew))


if __name__ == "__main__":
    from ml_assets.lib.devlake import server

    parser = argparse.ArgumentParser(description="Tables against a dict of rows, on an embedded lake of its own.")
    parser.add_argument("steps", type=int)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = server.ensure(Path(home))
        try:
            take(given.steps, LakeEndpoint(found.url, found.access_key_id, found.secret_access_key), given.seed)
        finally:
            server.stop(Path(home))
