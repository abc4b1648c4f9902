"""Puts what one commit did to tables on top of what others did to them meanwhile. No data file is rewritten.

For tables that many append to on purpose: all of them create the next version of the table's metadata, so lakeFS
reports a conflict, although the rows do not conflict. Replayed are appended files, files that a delete rewrote, and
optional columns. Everything else is refused before anything is written; the commit that holds the change is never
touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import NestedField

from ml_assets.lib.core.errors import NotReplayable
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.catalog import table_path
from ml_assets.lib.tables.errors import translated
from ml_assets.lib.tables.file_io import path_of
from ml_assets.lib.tables.replace import append_files
from ml_assets.lib.tables.schemas import ReplaceSchema
from ml_assets.lib.tables.tables import Tables

_IN_A_TABLE: Final = re.compile(r"warehouse/([^/]+)/([^/]+)/.+")


@dataclass(frozen=True, kw_only=True)
class _Replay:
    """What the commit did to one table that others changed too.

    Attributes:
        table: The table.
        schema: Its schema afterwards; ``None`` where the commit left it alone.
        added: Files that it put in.
        removed: Files that it took out.
    """

    table: str
    schema: Schema | None
    added: tuple[DataFile, ...]
    removed: tuple[DataFile, ...]


def rebase(tables: Tables, source: Commit, branch: Branch, *, properties: Mapping[str, str]) -> None:
    """Bring all that *source* changed since it parted from *branch* onto *branch*, uncommitted in part.

    A table becomes one new version on top of what *branch* has, with one snapshot for all of the change's.

    Args:
        tables: The tables.
        source: The commit that holds the change.
        branch: Where; made for this, at the commit that the change is to follow. Nobody else may write there.
        properties: Recorded with the snapshots.

    Raises:
        NotReplayable: The change does not fit on top; nothing was written.
    """
    lake, head = tables.lake, tables.lake.head(branch)
    base = lake.merge_base(head, source)
    both = changed_on_both_sides(lake, base, source, head)
    replays = [_examined(tables, table, base=base, ours=source, theirs=head) for table in both]
    touched = {replay.table for replay in replays}
    for row in lake.diff(head, source, base="merge-base"):
        if row.kind == "conflict" and _table_of(row.path) not in touched:
            raise _refusal(row.path, "both sides changed this object")
    absorbed = lake.absorb(source, branch, f"take over {source.short}", dict(properties))
    for replay in replays:
        with translated(replay.table, branch):
            _reset(lake, replay, branch, head, absorbed)
            _apply(tables, replay, branch, properties)


def _table_of(path: str) -> str | None:
    found = _IN_A_TABLE.fullmatch(path)
    return found and f"{found[1]}.{found[2]}"


def changed_on_both_sides(lake: Lake, base: Commit, one: Commit, other: Commit) -> list[str]:
    """Tables that both commits have changed since *base*, and differently, in order: to merge them would lose a side.

    lakeFS finds these by itself as long as versions of a table only go up: then both sides make the next one. After a
    revert the same version can be made twice, and a side that went on from the first of them collides with nothing.
    """
    found = {_table_of(row.path) for row in lake.diff(base, one, base="left")}

    def differ(left: Commit, right: Commit, table: str) -> bool:
        return any(True for _ in lake.diff(left, right, base="left", prefix=f"{table_path(table)}/", limit=1))

    return sorted(table for table in found if table and differ(base, other, table) and differ(one, other, table))


def _examined(tables: Tables, table: str, *, base: Commit, ours: Commit, theirs: Commit) -> _Replay:
    """What is to be replayed of *table*: *ours* against *base*, on top of *theirs*.

    Raises:
        NotReplayable: *ours* did something else than what is replayed, or *theirs* something that forbids it.
    """
    for ref in (base, ours, theirs):
        if not tables.exists(table, ref):
            raise _refusal(table, f"{ref.short} has no such table: it was made or dropped")
    rows = tables.lake.diff(base, ours, base="left", prefix=f"{table_path(table)}/")
    if any(row.kind == "removed" for row in rows):
        raise _refusal(table, "the change removed objects")
    with translated(table, ours):
        start, mine, other = (tables.catalog(ref).load_table(table) for ref in (base, ours, theirs))
        if _shape(start) != _shape(mine) or start.metadata.table_uuid != other.metadata.table_uuid:
            raise _refusal(table, "it was made anew, or its layout or properties were changed")
        schema = _schema(table, start, mine, other)
        before, after, there = (_files(loaded) for loaded in (start, mine, other))
    added = tuple(file for path, file in after.items() if path not in before)
    removed = tuple(file for path, file in before.items() if path not in after)
    if any(file.content != DataFileContent.DATA for file in (*added, *removed)):
        raise _refusal(table, "the change wrote delete files")
    if any(file.file_path not in there for file in removed):
        raise _refusal(table, "both sides rewrote the same file")
    if removed and any(file.content != DataFileContent.DATA for path, file in there.items() if path not in before):
        raise _refusal(table, "rows of a file that the change rewrote may have been deleted meanwhile")
    if any(file.file_path in there for file in added):
        raise _refusal(table, "the change is there already")
    return _Replay(table=table, schema=schema, added=added, removed=removed)


def _shape(table: Table) -> tuple[object, ...]:
    """What a replay does not carry over, and so must not have changed."""
    metadata = table.metadata
    return (
        metadata.table_uuid,
        metadata.format_version,
        metadata.default_spec_id,
        metadata.default_sort_order_id,
        metadata.properties,
    )


def _schema(table: str, start: Table, mine: Table, other: Table) -> Schema | None:
    """The schema that the change brings; ``None`` if it brings none.

    Raises:
        NotReplayable: Both sides changed it, or one side in a way that the rows of the other do not fit.
    """
    before, ours, theirs = (_fields(loaded) for loaded in (start, mine, other))
    if ours == before:
        if lost := [field.name for number, field in before.items() if number not in theirs]:
            raise _refusal(table, f"the columns {lost} were dropped meanwhile")
        _refuse_required(table, before, theirs)
        return None
    # An id that both sides gave away would mean two columns.
    if theirs != before or other.metadata.last_column_id != start.metadata.last_column_id:
        raise _refusal(table, "both sides changed the schema")
    if any(ours.get(number) != field for number, field in before.items()):
        raise _refusal(table, "the change did more to the schema than to add columns")
    _refuse_required(table, before, ours)
    return mine.schema()


def _refuse_required(table: str, before: Mapping[int, NestedField], after: Mapping[int, NestedField]) -> None:
    strict = [f.name for n, f in after.items() if f.required and not (n in before and before[n].required)]
    if strict:
        raise _refusal(table, f"the columns {strict} became required, which rows of the other side may lack")


def _fields(table: Table) -> dict[int, NestedField]:
    return {field.field_id: field for field in table.schema().fields}


def _files(table: Table) -> dict[str, DataFile]:
    """Data and delete files of the table's rows, by location."""
    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot else []
    entries = (entry for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io))
    return {entry.data_file.file_path: entry.data_file for entry in entries}


