"""Hooks: who is asked when, what a refusal does, and that a lake which waits for an answer goes on answering."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from ml_assets.lib.devlake import landing
from ml_assets.lib.devlake.actions import BadAction, Event
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.errors import AlreadyExists, NoChanges
from ml_assets.lib.devlake.hooks import Hooks, HooksRefused, Run
from ml_assets.lib.devlake.landing import TooManyTries
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.server import Endpoint, ensure, stop
from ml_assets_tests.devlake.hooked import Asked, Somebody, action, somebody
from ml_assets_tests.devlake.local import REPO, USER, commit, contents, put, put_all
from ml_assets_tests.devlake.wire import Wire

FILE = "_lakefs_actions/ask.yaml"


@pytest.fixture
def asked() -> Iterator[Somebody]:
    """Somebody who is asked."""
    with somebody() as found:
        yield found


def branch(lake: Lake, *, name: str = "work", **objects: str) -> None:
    """A branch of main with a commit of *objects*."""
    lake.branches.create(REPO, name, "main")
    put_all(lake, name, objects)


def merge(lake: Lake, source: str = "work", into: str = "main") -> str:
    """Merge, and say which commit came of it."""
    return lake.merges.merge(REPO, source, into, committer=USER, metadata={"b": "1", "a": "2"}).id


def test_a_merge_asks_whom_the_source_names(lake: Lake, asked: Somebody) -> None:
    """The commit is there already, and can be read, while the branch has not moved."""
    branch(lake, **{FILE: action(asked.url), "x": "1"})
    before, source = (lake.branches.get(REPO, name).commit_id for name in ("main", "work"))
    seen = []

    def look(about: Asked) -> int:
        seen.append((contents(lake, about.body["commit_id"])["x"], lake.branches.get(REPO, "main").commit_id))
        return 204

    asked.answer = look
    landed = merge(lake)
    assert seen == [("1", before)]
    (one,) = asked.asked
    assert one.headers["content-type"] == "application/json"
    assert one.body.pop("event_time").endswith("Z")
    assert list(one.body.pop("commit_metadata").items()) == [
        (".lakefs.merge.strategy", "default"),
        ("a", "2"),
        ("b", "1"),
    ]
    assert one.body == {
        "event_type": "pre-merge",
        "action_name": "asks somebody",
        "hook_id": "somebody",
        "repository_id": REPO,
        "branch_id": "main",
        "source_ref": source,
        "commit_id": landed,
        "commit_message": "Merge 'work' into 'main'",
        "committer": USER,
        "merge_source": "work",
    }


def test_a_refused_merge(lake: Lake, asked: Somebody, tmp_path: Path) -> None:
    """The branch stays where it is, the error names run, action and hook, and the run tells the rest."""
    asked.answer = lambda _: 422
    branch(lake, **{FILE: action(asked.url), "x": "1"})
    before = lake.branches.get(REPO, "main")
    with pytest.raises(HooksRefused) as refused:
        merge(lake)
    assert refused.value.status == 412
    (run,) = lake.hooks.runs(REPO).items
    assert str(refused.value) == (
        f"update branch main: pre-merge hook aborted, run id '{run.id}': 1 error occurred:\n\t* "
        "hook run id '0000_0000' failed on action 'asks somebody' hook 'somebody': action failed: "
        "webhook request failed (status code: 422)\n\n"
    )
    assert lake.branches.get(REPO, "main") == before
    assert (run.passed, run.branch, run.event) == (False, "main", "pre-merge")
    (hook,) = lake.hooks.hook_runs(REPO, run.id).items
    assert not hook.passed
    assert "HTTP/1.1 422 Unprocessable" in hook.output
    assert "because" in hook.output
    assert merge(lake, into=lake.branches.create(REPO, "other", "main").name)  # not what the action is about
    assert len(asked.asked) == 1
    assert check(tmp_path / "lake", pytest.fail).problems == 0


def test_a_commit_asks_whom_its_branch_names(lake: Lake, asked: Somebody) -> None:
    """A file that is only staged counts already, one that is being removed no more; the run gets to know the commit."""
    asked.answer = lambda _: 403
    put(lake, "main", FILE, action(asked.url, event="pre-commit"))
    with pytest.raises(HooksRefused, match=r"^pre-commit hook aborted, run id"):
        commit(lake, "main")
    assert (asked.asked[0].body["source_ref"], "commit_id" in asked.asked[0].body) == ("main", False)
    asked.answer = lambda _: 200
    landed = commit(lake, "main")
    assert [(run.passed, run.commit_id) for run in lake.hooks.runs(REPO).items if run.passed] == [(True, landed)]
    lake.objects.delete(REPO, "main", FILE)
    commit(lake, "main")
    assert len(asked.asked) == 2


def test_reverts_and_cherry_picks(lake: Lake, asked: Somebody) -> None:
    """Are asked about with the files of the branch that they change."""
    first = put_all(lake, "main", {"x": "1"})
    branch(lake, name="other", y="1")
    text = action(asked.url, event="pre-revert").replace("  pre-revert:", "  pre-cherry-pick:\n  pre-revert:")
    put_all(lake, "main", {FILE: text})
    asked.answer = lambda _: 403
    with pytest.raises(HooksRefused, match="pre-revert hook aborted"):
        lake.merges.revert(REPO, "main", first, parent_number=1, committer=USER)
    with pytest.raises(HooksRefused, match="pre-cherry-pick hook aborted"):
        lake.merges.cherry_pick(REPO, "main", "other", committer=USER)
    assert [one.body["commit_message"] for one in asked.asked] == [f"Revert {first}", "m"]


def moving(lake: Lake) -> Callable[[Asked], int]:
    """Says yes, and lets main move the first two times."""
    moves = iter("ab")

    def move(_: Asked) -> int:
        if (path := next(moves, None)) is not None:
            put_all(lake, "main", {path: path})
        return 200

    return move


def everything(url: str) -> str:
    """An action about all events."""
    events = "".join(f"  {event}:\n" for event in Event)
    return f"name: asks somebody\non:\n{events}hooks:\n- {{id: hook, type: webhook, properties: {{url: '{url}'}}}}\n"


def runs(lake: Lake, count: int) -> list[Run]:
    """The latest runs, when there are *count* in all: nobody waits for those that are told."""
    while len(found := lake.hooks.runs(REPO).items) < count:
        time.sleep(0.01)
    return found


def test_what_hooks_hear(lake: Lake, asked: Somebody) -> None:
    """Before and after each event: what it is about, and where the action file was read."""
    put(lake, "main", FILE, everything(asked.url))
    first = commit(lake, "main")
    runs(lake, 3)
    lake.branches.create(REPO, "work", "main")
    runs(lake, 5)
    second = put_all(lake, "work", {"x": "1"})
    runs(lake, 8)
    merged = merge(lake)
    runs(lake, 10)
    reverted = lake.merges.revert(REPO, "work", second, parent_number=1, committer=USER).id
    runs(lake, 12)
    picked = lake.merges.cherry_pick(REPO, "work", second, committer=USER).id
    runs(lake, 14)
    lake.tags.create(REPO, "v1", "work")
    runs(lake, 16)
    lake.tags.delete(REPO, "v1")
    runs(lake, 18)
    lake.branches.delete(REPO, "work")
    kept = runs(lake, 20)
    parts = "branch_id", "tag_id", "source_ref", "commit_id"
    assert [(one.body["event_type"], *map(one.body.get, parts)) for one in asked.asked] == [
        ("prepare-commit", "main", None, "main", None),
        ("pre-commit", "main", None, "main", None),
        ("post-commit", "main", None, first, first),
        ("pre-create-branch", "work", None, "main", first),
        ("post-create-branch", "work", None, "main", first),
        ("prepare-commit", "work", None, "work", None),
        ("pre-commit", "work", None, "work", None),
        ("post-commit", "work", None, second, second),
        ("pre-merge", "main", None, second, merged),
        ("post-merge", "main", None, merged, merged),
        ("pre-revert", "work", None, "work", None),
        ("post-revert", "work", None, reverted, reverted),
        ("pre-cherry-pick", "work", None, "work", None),
        ("post-cherry-pick", "work", None, picked, picked),
        ("pre-create-tag", None, "v1", picked, picked),
        ("post-create-tag", None, "v1", picked, picked),
        ("pre-delete-tag", None, "v1", picked, picked),
        ("post-delete-tag", None, "v1", picked, picked),
        ("pre-delete-branch", "work", None, picked, None),
        ("post-delete-branch", "work", None, picked, None),
    ]
    assert {run.event for run in kept} == set(Event)
    assert all(run.passed for run in kept)
    assert {run.event for run in lake.hooks.runs(REPO, commit_id=second).items} == {"pre-commit", "post-commit"}
    assert [asked.asked[index].body.get("merge_source") for index in (8, 9)] == ["work", "work"]
    assert "commit_message" not in asked.asked[3].body


@pytest.mark.parametrize("what", ["create-branch", "delete-branch", "create-tag", "delete-tag"])
def test_a_refused_branch_or_tag(lake: Lake, asked: Somebody, what: str) -> None:
    """Nothing has changed, and nobody hears that it has."""
    put_all(lake, "main", {"x": "1"})
    lake.branches.create(REPO, "old", "main")
    lake.tags.create(REPO, "old-tag", "main")
    text = everything(asked.url)
    put_all(lake, "main", {FILE: text})
    put_all(lake, "old", {FILE: text})
    lake.tags.delete(REPO, "old-tag")
    lake.tags.create(REPO, "old-tag", "main")
    asked.answer = lambda one: 403 if one.body["event_type"].startswith("pre") else 200
    acts: dict[str, Callable[[], object]] = {
        "create-branch": lambda: lake.branches.create(REPO, "new", "main"),
        "delete-branch": lambda: lake.branches.delete(REPO, "old"),
        "create-tag": lambda: lake.tags.create(REPO, "new-tag", "main"),
        "delete-tag": lambda: lake.tags.delete(REPO, "old-tag"),
    }
    act = acts[what]
    runs(lake, 8)
    with pytest.raises(HooksRefused, match=rf"^pre-{what} hook aborted, run id '\w+': 1 error occurred:"):
        act()
    assert [branch.name for branch in lake.branches.list(REPO).items] == ["main", "old"]
    assert [tag.name for tag in lake.tags.list(REPO).items] == ["old-tag"]
    assert asked.asked[-1].body["event_type"] == f"pre-{what}"
    asked.answer = lambda _: 200
    act()
    assert [run.event for run in runs(lake, 11)][:3] == [f"post-{what}", f"pre-{what}", f"pre-{what}"]


def test_a_new_branch_asks_whom_its_source_names(lake: Lake, asked: Somebody) -> None:
    """With what is staged there; not where it was committed only later."""
    put_all(lake, "main", {"x": "1"})
    put(lake, "main", FILE, action(asked.url, event="pre-create-branch", branch="work-*"))
    asked.answer = lambda _: 403
    with pytest.raises(HooksRefused):
        lake.branches.create(REPO, "work-1", "main")
    lake.branches.create(REPO, "work-1", "main@")
    lake.branches.create(REPO, "other", "main")
    assert len(asked.asked) == 1


def test_what_is_asked_about_a_branch_may_change(lake: Lake, asked: Somebody) -> None:
    """It is asked again about what will be done; a name that is taken meanwhile is taken."""
    put_all(lake, "main", {FILE: action(asked.url, event="pre-create-branch", branch="*")})
    asked.answer = moving(lake)
    made = lake.branches.create(REPO, "work", "main")
    assert made.commit_id == lake.branches.get(REPO, "main").commit_id
    assert len(asked.asked) == 3

    def take(_: Asked) -> int:
        if len(asked.asked) == 4:
            lake.branches.create(REPO, "taken", "main")
        return 200

    asked.answer = take
    with pytest.raises(AlreadyExists):
        lake.branches.create(REPO, "taken", "main")


def test_whoever_prepares_a_commit_may_stage_for_it(lake: Lake, asked: Somebody) -> None:
    """What comes then is asked about, and lands."""
    put_all(lake, "main", {FILE: everything(asked.url)})
    runs(lake, 3)

    staged = "two files"

    def stage(one: Asked) -> int:
        if one.body["event_type"] == "prepare-commit":
            put(lake, "main", "summary", staged)
        return 200

    asked.answer = stage
    put_all(lake, "main", {"x": "1"})
    assert contents(lake, "main@") == {FILE: everything(asked.url), "x": "1", "summary": "two files"}
    staged = "everything"
    commit(lake, "main")
    assert contents(lake, "main@")["summary"] == "everything"
    runs(lake, 9)
    asked.asked.clear()
    asked.answer = lambda _: 200
    with pytest.raises(NoChanges, match=r"^commit: no changes"):
        commit(lake, "main")
    assert [one.body["event_type"] for one in asked.asked] == ["prepare-commit", "pre-commit"]
    asked.answer = lambda _: 403
    put(lake, "main", "y")
    with pytest.raises(HooksRefused, match=r"^prepare-commit hook aborted"):
        commit(lake, "main")


def test_a_hook_that_fails_afterwards(lake: Lake, asked: Somebody) -> None:
    """Changes nothing: what has happened has happened. Its run says so."""
    asked.answer = lambda _: 500
    landed = put_all(lake, "main", {FILE: action(asked.url, event="post-commit")})
    (run,) = runs(lake, 1)
    assert (run.event, run.passed, run.commit_id) == ("post-commit", False, landed)
    assert lake.branches.get(REPO, "main").commit_id == landed


def test_what_keeps_hooks_from_being_told_is_logged(
    lake: Lake, asked: Somebody, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else would hear of it."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Hooks, "_keep", full)
    landed = put_all(lake, "main", {FILE: action(asked.url, event="post-commit")})
    lake.hooks.end()
    assert lake.branches.get(REPO, "main").commit_id == landed
    assert [record.message for record in caplog.records if "No space" in caplog.text] == ["hooks were not told"]


def test_a_merge_tells_whom_its_outcome_names(lake: Lake, asked: Somebody) -> None:
    """The source asks nobody; what the destination has is in the outcome."""
    lake.branches.create(REPO, "work", "main")
    put_all(lake, "work", {"x": "1"})
    put_all(lake, "main", {FILE: action(asked.url, event="post-merge")})
    landed = merge(lake)
    (run,) = runs(lake, 1)
    assert (run.event, run.commit_id, run.source_ref) == ("post-merge", landed, landed)


def test_the_hooks_of_an_action_in_order(lake: Lake, asked: Somebody) -> None:
    """After a failure only those that say so are called; the others are skipped."""
    hook = "  - id: {0}\n    type: webhook\n    if: {1}\n    properties: {{url: '{2}/{0}'}}\n"
    names = {"glad": "success()", "sad": "failure()", "always": "true", "never": "false"}
    more = "".join(hook.format(name, condition, asked.url) for name, condition in names.items())
    asked.answer = lambda one: 500 if one.path == "/hook" else 200
    branch(lake, **{FILE: action(asked.url, more=more)})
    with pytest.raises(HooksRefused):
        merge(lake)
    assert [one.path for one in asked.asked] == ["/hook", "/sad", "/always"]
    (run,) = lake.hooks.runs(REPO).items
    hooks = lake.hooks.hook_runs(REPO, run.id).items
    assert [(hook.id, hook.hook, hook.passed, hook.started_ns > 0) for hook in hooks] == [
        ("0000_0000", "somebody", False, True),
        ("0000_0001", "glad", False, False),
        ("0000_0002", "sad", True, True),
        ("0000_0003", "always", True, True),
        ("0000_0004", "never", False, False),
    ]


def test_an_answer_that_does_not_come(lake: Lake, asked: Somebody) -> None:
    """Is a refusal after the hook's time; one that nobody gives is one at once. Secrets are in no message."""
    patience = threading.Event()
    asked.answer = lambda _: patience.wait(30) * 200
    branch(lake, **{FILE: action(asked.url, properties="      timeout: 100ms\n      query_params: {t: token}\n")})
    with pytest.raises(HooksRefused, match=r"no answer within 0\.1 s"):
        merge(lake)
    patience.set()
    put_all(lake, "work", {FILE: action("http://127.0.0.1:1")})
    with pytest.raises(HooksRefused, match="refused"):
        merge(lake)


