"""Uploads of any size, one at a time and together: each is answered for itself."""

from __future__ import annotations

import asyncio

import pytest

from ml_assets.lib.devlake.errors import BranchNotFound, DevlakeError, InvalidPath, PreconditionFailed, ProtectedBranch
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.small_files import SMALL
from ml_assets.lib.devlake.tree import Entry
from ml_assets_tests.devlake.local import REPO, contents, pieces


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


def test_giving_up_waiting_stops_nobody(lake: Lake) -> None:
    """A cancelled upload may land or not; the lake goes on either way."""

    async def give_up() -> None:
        waiting = [asyncio.ensure_future(uploaded(lake, "main", f"a{number}", b"x")) for number in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await uploaded(lake, "main", "last", b"x")

    asyncio.run(give_up())
    assert "last" in contents(lake, "main")