def _reset(lake: Lake, replay: _Replay, branch: Branch, head: Commit, absorbed: Commit) -> None:
    """Make the table what it is at *head* again, with the files that are to be put in lying beside it."""
    needed = {path_of(file.file_path, lake.repository) for file in replay.added}
    foreign = []
    for row in lake.diff(head, absorbed, base="left", prefix=f"{table_path(replay.table)}/"):
        if row.kind == "added" and row.path not in needed:
            foreign.append(row.path)
        elif row.kind == "changed":  # the version hint
            lake.put(branch, row.path, lake.read(head, row.path) or b"")
    lake.delete(branch, foreign)


def _apply(tables: Tables, replay: _Replay, branch: Branch, properties: Mapping[str, str]) -> None:
    transaction = tables.catalog(branch).load_table(replay.table).transaction()
    if replay.schema is not None:
        ReplaceSchema(transaction, replay.schema).commit()
    if replay.removed:
        with transaction.update_snapshot(snapshot_properties=dict(properties)).overwrite() as snapshot:
            for file in replay.removed:
                snapshot.delete_data_file(file)
            for file in replay.added:
                snapshot.append_data_file(file)
    else:
        append_files(transaction, replay.added, properties)
    transaction.commit_transaction()


def _refusal(what: str, why: str) -> NotReplayable:
    return NotReplayable(f"{what}: {why}", remedy="compute it again on a new branch")
