"""Things that are done in order, in threads that others need too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_assets.lib.devlake.sequential import TURN, SequentialExecutor


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """One thread."""
    with ThreadPoolExecutor(1) as found:
        yield found


def test_in_order_and_one_at_a_time() -> None:
    """Whoever submits from whichever thread: what one submits is done in its order, and nothing beside anything."""
    done: list[tuple[int, int]] = []
    busy = threading.Lock()

    def act(thing: tuple[int, int]) -> None:
        assert busy.acquire(blocking=False)
        done.append(thing)
        busy.release()

    def submit(who: int) -> None:
        for future in [executor.submit((who, number)) for number in range(500)]:
            future.result()

    with ThreadPoolExecutor(8) as pool:
        executor = SequentialExecutor(pool, act)
        submitters = [threading.Thread(target=submit, args=(who,)) for who in range(4)]
        for submitter in submitters:
            submitter.start()
        for submitter in submitters:
            submitter.join()
    assert sorted(done) == [(who, number) for who in range(4) for number in range(500)]
    for who in range(4):
        assert [number for each, number in done if each == who] == list(range(500))


def test_an_error_is_of_one_thing(pool: ThreadPoolExecutor) -> None:
    """The others are done; one that was given up before its turn is not."""
    done: list[int] = []
    wait = threading.Event()

    def act(thing: int) -> None:
        wait.wait(60)
        if thing == 1:
            raise OSError("one")
        done.append(thing)

    executor = SequentialExecutor(pool, act)
    futures = [executor.submit(thing) for thing in range(4)]
    assert futures[2].cancel()
    wait.set()
    futures[3].result()
    with pytest.raises(OSError, match="one"):
        futures[1].result()
    assert done == [0, 3]


def test_a_long_one_lets_others_have_the_thread(pool: ThreadPoolExecutor) -> None:
    """Of two that have much to do, none waits until the other has done it all; the thread is free between them."""
    order: list[str] = []
    begin = threading.Event()
    pool.submit(begin.wait, 60)
    first, second = SequentialExecutor(pool, order.append), SequentialExecutor(pool, order.append)
    futures = [executor.submit(name) for _ in range(3 * TURN) for executor, name in ((first, "a"), (second, "b"))]
    other = pool.submit(order.append, "other")
    begin.set()
    for future in (*futures, other):
        future.result()
    assert order == ["a"] * TURN + ["b"] * TURN + ["other"] + (["a"] * TURN + ["b"] * TURN) * 2