def test_a_file_that_cannot_be_followed(lake: Lake) -> None:
    """Not even itself lands: whoever wrote it meant to guard something."""
    put(lake, "main", FILE, "name: [")
    with pytest.raises(BadAction, match=r"aborted, run id .*parsing file _lakefs_actions/ask\.yaml"):
        commit(lake, "main")
    lake.objects.delete(REPO, "main", FILE)
    put(lake, "main", "_lakefs_actions/folder/x")
    with pytest.raises(BadAction, match="_lakefs_actions/folder/"):
        commit(lake, "main")


def test_a_branch_that_moves_meanwhile(lake: Lake, asked: Somebody) -> None:
    """What lands is what was asked about: it is asked again, and not for ever."""
    asked.answer = moving(lake)
    branch(lake, **{FILE: action(asked.url), "x": "1"})
    landed = merge(lake)
    assert [one.body["commit_id"] == landed for one in asked.asked] == [False, False, True]
    assert contents(lake, "main").keys() == {"a", "b", "x", FILE}


def test_a_branch_that_always_moves(lake: Lake, asked: Somebody, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries the client is told to try again later."""
    monkeypatch.setattr(landing, "TRIES", 2)
    asked.answer = lambda _: len(put_all(lake, "main", {"a": str(len(asked.asked))})) and 200
    branch(lake, **{FILE: action(asked.url)})
    with pytest.raises(TooManyTries) as refused:
        merge(lake)
    assert refused.value.status == 429
    assert len(asked.asked) == 3


def test_no_hook_has_a_say_in_a_read_only_repository(lake: Lake, asked: Somebody) -> None:
    """``force`` is for whoever repairs it."""
    lake.repositories.create("sealed", "local://sealed", read_only=True)
    blob = lake.store.files.write(action(asked.url, event="pre-commit").encode())
    lake.objects.stage("sealed", "main", FILE, blob, content_type="", metadata={}, force=True)
    assert lake.commits.create("sealed", "main", "m", committer=USER, force=True)
    assert asked.asked == []


def test_what_was_asked_can_be_read(wire: Wire, repository: str, asked: Somebody) -> None:
    """Runs, their hooks and what those said, in the form of the API; of a run that is not there, 404 or nothing."""
    base = f"/repositories/{repository}"
    asked.answer = lambda _: 403
    text = action(asked.url, event="pre-commit").encode()
    assert wire.rest("POST", f"{base}/branches/main/objects", query={"path": FILE}, body=text).status == 201
    refused = wire.rest("POST", f"{base}/branches/main/commits", json_body={"message": "m"})
    assert refused.status == 412
    (run,) = wire.rest("GET", f"{base}/actions/runs", query={"branch": "main"}).json()["results"]
    assert run["run_id"] in refused.json()["message"]
    assert (run["status"], run["event_type"], run["commit_id"]) == ("failed", "pre-commit", "")
    one = f"{base}/actions/runs/{run['run_id']}"
    assert wire.rest("GET", one).json() == run
    (hook,) = wire.rest("GET", f"{one}/hooks").json()["results"]
    assert hook["start_time"] <= hook["end_time"]
    assert b"403 Forbidden" in wire.rest("GET", f"{one}/hooks/{hook['hook_run_id']}/output").body
    assert wire.rest("GET", f"{one}/hooks/none/output").status == 404
    assert wire.rest("GET", f"{base}/actions/runs/none").status == 404
    assert wire.rest("GET", f"{base}/actions/runs/none/hooks").json()["results"] == []
    assert wire.rest("GET", f"{base}/actions/runs", query={"branch": "x"}).json()["results"] == []
    assert wire.rest("GET", f"{base}/actions/runs", query={"branch": "x", "commit": "y"}).status == 400


def test_a_lake_that_waits_goes_on_answering(endpoint: Endpoint, repository: str, asked: Somebody) -> None:
    """More merges wait than the server has threads for reads, and each waits for a read."""
    count, base = 60, f"/repositories/{repository}"
    reads = []

    def read(about: Asked) -> int:
        with closing(Wire(endpoint)) as wire:
            reads.append(wire.rest("GET", f"{base}/refs/{about.body['commit_id']}/objects", query={"path": "x"}).body)
        return 200

    asked.answer = read

    def merge_one(number: int) -> int:
        with closing(Wire(endpoint)) as wire:
            into = f"into-{number}"
            wire.rest("POST", f"{base}/branches", json_body={"name": into, "source": "main"})
            return wire.rest("POST", f"{base}/refs/work/merge/{into}", json_body={}).status

    with closing(Wire(endpoint)) as wire:
        wire.rest("POST", f"{base}/branches", json_body={"name": "work", "source": "main"})
        for path, body in {FILE: action(asked.url, branch="into-*"), "x": "1"}.items():
            wire.rest("POST", f"{base}/branches/work/objects", query={"path": path}, body=body.encode())
        assert wire.rest("POST", f"{base}/branches/work/commits", json_body={"message": "m"}).status == 201
    with ThreadPoolExecutor(count) as threads:
        assert set(threads.map(merge_one, range(count))) == {200}
    assert reads == [b"1"] * count


def test_a_server_that_is_stopped_waits_for_no_hook(tmp_path: Path, asked: Somebody) -> None:
    """It ends in its own time, and nothing has landed."""
    patience = threading.Event()
    asked.answer = lambda _: patience.wait(120) * 200
    with closing(Wire(ensure(tmp_path))) as wire:
        wire.rest("POST", "/repositories", json_body={"name": REPO, "storage_namespace": f"local://{REPO}"})
        text = action(asked.url, event="pre-commit").encode()
        wire.rest("POST", f"/repositories/{REPO}/branches/main/objects", query={"path": FILE}, body=text)
        before = wire.rest("GET", f"/repositories/{REPO}/branches/main").json()
    waiting = threading.Thread(target=_commit_and_be_cut_off, args=(ensure(tmp_path),))
    waiting.start()
    while not asked.asked:
        assert waiting.is_alive()
    try:
        assert stop(tmp_path)
    finally:
        patience.set()
        waiting.join()
    with closing(Wire(ensure(tmp_path))) as wire:
        assert wire.rest("GET", f"/repositories/{REPO}/branches/main").json() == before
    stop(tmp_path)


def _commit_and_be_cut_off(endpoint: Endpoint) -> None:
    with closing(Wire(endpoint)) as wire, suppress(OSError, HTTPException):
        wire.rest("POST", f"/repositories/{REPO}/branches/main/commits", json_body={"message": "m"})
