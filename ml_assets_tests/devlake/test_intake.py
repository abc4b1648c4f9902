"""Small uploads that arrive together are stored together, and each is answered for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.errors import BranchNotFound, DevlakeError, InvalidPath, PreconditionFailed, ProtectedBranch
from ml_assets.lib.devlake.grouping import GROUP, groups
from ml_assets.lib.devlake.intake import SMALL
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.store import Blob, Store
from ml_assets.lib.devlake.tree import Entry
from ml_assets_tests.devlake.local import REPO, contents


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """*content* as a network would give it."""
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


async def uploaded(lake: Lake, branch: str, path: str, content: bytes, *, if_absent: bool = False) -> Entry:
    """An upload."""
    kind = "x/y"
    return await lake.objects.upload(
        REPO, branch, path, pieces(content), content_type=lambda: kind, metadata={}, if_absent=if_absent
    )


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, 3_000_000])
def test_uploads_of_any_size(lake: Lake, size: int) -> None:
    """Small ones and large ones go different ways to the same end."""
    content = bytes(number % 251 for number in range(size))
    entry = asyncio.run(uploaded(lake, "main", "a", content))
    assert (entry.size, entry.content_type) == (size, "x/y")
    assert lake.objects.stat(REPO, "main", "a") == entry
    assert lake.store.read(entry.address) == content


def test_each_is_answered_for_itself(lake: Lake) -> None:
    """Of many at a time, the refused ones are told why, and the others land."""
    lake.branches.create(REPO, "kept", "main")
    lake.protection.put(REPO, ["kept"])
    landing = [("main", f"a{number}") for number in range(50)]
    refused = {("nope", "b"): BranchNotFound, ("kept", "c"): ProtectedBranch, ("main", ""): InvalidPath}

    async def all_at_once() -> list[Entry | BaseException]:
        jobs = [uploaded(lake, branch, path, path.encode()) for branch, path in [*refused, *landing]]
        return await asyncio.gather(*jobs, return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    assert [type(outcome) for outcome in outcomes] == [*refused.values(), *[Entry] * 50]
    assert contents(lake, "main") == {path: path for _, path in landing}


@pytest.mark.parametrize("size", [1, SMALL + 1])
def test_only_one_is_the_first(lake: Lake, size: int) -> None:
    """Of many conditional uploads of one path exactly one lands, and that one is there."""

    async def race() -> list[Entry | BaseException]:
        return await asyncio.gather(
            *(uploaded(lake, "main", "a", bytes([number]) * size, if_absent=True) for number in range(20)),
            return_exceptions=True,
        )

    outcomes = asyncio.run(race())
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 19
    assert lake.objects.stat(REPO, "main", "a") == winner


@pytest.mark.parametrize("size", [1, SMALL + 1])
def test_what_is_not_what_was_announced_is_not_staged(lake: Lake, size: int) -> None:
    """A caller that knows the digest refuses other bytes."""

    def verify(_sha256: str) -> None:
        raise DevlakeError("not that")

    with pytest.raises(DevlakeError, match="not that"):
        asyncio.run(
            lake.objects.upload(REPO, "main", "a", pieces(bytes(size)), content_type=str, metadata={}, verify=verify)
        )
    assert contents(lake, "main") == {}


def test_a_full_disk_is_told_to_all(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses, each waiting upload is told, nothing is staged, and the next one works."""

    def full(_store: Store, _contents: Sequence[bytes]) -> list[Blob]:
        raise OSError(28, "No space left on device")

    async def three() -> list[Entry | BaseException]:
        return await asyncio.gather(*(uploaded(lake, "main", path, b"x") for path in "abc"), return_exceptions=True)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_many", full)
        assert [type(outcome) for outcome in asyncio.run(three())] == [OSError] * 3
    assert contents(lake, "main") == {}
    assert [type(outcome) for outcome in asyncio.run(three())] == [Entry] * 3


def test_giving_up_waiting_stops_nobody(lake: Lake) -> None:
    """A cancelled upload may land or not; the intake goes on either way."""

    async def give_up() -> None:
        waiting = [asyncio.ensure_future(uploaded(lake, "main", f"a{number}", b"x")) for number in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await uploaded(lake, "main", "last", b"x")

    asyncio.run(give_up())
    assert "last" in contents(lake, "main")


@given(count=st.integers(0, 3 * GROUP))
def test_groups_are_what_waits(count: int) -> None:
    """Everything comes out once and in order, at most so many at a time, and the end ends it."""
    queue: SimpleQueue[int | None] = SimpleQueue()
    for number in range(count):
        queue.put(number)
    queue.put(None)
    found = list(groups(queue))
    assert [number for group in found for number in group] == list(range(count))
    assert all(0 < len(group) <= GROUP for group in found)
    assert len(found) == -(-count // GROUP)


def test_groups_wait_for_work() -> None:
    """What comes later comes out later."""
    queue: SimpleQueue[str | None] = SimpleQueue()
    first = threading.Event()
    found: list[list[str]] = []

    def consume() -> None:
        for group in groups(queue):
            found.append(group)
            first.set()

    with ThreadPoolExecutor(1) as pool:
        consumer = pool.submit(consume)
        queue.put("a")
        first.wait(10)
        queue.put("b")
        queue.put(None)
        consumer.result(10)
    assert found == [["a"], ["b"]]
