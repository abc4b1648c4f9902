"""What happens when the server is slow, busy, broken, wrong or gone."""

from __future__ import annotations

import contextlib
import http.server
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler

import lakefs.exceptions
import lakefs_sdk
import lakefs_sdk.exceptions
import pytest
import urllib3

from ml_assets.lib.core.errors import (
    AccessDenied,
    BadRef,
    Conflict,
    DirtyBranch,
    HookRefused,
    LakeBusy,
    LakeError,
    LakeUnavailable,
    NothingToCommit,
    ObjectExists,
    RefExists,
    RefNotFound,
)
from ml_assets.lib.core.refs import Branch, Commit, Tag
from ml_assets.lib.lake import connection
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.lake.errors import translated
from ml_assets_tests.faults import Fault, Faults
from ml_assets_tests.lakes import LakeEndpoint

SECRET = "do-not-show-me-anywhere"

Call = Callable[[Lake, Branch, Commit], object]

READS: dict[str, Call] = {
    "head": lambda lake, branch, commit: lake.head(branch),
    "resolve": lambda lake, branch, commit: lake.resolve(commit.id),
    "info": lambda lake, branch, commit: lake.info(commit),
    "log": lambda lake, branch, commit: list(lake.log(commit)),
    "branches": lambda lake, branch, commit: list(lake.branches()),
    "tags": lambda lake, branch, commit: list(lake.tags()),
    "uncommitted": lambda lake, branch, commit: list(lake.uncommitted(branch)),
    "diff": lambda lake, branch, commit: list(lake.diff(branch, commit)),
    "merge_base": lambda lake, branch, commit: lake.merge_base(branch, commit),
    "read": lambda lake, branch, commit: lake.read(commit, "a/1"),
    "stat": lambda lake, branch, commit: lake.stat(commit, "a/1"),
    "ls": lambda lake, branch, commit: list(lake.ls(commit, "a/")),
    "folders": lambda lake, branch, commit: list(lake.folders(commit, "")),
}
WRITES: dict[str, Call] = {
    "branch": lambda lake, branch, commit: lake.branch(Branch("new"), commit),
    "drop": lambda lake, branch, commit: lake.drop(branch),
    "tag": lambda lake, branch, commit: lake.tag(Tag("t"), commit),
    "delete_tag": lambda lake, branch, commit: lake.delete_tag(Tag("t")),
    "commit": lambda lake, branch, commit: lake.commit(branch, "x", {}, allow_empty=True),
    "merge": lambda lake, branch, commit: lake.merge(branch, Branch("main"), "x", {}),
    "revert": lambda lake, branch, commit: lake.revert(branch, commit),
    "put": lambda lake, branch, commit: lake.put(branch, "x", b"x"),
    "delete": lambda lake, branch, commit: lake.delete(branch, ["a/1"]),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("fault", ["lost", "unreachable", 429, 500, 503])
@pytest.mark.usefixtures("no_waiting")
def test_a_read_is_asked_again(lake: Lake, work: Branch, base: Commit, name: str, fault: Fault) -> None:
    """Two failures in a row do not show; each request counts."""
    expected = READS[name](lake, work, base)
    before = lake.calls.total()
    faults = Faults(lake, [fault, fault])
    assert READS[name](lake, work, base) == expected
    assert len(faults.sent) == lake.calls.total() - before == 3


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("fault", ["lost", "unreachable", 500, 503])
@pytest.mark.usefixtures("no_waiting")
def test_a_write_without_an_answer_is_not_sent_again(
    lake: Lake, work: Branch, base: Commit, name: str, fault: Fault
) -> None:
    """Whether it landed is for the caller to find out."""
    faults = Faults(lake, [fault])
    with pytest.raises(LakeUnavailable):
        WRITES[name](lake, work, base)
    assert len(faults.sent) == 1


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.usefixtures("no_waiting")
def test_a_write_that_did_not_land_is_sent_again(lake: Lake, work: Branch, base: Commit, name: str) -> None:
    """429 says that nothing was done."""
    lake.put(work, "y", b"y")
    commit = lake.commit(work, "y", {})
    faults = Faults(lake, [429, 429])
    WRITES[name](lake, work, commit if name == "revert" else base)
    assert len(faults.sent) == 3


@pytest.mark.usefixtures("no_waiting")
def test_retries_end(lake: Lake, work: Branch) -> None:
    """A server that stays busy or silent is reported, after a bounded number of requests."""
    for fault, error in ((429, LakeBusy), (503, LakeUnavailable)):
        faults = Faults(lake, [fault] * 100)
        with pytest.raises(error, match=f"head of work: {fault}"):
            lake.head(work)
        assert len(faults.sent) == connection.ATTEMPTS
        faults.remove()


@pytest.mark.usefixtures("no_waiting")
def test_a_page_that_fails_is_asked_again_alone(lake: Lake, work: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages before it are not repeated, and no row is lost."""
    monkeypatch.setattr("ml_assets.lib.lake.client._LOG_PAGE", 2)
    for number in range(3):
        lake.commit(work, str(number), {}, allow_empty=True)
    faults = Faults(lake, ["pass", "lost"])
    messages = [info.message for info in lake.log(work)]
    assert messages == ["2", "1", "0", "base", "Repository created"]
    assert len(faults.sent) == 4


def test_a_lost_answer_of_a_write_landed(lake: Lake, work: Branch, base: Commit) -> None:
    """The error says that it may have: here it did."""
    lake.put(work, "x", b"x")
    Faults(lake, ["lost"])
    with pytest.raises(LakeUnavailable, match="look before you repeat it"):
        lake.commit(work, "landed", {})
    head = lake.info(work)
    assert (head.message, head.parents) == ("landed", (base,))


def test_the_repository_appears_however_the_creation_ends(lake_endpoint: LakeEndpoint, main: Branch) -> None:
    """A lost answer, and ten creators at once."""
    lost = lake_endpoint.lake("lost-" + lake_endpoint.new_lake().repository)
    Faults(lost, ["lost"], only="POST")
    lost.ensure_repository()
    assert lost.info(main).parents == ()
    name = "race-" + lake_endpoint.new_lake().repository
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: lake_endpoint.lake(name).ensure_repository(), range(10)))
    assert lake_endpoint.lake(name).info(main).parents == ()


def api(status: int, message: str = "") -> lakefs_sdk.exceptions.ApiException:
    """What the generated client raises."""
    error = lakefs_sdk.exceptions.ApiException(status=status, reason="because")
    error.body = f'{{"message": "{message}"}}'
    return error


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        (api(400, "commit: no changes"), NothingToCommit),
        (api(400, "update branch main: no changes"), NothingToCommit),
        (api(400, "uncommitted changes (dirty branch)"), DirtyBranch),
        (api(400, "argument branch: branch id: invalid value: validation error"), BadRef),
        (api(400, "given commit does not have the given parent number: parent 2"), BadRef),
        (api(400, "something else"), LakeError),
        (api(401, "error authenticating request"), AccessDenied),
        (api(403, "cannot write to protected branch"), AccessDenied),
        (api(404, "branch not found"), RefNotFound),
        (api(409, "branch already exists: not unique"), RefExists),
        (api(409, "tag ID tagged: conflict found"), RefExists),
        (api(409, "commit ID 0123: conflict found"), RefExists),
        (api(409, "branch name x: conflict found"), RefExists),
        (api(409, "update branch: conflict found"), Conflict),
        (api(409), Conflict),
        (api(410, "gone"), LakeError),
        (api(412, "path already exists"), ObjectExists),
        (api(412, "update branch main: pre-merge hook aborted, run id 'r'"), HookRefused),
        (api(429, "too many tries"), LakeBusy),
        (api(500), LakeUnavailable),
        (api(501, "not supported"), LakeError),
        (api(502), LakeUnavailable),
        (api(0), LakeUnavailable),
        (lakefs.exceptions.ServerException(429, "busy", '{"message": "slow down"}'), LakeBusy),
        (lakefs.exceptions.ObjectExistsException(412, "exists"), ObjectExists),
        (urllib3.exceptions.ProtocolError("aborted"), LakeUnavailable),
        (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("h"), "/", "slow"), LakeUnavailable),
        (ConnectionResetError("reset"), LakeUnavailable),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_translation(outside: Exception, inside: type[LakeError]) -> None:
    """Each exception of the clients becomes exactly one class, says where, and keeps its cause."""
    with pytest.raises(LakeError) as caught, translated("merge a into b", "http://lake"):
        raise outside
    assert type(caught.value) is inside
    assert str(caught.value).startswith("merge a into b: ")
    assert caught.value.__cause__ is outside


def test_translation_leaves_other_errors_alone() -> None:
    """A bug is not dressed up as a lake that is down."""
    with pytest.raises(KeyError), translated("here", "http://lake"):
        raise KeyError("bug")


def test_an_error_page_of_a_proxy_is_shown_in_part() -> None:
    """A body that is no JSON is cut."""
    error = lakefs_sdk.exceptions.ApiException(status=502, reason="Bad Gateway")
    error.body = "<html>" + "x" * 10_000
    with pytest.raises(LakeUnavailable, match="here: 502 <html>x") as caught, translated("here", "http://lake"):
        raise error
    assert len(str(caught.value)) < 500


@pytest.fixture
def wrong_server() -> Iterator[str]:
    """Something that answers 200 to everything, and is not lakeFS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"hello": "world"}')

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("no_waiting")
def test_a_server_that_is_not_lakefs(wrong_server: str, main: Branch) -> None:
    """Its answers are not taken for commits."""
    with pytest.raises(LakeUnavailable, match="what answered is not lakeFS"):
        Lake(wrong_server, "repo", "key", SECRET).head(main)


@pytest.mark.usefixtures("no_waiting")
def test_a_server_that_never_answers(main: Branch) -> None:
    """Every call has a time limit, the wrapper's too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lake = Lake(f"http://127.0.0.1:{silent.getsockname()[1]}", "repo", "key", SECRET, timeout_s=0.2)
        with pytest.raises(LakeUnavailable, match="Timeout"):
            lake.head(main)
        with pytest.raises(LakeUnavailable, match="Timeout"):
            lake.put(main, "x", b"x")
        with pytest.raises(LakeUnavailable, match="Timeout"):
            lake.connection.change("x", lakefs.Repository("repo", lake.connection.wrapper).create, "local://repo")


def test_no_request_is_repeated_unseen(main: Branch) -> None:
    """The HTTP library below does not send a write again when the connection breaks."""
    requests = []

    def answer_nothing(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    requests.append(connection.recv(1000).split(b" ")[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_nothing, args=[server], daemon=True).start()
        lake = Lake(f"http://127.0.0.1:{server.getsockname()[1]}", "repo", "key", SECRET)
        for write in (lambda: lake.drop(main), lambda: lake.put(main, "x", b"x")):
            with pytest.raises(LakeUnavailable):
                write()
        server.shutdown(socket.SHUT_RDWR)
    assert requests == [b"DELETE", b"POST"]


@pytest.mark.usefixtures("no_waiting")
def test_no_server_at_all(main: Branch) -> None:
    """The error says what was wanted and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(LakeUnavailable, match=r"repo: head of main: no answer .*; check that the lake is up"):
        Lake(f"http://127.0.0.1:{port}", "repo", "key", SECRET).head(main)


def test_wrong_keys(lake: Lake, main: Branch) -> None:
    """They are refused at once, by REST and by the gateway."""
    stranger = Lake(lake.endpoint, lake.repository, "AKIAJSTRANGER", SECRET)
    with pytest.raises(AccessDenied, match="LAKECTL_CREDENTIALS"):
        stranger.head(main)
    assert stranger.calls.total() == 1
    with pytest.raises(OSError, match=r"ACCESS_DENIED|InvalidAccessKeyId|403"):
        stranger.gateway.open_input_file(f"{lake.repository}/main/x")


def test_the_secret_shows_nowhere(lake: Lake, main: Branch, caplog: pytest.LogCaptureFixture) -> None:
    """Not in repr, errors, tracebacks or logs at the lowest level, nor in a pickle, which cannot be made."""
    caplog.set_level(logging.DEBUG)
    secret = lake.connection.secret_access_key.get_secret_value()
    shown = [repr(lake), str(lake), repr(lake.connection), repr(vars(lake)), repr(lake.gateway)]
    stranger = Lake(lake.endpoint, lake.repository, "AKIAJSTRANGER", SECRET)
    for client, branch in ((stranger, main), (lake, Branch("nope"))):
        with pytest.raises(LakeError) as caught:
            client.head(branch)
        shown += [str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value))]
    shown += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert not [text for text in shown if secret in text or SECRET in text]
    with pytest.raises(TypeError, match="pickle"):
        ForkingPickler.dumps(lake)


def test_threads_share_one_lake(lake: Lake, main: Branch) -> None:
    """Answers are not mixed up, and every request counts."""
    paths = [f"t/{number}" for number in range(64)]
    before = lake.calls.total()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda path: lake.put(main, path, path.encode()), paths))
        assert list(pool.map(lambda path: lake.read(main, path), paths)) == [path.encode() for path in paths]
    assert lake.calls.total() == before + 2 * len(paths)


def test_connections_are_kept(lake: Lake, base: Commit) -> None:
    """Ten calls in a row open no new connection."""
    lake.info(base)
    pool = lake.connection.sdk.objects_api.api_client.rest_client.pool_manager.connection_from_url(lake.endpoint)
    opened = pool.num_connections
    for _ in range(10):
        lake.info(base)
    assert pool.num_connections == opened
