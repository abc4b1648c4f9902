"""Many clients at once: there is an order, one call after the other, in which every answer is right.

What clients saw is searched for such an order, in which no call comes before one that had ended when it began (Wing and
Gong, "Testing and verifying concurrent objects", 1993).
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final, NamedTuple

import pytest

from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.devlake.wire import Answer, Wire

CLIENTS: Final = 5
CALLS: Final = 7
PATHS: Final = ("a", "b")
KEPT: Final = ("kept", "0")
"""Always there: an emptied tree is not that of a new repository, and the model need not know."""

Contents = frozenset[tuple[str, str]]


class State(NamedTuple):
    """Main: its head, what that has, and what a reader sees. Merged: what another branch has got of it."""

    head: str
    committed: Contents
    shown: Contents
    merged: Contents


class Call(NamedTuple):
    """A call, what came of it, and between which moments."""

    kind: str
    path: str = ""
    word: str = ""
    status: int = 200
    result: str = ""
    parent: str = ""
    listed: Contents = frozenset()
    began: float = 0.0
    ended: float = 0.0


def after(state: State, call: Call) -> State | None:
    """The state after *call*; ``None`` if it cannot have been answered like this."""
    present = dict(state.shown)
    old = present.get(call.path)
    match call.kind:
        case "put":
            fits, shown = call.status == 200, {**present, call.path: call.word}
        case "put if absent":
            fits, shown = call.status == (200 if old is None else 412), {call.path: call.word, **present}
        case "delete":
            fits, shown = call.status == 204, {path: word for path, word in present.items() if path != call.path}
        case "read":
            fits, shown = (call.status, call.result) == ((404, "") if old is None else (200, old)), present
        case "list":
            fits, shown = call.listed == state.shown, present
        case "commit":
            return _after_commit(state, call)
        case _:
            return _after_merge(state, call)
    return state._replace(shown=frozenset(shown.items())) if fits else None


def _after_commit(state: State, call: Call) -> State | None:
    if state.shown == state.committed:
        return state if call.status == 400 else None
    fits = call.status == 201 and call.parent == state.head
    return state._replace(head=call.result, committed=state.shown) if fits else None


def _after_merge(state: State, call: Call) -> State | None:
    if state.committed == state.merged:
        return state if call.status == 400 else None
    return state._replace(merged=state.committed) if call.status == 200 else None


def is_serial(calls: Sequence[Call], state: State) -> bool:
    """Whether there is such an order."""
    everything = frozenset(range(len(calls)))
    seen: set[tuple[frozenset[int], State]] = set()
    waiting = [(everything, state)]
    while waiting:
        left, state = waiting.pop()
        if not left:
            return True
        if (left, state) in seen:
            continue
        seen.add((left, state))
        first_end = min(calls[index].ended for index in left)
        could_be_next = [index for index in left if calls[index].began <= first_end]
        followed = ((left - {index}, after(state, calls[index])) for index in could_be_next)
        waiting += [(rest, following) for rest, following in followed if following is not None]
    return False


KINDS: Final = ["put", "put", "put if absent", "delete", "read", "read", "list", "commit", "commit", "merge"]


def play(wire: Wire, repository: str, kind: str, path: str, word: str) -> Call:
    """Make a call, and say what came of it."""
    began = time.monotonic()
    call = Call(kind, path, word)
    branch = f"/repositories/{repository}/branches/main"
    match kind:
        case "put" | "put if absent":
            condition = {"If-None-Match": "*"} if kind != "put" else {}
            answer = wire.s3("PUT", f"/{repository}/main/{path}", body=word.encode(), headers=condition)
        case "delete":
            answer = wire.rest("DELETE", f"{branch}/objects", query={"path": path})
        case "read":
            answer = wire.s3("GET", f"/{repository}/main/{path}")
            call = call._replace(result=answer.body.decode() if answer.status == 200 else "")
        case "list":
            answer = wire.rest("GET", f"/repositories/{repository}/refs/main/objects/ls")
            call = call._replace(listed=_listed(answer))
        case "commit":
            answer = wire.rest("POST", f"{branch}/commits", json_body={"message": secrets.token_hex(4)})
            if answer.status == 201:
                call = call._replace(result=answer.json()["id"], parent=answer.json()["parents"][0])
        case _:
            answer = wire.rest("POST", f"/repositories/{repository}/refs/main/merge/dev", json_body={})
    return call._replace(status=answer.status, began=began, ended=time.monotonic())


def _listed(answer: Answer) -> Contents:
    """Paths with their words, which are as long as they say."""
    return frozenset((row["path"], str(row["size_bytes"])) for row in answer.json()["results"])


@pytest.mark.parametrize("seed", range(12))
def test_answers_fit_into_one_order(endpoint: Endpoint, wire: Wire, repository: str, seed: int) -> None:
    """Uploads, conditional ones, deletions, reads, listings, commits and merges of several clients at once."""
    assert wire.s3("PUT", f"/{repository}/main/{KEPT[0]}", body=b"").status == 200
    head = wire.rest("POST", f"/repositories/{repository}/branches/main/commits", json_body={"message": "m"}).json()
    body = {"name": "dev", "source": "main"}
    assert wire.rest("POST", f"/repositories/{repository}/branches", json_body=body).status == 201
    together = threading.Barrier(CLIENTS)

    def run(number: int) -> list[Call]:
        source = random.Random(f"{seed} {number}")
        with closing(Wire(endpoint)) as own:
            together.wait()
            kinds = source.choices(KINDS, k=CALLS)
            return [
                play(own, repository, kind, source.choice(PATHS), "x" * (number * CALLS + index + 1))
                for index, kind in enumerate(kinds)
            ]

    with ThreadPoolExecutor(CLIENTS) as threads:
        calls = [call for done in threads.map(run, range(CLIENTS)) for call in done]
    sized = [call._replace(word=str(len(call.word)), result=_sized(call)) for call in calls]
    start = frozenset({KEPT})
    assert is_serial(sized, State(head["id"], start, start, start)), sized


def _sized(call: Call) -> str:
    """Words by their length, as listings show them."""
    return str(len(call.result)) if call.kind == "read" and call.status == 200 else call.result


EMPTY: Final = State("h", frozenset(), frozenset(), frozenset())

WRONG: Final = {
    "stale read": [Call("put", "a", "1", began=0, ended=1), Call("read", "a", status=404, began=2, ended=3)],
    "two winners": [Call("put if absent", "a", "1", ended=2), Call("put if absent", "a", "2", ended=2)],
    "no winner": [Call("put if absent", "a", "1", 412, ended=2), Call("put if absent", "a", "2", 412, ended=2)],
    "fork": [
        Call("put", "a", "1", began=0, ended=1),
        Call("commit", status=201, result="1", parent="h", began=2, ended=3),
        Call("put", "a", "2", began=2, ended=3),
        Call("commit", status=201, result="2", parent="h", began=4, ended=5),
    ],
    "half a listing": [
        Call("put", "a", "1", began=0, ended=1),
        Call("put", "b", "1", began=2, ended=3),
        Call("list", listed=frozenset({("b", "1")}), began=0, ended=3),
    ],
    "merge of nothing": [Call("merge", status=200, ended=1)],
}

RIGHT: Final = {
    "one winner": [Call("put if absent", "a", "1", 412, ended=2), Call("put if absent", "a", "2", ended=2)],
    "overlapping read": [Call("put", "a", "1", began=0, ended=2), Call("read", "a", status=404, began=1, ended=3)],
    "commits": [
        Call("put", "a", "1", began=0, ended=9),
        Call("commit", status=201, result="1", parent="h", began=0, ended=9),
        Call("commit", status=400, began=0, ended=9),
        Call("merge", status=200, began=0, ended=9),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_seen(name: str) -> None:
    """The search finds no order where there is none."""
    assert not is_serial(WRONG[name], EMPTY)


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_is_fine(name: str) -> None:
    """The search finds an order that is not that of the beginnings."""
    assert is_serial(RIGHT[name], EMPTY)


def test_a_line_of_commits(endpoint: Endpoint, wire: Wire, repository: str) -> None:
    """Sixteen clients commit to one branch: every commit has one child, and nothing that was uploaded is missing."""

    def run(number: int) -> list[str]:
        with closing(Wire(endpoint)) as own:
            for index in range(6):
                assert own.s3("PUT", f"/{repository}/main/{number}/{index}", body=b"x").status == 200
                body = {"message": f"{number} {index}"}
                commit = own.rest("POST", f"/repositories/{repository}/branches/main/commits", json_body=body)
                assert commit.status in (201, 400)  # somebody else may have committed it
        return [f"{number}/{index}" for index in range(6)]

    with ThreadPoolExecutor(16) as threads:
        paths = {path for done in threads.map(run, range(16)) for path in done}
    log = wire.rest("GET", f"/repositories/{repository}/refs/main/commits", query={"amount": "1000"}).json()["results"]
    parents = [parent for commit in log for parent in commit["parents"]]
    assert len(parents) == len(set(parents)) == len(log) - 1
    listing = wire.rest("GET", f"/repositories/{repository}/refs/main@/objects/ls", query={"amount": "1000"}).json()
    assert {row["path"] for row in listing["results"]} == paths
