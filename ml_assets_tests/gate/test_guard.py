"""A protected target: what passed its audit gets onto it, and nothing else, whoever tries with whatever client."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import lakefs_sdk
import pytest
import uvicorn
from pydantic import SecretStr
from starlette.types import Message

from ml_assets.lib.core.errors import AccessDenied, ConfigError, HookRefused, LakeUnavailable, TargetDirty
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import CheckResult, Publication
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.gate.guard import LONGEST_QUESTION, PATH, TOKEN_VARIABLE, Guard, guard_of, objections
from ml_assets.lib.gate.maintain import State, maintain
from ml_assets.lib.gate.outcome import Published
from ml_assets.lib.gate.protect import protect
from ml_assets.lib.lake import protection
from ml_assets.lib.lake.protection import protected, unprotect
from ml_assets_tests.devlake.hooked import somebody
from ml_assets_tests.gate.world import FRAME, SOURCE, UNITS, VIEW, Place, new_run
from ml_assets_tests.lakes import LakeEndpoint

AUDITED = Commit("a" * 64)


@pytest.fixture(scope="session")
def guard(lake_endpoint: LakeEndpoint) -> Iterator[str]:
    """Where the lake reaches a guard: the embedded one inside itself, a real one beside this process."""
    if lake_endpoint.url != os.environ.get("LAKECTL_SERVER_ENDPOINT_URL"):
        yield f"{lake_endpoint.url}{PATH}"
        return
    if TOKEN_VARIABLE not in os.environ:
        pytest.skip(f"{TOKEN_VARIABLE} is not set, as it must be for the real lakeFS too")
    token = SecretStr(os.environ[TOKEN_VARIABLE])
    app = guard_of(lake_endpoint.url, lake_endpoint.access_key_id, lake_endpoint.secret_access_key, token)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_the_gate_gets_through(guard: str, place_before: Callable[[Unit], Place], unit: Unit) -> None:
    """Every kind of unit is published as before, and once more after a new verdict."""
    place = place_before(unit)
    protect(place.lake, place.target, guard)
    assert isinstance(place.materialize(unit), Published)
    place.check_whole()


def test_maintenance_gets_through(guard: str, moved_on: Place) -> None:
    """What moves data without changing a row is audited too."""
    place = moved_on
    protect(place.lake, place.target, guard)
    (found,) = maintain(place.machinery, [str(SOURCE)], run=new_run(), keep=timedelta(days=-1))
    assert found.state is State.MAINTAINED, found.note
    place.check_whole()


def test_a_plain_client_is_refused(guard: str, place: Place) -> None:
    """It can neither write to the target, nor merge or pick what the gate has not seen; the hook tells why."""
    lake, target = place.lake, place.target
    protect(lake, target, guard)
    before, work = place.head, Branch(f"work-{target}")
    with pytest.raises(AccessDenied, match="cannot write to protected branch"):
        lake.put(target, "stray", b"")
    lake.branch(work, target)
    lake.put(work, "stray", b"")
    lake.commit(work, "not audited", {})
    with pytest.raises(HookRefused, match="hook 'only_what_was_audited_and_passed'"):
        lake.merge(work, target, "sneak", {})
    actions = lake.connection.sdk.actions_api
    run = actions.list_repository_runs(lake.repository, branch=target.name).results[0]
    output = str(actions.get_run_hook_output(lake.repository, run.run_id, "0000_0000"))
    assert "stray belongs to nothing that is published there" in output
    assert place.machinery.lake.connection.secret_access_key.get_secret_value() not in output
    assert "Authorization: *******" in output
    with pytest.raises(HookRefused):
        lake.connection.change(
            "pick",
            lake.connection.sdk.branches_api.cherry_pick,
            lake.repository,
            target.name,
            lakefs_sdk.CherryPickCreation(ref=work.name),
        )
    assert place.head == before
    lake.merge(work, place.with_target(f"{target}-other", before).target, "elsewhere is free", {})


def forged(place: Place, change: Callable[[Publication], Publication]) -> dict[str, bytes | None]:
    """The publication of the view, changed."""
    return {VIEW.publication_path: change(place.publication(VIEW)).to_bytes()}


def failing(publication: Publication) -> Publication:
    """As if the audit had not passed."""
    return replace(publication, verdict=(CheckResult(check="contract", passed=False),))


FORGERIES: dict[str, Callable[[Place], dict[str, bytes | None]]] = {
    "stray/x belongs to nothing": lambda _: {"stray/x": b""},
    "warehouse/features/other/x belongs to nothing": lambda _: {"warehouse/features/other/x": b""},
    "features/longest@1: its data is not what was audited": lambda _: {f"{VIEW.table_path}data/x": b""},
    "frames/late@hash-s42__v1: its data is not": lambda _: {FRAME.object_path: b"{}"},
    "belongs to nothing that is published there": lambda _: {VIEW.publication_path: None},
    "features/longest@1: its audit did not pass: contract": lambda place: forged(place, failing),
    "features/longest@1: it was never audited": lambda place: forged(place, lambda p: replace(p, verdict=())),
    "of another unit": lambda place: forged(place, lambda p: replace(p, unit=Unit("features", "other", "1"))),
    f"difference {AUDITED.id}": lambda place: forged(place, lambda p: replace(p, audited=AUDITED)),
    "cannot be read": lambda _: {VIEW.publication_path: b"{}"},
    "_publications/x belongs": lambda _: {"_publications/x": b""},
    "_lakefs_actions/x belongs": lambda _: {"_lakefs_actions/x": b"name: abc\non: {pre-merge: }"},
}


@pytest.mark.parametrize("said", FORGERIES)
def test_what_is_objected_to(place: Place, said: str) -> None:
    """Each way in which a merge can bring what nobody audited is named."""
    lake, work = place.lake, Branch(f"work-{place.target}")
    lake.branch(work, place.target)
    for path, content in FORGERIES[said](place).items():
        if content is None:
            lake.delete(work, [path])
        else:
            lake.put(work, path, content)
    lake.commit(work, "forged", {})
    merged = lake.merge(work, place.target, "forged", {})
    assert any(said in objection for objection in objections(lake, merged)), objections(lake, merged)


def test_nothing_is_objected_to_in_what_the_gate_did(place: Place) -> None:
    """Every merge on the target so far would pass."""
    merges = [commit.id for commit in place.lake.log(place.head) if len(commit.parents) > 1]
    assert len(merges) == len(UNITS)
    assert [said for merged in merges for said in objections(place.lake, merged)] == []


def test_protecting_again(guard: str, place: Place) -> None:
    """Writes nothing, unless the guard has moved; the rules of others stay."""
    lake, target = place.lake, place.target
    assert protect(lake, target, guard).installed
    head = place.head
    assert not protect(lake, target, guard).installed
    assert place.head == head
    assert protect(lake, target, guard.replace("127.0.0.1", "localhost")).installed
    assert target.name in protected(lake)
    assert not list(lake.branches("protect-trial", hidden=True))
    unprotect(lake, target)
    assert target.name not in protected(lake)


def test_a_target_with_uncommitted_objects(guard: str, place: Place) -> None:
    """They must not come along."""
    place.lake.put(place.target, "stray", b"")
    with pytest.raises(TargetDirty, match="stray"):
        protect(place.lake, place.target, guard)
    assert place.target.name not in protected(place.lake)


@pytest.mark.parametrize(("status", "said"), [(401, "does not answer as it should"), (200, "without asking the guard")])
def test_a_guard_that_does_not_work(place: Place, status: int, said: str) -> None:
    """One that refuses everything, or nothing, is found before the target is touched."""
    before = place.head
    with somebody() as other:
        other.answer = lambda _: status
        with pytest.raises(ConfigError, match=said):
            protect(place.lake, place.target, other.url)
    assert place.head == before
    assert place.target.name not in protected(place.lake)


def test_a_rule_without_effect(guard: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not passed off as protection."""
    monkeypatch.setattr(protection, "refuses_writes", lambda *_: False)
    monkeypatch.setattr("ml_assets.lib.gate.protect._NOTICED_S", 0.5)
    with pytest.raises(ConfigError, match="still lets itself be written"):
        protect(place.lake, place.target, guard)


