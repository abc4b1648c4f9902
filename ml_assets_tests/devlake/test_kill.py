"""Killed at random under mixed load, the lake loses nothing; and the campaign would see it if it did."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ml_assets.lib.devlake.server import ensure, root_of, stop
from ml_assets_tests.devlake.kill import HISTORY, Result, Subject, campaign
from ml_assets_tests.devlake.load import Client, Side, State, Violation
from ml_assets_tests.devlake.local import spoil
from ml_assets_tests.devlake.wire import Wire


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_25_kills(tmp_path: Path) -> None:
    """Uploads, commits, merges, multipart uploads, deletions and garbage collection, killed 25 times."""
    result = campaign(tmp_path, 25, seed=25)
    assert result.violations == []
    assert result.kills == 25
    for kind in ("uploads", "multipart uploads", "commits", "merges", "deletions", "files collected beside clients"):
        assert result.seen[kind] > 0


def forget(client: Client, _root: Path, wire: Wire) -> None:
    """An acknowledged object is not there."""
    client.rest(wire, "DELETE", f"/branches/{client.name}/objects", query={"path": "p/1"})


def add(client: Client, _root: Path, wire: Wire) -> None:
    """An object is there that nobody wrote."""
    client.rest(wire, "POST", f"/branches/{client.name}/objects/copy", {"src_path": "p/1"}, query={"dest_path": "x"})


def half_commit(client: Client, _root: Path, wire: Wire) -> None:
    """The request without an answer was a commit of two objects; a commit of one of them is there."""
    client.rest(wire, "DELETE", f"/branches/{client.name}/objects", query={"path": "p/1"})
    client.rest(wire, "POST", f"/branches/{client.name}/commits", {"message": "half"})
    side = client.state.branches[client.name]
    client.pending = State({**client.state.branches, client.name: Side("", side.shown)})


def rot(_client: Client, root: Path, _wire: Wire) -> None:
    """Bytes have changed."""
    spoil(root, b"two", b"owt")


def write_elsewhere(client: Client, _root: Path, wire: Wire) -> None:
    """A branch has moved."""
    client.rest(wire, "POST", f"/branches/{client.name}/commits", {"message": "unasked"})


LOSSES: list[tuple[Callable[[Client, Path, Wire], None], str]] = [
    (forget, r"has \['p/2'\] instead of \['p/1', 'p/2'\]"),
    (add, "has .* instead of"),
    (half_commit, "neither before .* nor after"),
    (rot, "does not hold the bytes"),
    (write_elsewhere, "is at .* instead of"),
]


def look(subject: Subject, client: Client, wire: Wire) -> None:
    """What is looked at after a kill."""
    client.recover(wire)
    subject.look()


@pytest.mark.parametrize(("loss", "said"), LOSSES)
def test_a_loss_is_seen(tmp_path: Path, loss: Callable[[Client, Path, Wire], None], said: str) -> None:
    """Whatever is made to be lost or by halves is a violation."""
    subject = Subject(tmp_path, 1, Result())
    client = subject.clients[0]
    try:
        with closing(Wire(ensure(tmp_path))) as wire:
            for path in ("p/1", "p/2"):
                assert wire.s3("PUT", f"/{HISTORY}/{client.name}/{path}", body=b"two").status == 200
                client.state.branches[client.name].staged[path] = "object two"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("ml_assets_tests.devlake.load.parts_of", lambda _token: (b"two",))
                look(subject, client, wire)
                loss(client, root_of(tmp_path), wire)
                with pytest.raises(Violation) as violation:
                    look(subject, client, wire)
        assert re.search(said, str(violation.value))
    finally:
        stop(tmp_path)
