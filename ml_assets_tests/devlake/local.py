"""A lake without a server: opened in a folder, and spoken to in as few words as a test needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from ml_assets.lib.devlake import maintenance, small_files
from ml_assets.lib.devlake.database import FILE, connect
from ml_assets.lib.devlake.diffs import Difference, Differences, Kind
from ml_assets.lib.devlake.files import OBJECTS
from ml_assets.lib.devlake.page import CommonPrefix, Page, Window
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.tree import Entry

REPO: Final = "repo"
USER: Final = "somebody"


@contextmanager
def opened(root: Path) -> Iterator[Lake]:
    """A lake in *root* with the repository ``REPO``."""
    lake = Lake(root)
    try:
        lake.repositories.create(REPO, f"local://{REPO}")
        yield lake
    finally:
        lake.close()


async def pieces(content: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    """*content* as a network would give it."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def put(
    lake: Lake,
    branch: str,
    path: str,
    content: str = "",
    *,
    metadata: Mapping[str, str] | None = None,
    kind: str = "x/y",
) -> Entry:
    """Stage an object."""
    body = pieces(content.encode())
    return asyncio.run(
        lake.objects.upload(REPO, branch, path, body, content_type=lambda: kind, metadata=metadata or {})
    )


def stored(root: Path) -> dict[str, bytes]:
    """Every file of the store, small or large, and what it holds."""
    with maintenance.opened(root) as lake, lake.read() as transaction:
        found = [*lake.store.files.stored(), *small_files.stored(transaction)]
        return {file.name: lake.store.read(file.name) for file in found}


def spoil(root: Path, content: bytes, rotten: bytes | None) -> None:
    """Replace the content of the file that holds *content*, small or large; ``None`` removes it."""
    name = next(name for name, found in sorted(stored(root).items()) if content in found)
    path = root / OBJECTS / name[:2] / name
    if not path.exists():
        with closing(connect(root / FILE)) as connection:
            if rotten is None:
                connection.execute("DELETE FROM small_file WHERE digest = ?", (bytes.fromhex(name),))
            else:
                sql = "UPDATE small_file SET content = ? WHERE digest = ?"
                connection.execute(sql, (rotten, bytes.fromhex(name)))
    elif rotten is None:
        path.unlink()
    else:
        path.write_bytes(rotten)


def start_upload(lake: Lake, branch: str, path: str, *parts: str, metadata: Mapping[str, str] | None = None) -> str:
    """Begin a multipart upload with *parts*, numbered from 1. Returns its id."""
    made = lake.uploads.create(REPO, branch, path, content_type="x/y", metadata=metadata or {})
    for number, part in enumerate(parts, start=1):
        lake.uploads.put_part(REPO, made, number, lake.store.files.write(part.encode()))
    return made


def commit(lake: Lake, branch: str, message: str = "m", *, allow_empty: bool = False) -> str:
    """Commit what is staged. Returns the id."""
    return lake.commits.create(REPO, branch, message, committer=USER, allow_empty=allow_empty).id


def put_all(lake: Lake, branch: str, objects: Mapping[str, str | None]) -> str:
    """Stage and commit *objects* (``None`` deletes). Returns the commit's id."""
    for path, content in objects.items():
        if content is None:
            lake.objects.delete(REPO, branch, path)
        else:
            put(lake, branch, path, content)
    return commit(lake, branch, allow_empty=True)


def contents(lake: Lake, ref: str) -> dict[str, str]:
    """All objects at *ref*."""
    found: dict[str, str] = {}
    after, more = "", True
    while more:
        page = lake.objects.list(REPO, ref, Window(after=after, amount=1000))
        entries = [entry for entry in page.items if isinstance(entry, Entry)]
        found |= {entry.key: lake.store.read(entry.address).decode() for entry in entries}
        after, more = (entries[-1].key if entries else ""), page.more
    return found


def paths(found: Page[Entry | CommonPrefix] | Page[Difference | CommonPrefix]) -> list[str]:
    """The paths of a page."""
    return [item[0] for item in found.items]


def kinds(found: Differences) -> dict[str, Kind]:
    """The paths of a page of differences, and how each differs."""
    return {item.key: item.kind for item in found.items if isinstance(item, Difference)}


def uncommitted(lake: Lake) -> dict[str, Kind]:
    """What a commit on main would change."""
    return kinds(lake.diffs.uncommitted(REPO, "main", Window(amount=1000)))
