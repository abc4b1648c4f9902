"""`rebase`: what one did to a table on a branch is put on top of what others did to it, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

from ml_assets.lib.core.errors import Conflict, NotReplayable
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.rebase import rebase
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.tables.examples import FOLDER, ROUTE, RUN, TABLE, keys, rows, write

Change = Callable[[Tables, Branch], None]

NOTE = NestedField(5, "note", StringType(), required=False)
OTHER = NestedField(5, "other", LongType(), required=False)


def append(*new: int) -> Change:
    """Append rows, one commit of the table."""

    def change(tables: Tables, branch: Branch) -> None:
        tables.append(TABLE, branch, rows(*new), schema=ROUTE, properties=RUN)

    return change


def with_column(field: NestedField, *new: int) -> Change:
    """Append rows under a schema with one more column."""

    def change(tables: Tables, branch: Branch) -> None:
        table = rows(*new).append_column(field.name, pa.nulls(len(new)))
        tables.append(TABLE, branch, table, schema=Schema(*ROUTE.fields, field), properties=RUN)

    return change


def delete(condition: str) -> Change:
    """Delete rows: files that hold them are rewritten."""
    return lambda tables, branch: tables.catalog(branch).load_table(TABLE).delete(condition)


def replace(*new: int, fields: tuple[NestedField, ...] = ROUTE.fields) -> Change:
    """Replace all rows, and the schema."""

    def change(tables: Tables, branch: Branch) -> None:
        table = rows(*new).select([field.name for field in fields])
        tables.write(TABLE, branch, table, schema=Schema(*fields), properties=RUN)

    return change


def drop(tables: Tables, branch: Branch) -> None:
    """Drop the table."""
    tables.drop(TABLE, branch)


def drop_and_make(tables: Tables, branch: Branch) -> None:
    """Drop the table, and make one of its name."""
    tables.drop(TABLE, branch)
    write(tables, branch, 8)


def set_property(tables: Tables, branch: Branch) -> None:
    """Change how it is written."""
    with tables.catalog(branch).load_table(TABLE).transaction() as transaction:
        transaction.set_properties({"write.parquet.compression-level": "9"})


def rename(tables: Tables, branch: Branch) -> None:
    """Rename a column."""
    with tables.catalog(branch).load_table(TABLE).update_schema() as update:
        update.rename_column("delay", "late")


def lose_files(tables: Tables, branch: Branch) -> None:
    """Remove what older snapshots need, as maintenance does."""
    append(9)(tables, branch)
    tables.lake.delete(branch, [f"{FOLDER}metadata/v1.metadata.json"])


@pytest.fixture
def base(lake: Lake, tables: Tables, main: Branch) -> Commit:
    """On main, a table with a file of the keys 1 and 2 and one of the key 3."""
    write(tables, main, 1, 2)
    append(3)(tables, main)
    return lake.commit(main, "base", {})


class Sides:
    """Two branches at *base* that went apart: ours on ``ours``, theirs on main."""

    def __init__(self, tables: Tables, base: Commit) -> None:
        self.tables, self.lake, self.base = tables, tables.lake, base
        self.ours, self.main, self.onto = Branch("ours"), Branch("main"), Branch("ours-rebase")
        self.lake.branch(self.ours, base)

    def go_apart(self, ours: list[Change], theirs: list[Change]) -> Commit:
        """Commit each change on its side. The head of ours."""
        for side, changes in ((self.ours, ours), (self.main, theirs)):
            for change in changes:
                change(self.tables, side)
                self.lake.commit(side, "change", {})
        self.lake.branch(self.onto, self.main)
        return self.lake.head(self.ours)

    def rebase(self, source: Commit) -> Commit:
        """Rebase, check as before every commit and merge, and publish on main."""
        rebase(self.tables, source, self.onto, properties={"ml_assets.run": "again"})
        self.tables.check_before_commit(self.onto)
        replayed = self.lake.commit(self.onto, "replayed", {})
        self.tables.check_closure(TABLE, replayed)
        self.lake.merge(self.onto, self.main, "publish", {})
        return replayed


@pytest.fixture
def sides(tables: Tables, base: Commit) -> Sides:
    """Both sides at the base."""
    return Sides(tables, base)


REPLAYED: dict[str, tuple[list[Change], list[Change], list[int]]] = {
    "append and append": ([append(4)], [append(5)], [1, 2, 3, 4, 5]),
    "four onto two": ([append(n) for n in (4, 5, 6, 7)], [append(8), append(9)], list(range(1, 10))),
    "one onto three": ([append(4)], [append(n) for n in (5, 6, 7)], list(range(1, 8))),
    "delete and append": ([delete("key = 1")], [append(4)], [2, 3, 4]),
    "append and delete": ([append(4)], [delete("key = 1")], [2, 3, 4]),
    "deletes in two files": ([delete("key = 1")], [delete("key = 3")], [2]),
    "delete of a whole file": ([delete("key = 3"), append(4)], [append(5)], [1, 2, 4, 5]),
    "column and append": ([with_column(NOTE, 4)], [append(5)], [1, 2, 3, 4, 5]),
    "append and column": ([append(4)], [with_column(NOTE, 5)], [1, 2, 3, 4, 5]),
    "append and replace": ([append(4)], [replace(7)], [4, 7]),
    "append of nothing": ([append()], [append(4)], [1, 2, 3, 4]),
}


@pytest.mark.parametrize("case", REPLAYED)
def test_what_fits_is_replayed(lake: Lake, tables: Tables, sides: Sides, case: str) -> None:
    """Rows of both sides are there, in no more data than both wrote; the source is as it was."""
    ours, theirs, expected = REPLAYED[case]
    source = sides.go_apart(ours, theirs)
    with pytest.raises(Conflict):
        lake.merge(source, sides.main, "conflicts", {})
    written = {s.path for ref in (source, lake.head(sides.main)) for s in lake.ls(ref, f"{FOLDER}data/")}
    before = keys(tables, source)
    replayed = sides.rebase(source)
    assert expected == keys(tables, sides.main)
    assert before == keys(tables, source)
    assert source == lake.head(sides.ours)
    assert {stat.path for stat in lake.ls(replayed, f"{FOLDER}data/")} <= written
    snapshot = tables.catalog(replayed).load_table(TABLE).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert "again" == snapshot.summary["ml_assets.run"]
    assert len(expected) == tables.head(TABLE, replayed).rows


def test_nothing_of_the_source_stays_beside_the_table(lake: Lake, sides: Sides) -> None:
    """One version, one manifest, one manifest list and the data come in: anything else would lie there for ever."""
    source = sides.go_apart([append(n) for n in (4, 5, 6)], [append(7)])
    theirs = lake.head(sides.main)
    rows = list(lake.diff(theirs, sides.rebase(source), base="left", prefix=FOLDER))
    names = sorted(row.path.removeprefix(FOLDER) for row in rows if row.kind == "added")
    assert ["data/"] * 3 == [name[:5] for name in names[:3]]
    assert ["metadata/v5.metadata.json"] == names[5:]
    assert [True, True] == [name.startswith("metadata/") and name.endswith(".avro") for name in names[3:5]]
    assert ["metadata/version-hint.text"] == [row.path.removeprefix(FOLDER) for row in rows if row.kind != "added"]


def test_a_column_that_was_added_keeps_its_values(tables: Tables, sides: Sides) -> None:
    """Its field id is the one under which the data files hold it."""

    def noted(tables: Tables, branch: Branch) -> None:
        table = rows(4).append_column("note", pa.array(["hello"]))
        tables.append(TABLE, branch, table, schema=Schema(*ROUTE.fields, NOTE), properties=RUN)

    sides.rebase(sides.go_apart([noted], [append(5)]))
    found = tables.scan(TABLE, sides.main, ["key", "note"]).read_all().sort_by("key").to_pylist()
    assert [None, None, None, "hello", None] == [row["note"] for row in found]


def test_another_table_comes_along(tables: Tables, sides: Sides) -> None:
    """One that only ours changed needs no replay."""

    def other(tables: Tables, branch: Branch) -> None:
        write(tables, branch, 1, table="sources.other")
        append(4)(tables, branch)

    sides.rebase(sides.go_apart([other], [append(5)]))
    assert [1] == keys(tables, sides.main, table="sources.other")
    assert [1, 2, 3, 4, 5] == keys(tables, sides.main)


REFUSED: dict[str, tuple[list[Change], list[Change], str]] = {
    "made anew by us": ([drop_and_make], [append(4)], "removed objects"),
    "dropped by us": ([drop], [append(4)], "made or dropped"),
    "dropped by them": ([append(4)], [drop], "made or dropped"),
    "made anew by them": ([append(4)], [drop_and_make], "made anew"),
    "both rewrote a file": ([delete("key = 1")], [delete("key = 2")], "both sides rewrote the same file"),
    "replaced by us": ([replace(4)], [replace(5)], "both sides rewrote the same file"),
    "both added a column": ([with_column(NOTE, 4)], [with_column(OTHER, 5)], "both sides changed the schema"),
    "renamed": ([rename], [append(4)], "more to the schema than to add columns"),
    "dropped a column": ([replace(4, fields=ROUTE.fields[:3])], [append(5)], "more to the schema|rewrote"),
    "column dropped meanwhile": ([append(4)], [replace(5, fields=ROUTE.fields[:3])], "'delay'. were dropped"),
    "properties": ([set_property], [append(4)], "layout or properties"),
    "objects removed": ([lose_files], [append(4)], "removed objects"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    lake: Lake, tables: Tables, sides: Sides, case: str
) -> None:
    """Both sides, and the branch for the replay, are as they were."""
    ours, theirs, told = REFUSED[case]
    source = sides.go_apart(ours, theirs)
    before = {branch: lake.head(branch) for branch in (sides.ours, sides.main, sides.onto)}
    with pytest.raises(NotReplayable, match=told):
        rebase(tables, source, sides.onto, properties={})
    assert before == {branch: lake.head(branch) for branch in before}
    assert [] == list(lake.uncommitted(sides.onto))


def test_both_made_the_table(lake: Lake, tables: Tables, main: Branch, work: Branch) -> None:
    """Two tables of one name are two tables."""
    for branch in (main, work):
        write(tables, branch, 1)
        lake.commit(branch, "made", {})
    lake.branch(onto := Branch("onto"), main)
    with pytest.raises(NotReplayable, match="made or dropped"):
        rebase(tables, lake.head(work), onto, properties={})


def test_another_object_in_conflict_is_refused(lake: Lake, tables: Tables, sides: Sides) -> None:
    """Only tables are replayed."""
    sides.go_apart([append(4)], [append(5)])
    for branch, content in ((sides.ours, b"ours"), (sides.onto, b"theirs")):
        lake.put(branch, "note", content)
        lake.commit(branch, "note", {})
    with pytest.raises(NotReplayable, match="note: both sides changed this object"):
        rebase(tables, lake.head(sides.ours), sides.onto, properties={})


def test_a_change_is_not_replayed_twice(tables: Tables, sides: Sides) -> None:
    """Its files are there already."""
    source = sides.go_apart([append(4)], [append(5)])
    sides.rebase(source)
    sides.lake.branch(onto := Branch("onto"), sides.main)
    with pytest.raises(NotReplayable, match="there already"):
        rebase(tables, source, onto, properties={})


@pytest.mark.parametrize("ours", [True, False], ids=["by us", "by them"])
def test_a_column_that_becomes_required(tables: Tables, sides: Sides, ours: bool) -> None:
    """Rows of the other side may lack it."""

    def require(tables: Tables, branch: Branch) -> None:
        with tables.catalog(branch).load_table(TABLE).update_schema(allow_incompatible_changes=True) as update:
            update.update_column("key", required=True)

    changes = ([require], [append(4)]) if ours else ([append(4)], [require])
    with pytest.raises(NotReplayable, match=r"more to the schema|'key'. became required"):
        rebase(tables, sides.go_apart(*changes), sides.onto, properties={})


def test_many_appenders_lose_nothing(lake: Lake, tables: Tables, sides: Sides) -> None:
    """Each began at the base and comes later: all rows are there, each once."""
    sources = {}
    for key in range(10, 16):
        lake.branch(branch := Branch(f"appender-{key}"), sides.base)
        append(key)(tables, branch)
        sources[key] = lake.commit(branch, "appended", {})
    for key, source in sources.items():
        lake.branch(onto := Branch(f"appender-{key}-again"), sides.main)
        if key > 10:
            rebase(tables, source, onto, properties=RUN)
            tables.check_before_commit(onto)
            lake.commit(onto, "replayed", {})
        lake.merge(onto if key > 10 else source, sides.main, "publish", {})
    assert [1, 2, 3, *range(10, 16)] == keys(tables, sides.main)
    tables.check_closure(TABLE, lake.head(sides.main))