def ask(guard: Guard, body: bytes, *, token: str = "token", method: str = "POST", path: str = PATH) -> tuple[int, str]:
    """Ask without a lake: status and text."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    asyncio.run(guard({**scope, "server": ("h", 1), "scheme": "http"}, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def no_lake(_: str) -> Any:
    """A lake that is not there."""
    raise LakeUnavailable("no answer", remedy="wait")


QUESTION = {"event_type": "pre-merge", "repository_id": "r", "branch_id": "main", "commit_id": AUDITED.id}


def test_who_may_ask_what() -> None:
    """Only who knows the secret, and only about merges; whatever goes wrong is no yes."""
    guard = Guard(no_lake, SecretStr("token"))
    question = json.dumps(QUESTION).encode()
    assert ask(guard, question, method="GET")[0] == 404
    assert ask(guard, question, path="/")[0] == 404
    status, text = ask(guard, question, token="wrong")
    assert (status, TOKEN_VARIABLE in text) == (401, True)
    assert ask(guard, question, token="tokenx")[0] == 401
    assert ask(guard, b"x" * (LONGEST_QUESTION + 1))[0] == 413
    assert ask(guard, question) == (503, "could not judge: no answer; wait\n")
    for bad in (b"", b"[]", b"{}", json.dumps({**QUESTION, "commit_id": 5}).encode(), b"\xff"):
        assert ask(guard, bad)[0] == 400, bad
    picked = json.dumps({**QUESTION, "event_type": "pre-cherry-pick"}).encode()
    said = "Only what was audited and passed gets onto main: publish with `ml-assets materialize`."
    assert ask(guard, picked) == (403, f"a cherry-pick cannot be judged\n{said}\n")
    assert "token" not in repr(guard)
