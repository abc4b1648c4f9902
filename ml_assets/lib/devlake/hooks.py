"""Asking webhooks whether something may happen, telling them that it has, and the record of what they answered.

Hooks are called outside of all transactions: they read the lake while they are asked, and may take minutes. Nobody
waits for those that are told, and if the server dies before, they are not: as in lakeFS, what must not happen unseen is
for a hook that is asked.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from ml_assets.lib.devlake import staging, tree
from ml_assets.lib.devlake.access import find_repository
from ml_assets.lib.devlake.actions import FOLDER, Action, BadAction, Event, Hook, check_names, parse
from ml_assets.lib.devlake.database import Database, Row, Transaction
from ml_assets.lib.devlake.errors import DevlakeError, Invalid, NotFound, PreconditionFailed
from ml_assets.lib.devlake.history import SECOND, Commit, Words
from ml_assets.lib.devlake.nodes import RowNodes
from ml_assets.lib.devlake.page import CommonPrefix, Page, fold, page
from ml_assets.lib.devlake.store import Store
from ml_assets.lib.devlake.tree import Entry
from ml_assets.lib.devlake.webhooks import Calls, HookFailed, webhook

LONGEST_FILE: Final = 1 << 20
"""Bytes of an action file."""

File = Entry | CommonPrefix
"""What lies right below the folder of action files. It should be a file."""

THREADS: Final = 256
"""Calls that may wait for hooks at a time."""

NO_WORDS: Final = Words("", "", {})
"""Where no commit is made."""

_LOG: Final = logging.getLogger(__name__)

_YEAR_3000: Final = 32_500_915_200
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"
_CONDITIONS: Final = {
    "success()": True,
    "!failure()": True,
    "not failure()": True,
    "failure()": False,
    "!success()": False,
    "not success()": False,
}
"""What ``if`` may say beside true and false, and whether the hook is called after success, or after failure."""
_RUN: Final = "id, event, branch, source_ref, commit_id, started_ns, ended_ns, passed"
_HOOK_RUN: Final = "id, action, hook, started_ns, ended_ns, passed, output"


class HooksRefused(PreconditionFailed):
    """A hook said no, or could not be asked."""


class Asked(NamedTuple):
    """What hooks are asked about, or told. What does not apply is empty.

    Attributes:
        event: What is to happen, or has.
        source_ref: Where the action files were read.
        branch: To which branch.
        tag: To which tag.
        words: Of the commit.
        commit_id: The commit, if it exists already: that of a merge does.
        merge_source: The ref that is merged, as it was given.
    """

    event: Event
    source_ref: str
    branch: str = ""
    tag: str = ""
    words: Words = NO_WORDS
    commit_id: str = ""
    merge_source: str = ""


class Run(NamedTuple):
    """The hooks of one event. Times are in nanoseconds since the epoch."""

    id: str
    event: str
    branch: str
    source_ref: str
    commit_id: str
    started_ns: int
    ended_ns: int
    passed: bool


class HookRun(NamedTuple):
    """One hook of a run: ``started_ns`` is 0 where it was skipped."""

    id: str
    action: str
    hook: str
    started_ns: int
    ended_ns: int
    passed: bool
    output: str


class _Told(NamedTuple):
    """What became of a hook, and what it means for those after it."""

    run: HookRun
    error: str


class Hooks:
    """The hooks of all repositories, and the runs of them.

    Attributes:
        threads: For calls that may wait for hooks: those read the lake in turn, so they must not take the threads that
            answer them.
    """

    def __init__(self, database: Database, store: Store, environment: Mapping[str, str] = os.environ) -> None:
        self._database = database
        self._store = store
        self._environment = environment
        self._calls = Calls()
        self.threads = ThreadPoolExecutor(THREADS, "devlake-asking")

    def ask(self, repository: str, asked: Asked, found: Sequence[File]) -> str | None:
        """Call the hooks that the action files have for the event, actions beside each other; keep what they say.

        Returns:
            The id of the run; ``None`` if nothing was to be called.

        Raises:
            HooksRefused: One of them refused.
            BadAction: A file cannot be followed.
        """
        run = _new_run_id()
        aborted = f"{asked.event} hook aborted, run id '{run}'"
        if asked.event in {Event.PRE_MERGE, Event.PRE_REVERT, Event.PRE_CHERRY_PICK}:
            aborted = f"update branch{f' {asked.branch}' if asked.event is Event.PRE_MERGE else ''}: {aborted}"
        try:
            actions = [parse(file[0], self._read(file)) for file in found]
            check_names(actions)
            called = [action for action in actions if action.hooks and action.matches(asked.event, asked.branch)]
        except BadAction as error:
            raise error.within(aborted) from None
        if not called:
            return None
        with ThreadPoolExecutor(len(called), "devlake-hooks") as threads:
            numbered = [threads.submit(self._follow, n, action, repository, asked) for n, action in enumerate(called)]
        told = [each.result() for each in numbered]
        self._keep(repository, run, asked, [each.run for action in told for each in action])
        errors = [next(filter(None, (each.error for each in action)), "") for action in told]
        if said := [error for error in errors if error]:
            count = f"{len(said)} error{'' if len(said) == 1 else 's'} occurred:"
            raise HooksRefused("\n\t* ".join([f"{aborted}: {count}", *said]) + "\n\n")
        return run

    def tell(self, repository: str, told: Asked, found: Sequence[File]) -> None:
        """Call the hooks that the action files have for what has happened, while nobody waits for them."""
        with suppress(RuntimeError):  # the server is stopping, and takes no more
            self.threads.submit(self._tell, repository, told, found).add_done_callback(_log_failure)

    def _tell(self, repository: str, told: Asked, found: Sequence[File]) -> None:
        try:
            self.ask(repository, told, found)
        except DevlakeError as error:
            _LOG.info("%s of %s: %s", told.event, repository, error)

    def landed(self, repository: str, run: str, commit_id: str) -> None:
        """Note the commit that came of what *run* was asked about."""
        sql = "UPDATE action_run SET commit_id = ? WHERE repository = ? AND id = ?"
        self._database.write(lambda transaction: transaction.run(sql, commit_id, repository, run))

    def end(self) -> None:
        """Wait for no answer any more: whatever is being asked is refused."""
        self._calls.end()
        self.threads.shutdown()

    def runs(
        self, repository: str, *, branch: str = "", commit_id: str = "", after: str = "", amount: int = 100
    ) -> Page[Run]:
        """Runs, latest first, those after *after*; only those of a branch, or of a commit.

        Raises:
            Invalid: Both are given.
        """
        if branch and commit_id:
            raise Invalid("can't use both branchID and MergedCommitID: parameters conflict")
        sql = (
            f"SELECT {_RUN} FROM action_run WHERE repository = ? AND id > ? AND ? IN ('', branch) "
            "AND ? IN ('', commit_id) ORDER BY id LIMIT ?"
        )
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            rows = transaction.each(sql, repository, after, branch, commit_id, amount + 1)
            return page(map(_run, rows), amount)

    def run(self, repository: str, identity: str) -> Run:
        """The run of this id.

        Raises:
            NotFound: There is none.
        """
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            sql = f"SELECT {_RUN} FROM action_run WHERE repository = ? AND id = ?"
            row = transaction.one(sql, repository, identity)
            if row is None:
                raise NotFound("not found: not found")
            return _run(row)

    def hook_runs(self, repository: str, run: str, *, after: str = "", amount: int = 100) -> Page[HookRun]:
        """What was called in a run, in order; empty if there is no such run."""
        sql = f"SELECT {_HOOK_RUN} FROM hook_run WHERE repository = ? AND run = ? AND id > ? ORDER BY id LIMIT ?"
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            return page(map(_hook_run, transaction.each(sql, repository, run, after, amount + 1)), amount)

    def hook_run(self, repository: str, run: str, identity: str) -> HookRun:
        """One hook of a run.

        Raises:
            NotFound: There is none.
        """
        sql = f"SELECT {_HOOK_RUN} FROM hook_run WHERE repository = ? AND run = ? AND id = ?"
        with self._database.read() as transaction:
            find_repository(transaction, repository)
            row = transaction.one(sql, repository, run, identity)
            if row is None:
                raise NotFound("not found")
            return _hook_run(row)

    def _read(self, file: File) -> bytes:
        if isinstance(file, CommonPrefix):
            raise BadAction(f"loading file {file.path}: it is a folder: not found")
        if file.size > LONGEST_FILE:
            raise BadAction(f"parsing file {file.key}: it is longer than {LONGEST_FILE} bytes: invalid action")
        return self._store.read(file.address)

    def _follow(self, number: int, action: Action, repository: str, asked: Asked) -> list[_Told]:
        """Call the hooks of an action, in order."""
        told: list[_Told] = []
        failed = False
        for position, hook in enumerate(action.hooks):
            identity = f"{number:04}_{position:04}"
            told.append(self._call(identity, action, hook, repository, asked, failed=failed))
            failed = failed or bool(told[-1].error)
        return told

    def _call(self, identity: str, action: Action, hook: Hook, repository: str, asked: Asked, *, failed: bool) -> _Told:
        output: list[str] = []
        error, began = "", time.time_ns()
        try:
            if not _is_wanted(hook, failed=failed):
                return _Told(HookRun(identity, action.name, hook.id, 0, 0, passed=False, output=""), "")
            called = webhook(hook, self._environment)
            self._calls.send(called, _body(action, hook, repository, asked), output.append)
        except (HookFailed, BadAction) as problem:
            output.append(f"Error: action failed: {problem}\n")
            error = (
                f"hook run id '{identity}' failed on action '{action.name}' hook '{hook.id}': action failed: {problem}"
            )
        run = HookRun(identity, action.name, hook.id, began, time.time_ns(), passed=not error, output="".join(output))
        return _Told(run, error)

    def _keep(self, repository: str, run: str, asked: Asked, hooks: Sequence[HookRun]) -> None:
        started = [hook for hook in hooks if hook.started_ns]
        # One that was skipped because of an error before it counts as failed, but then so does that one.
        passed = all(hook.passed for hook in started)
        begin, end = min((hook.started_ns for hook in started), default=0), max(hook.ended_ns for hook in hooks)
        found = Run(run, asked.event, asked.branch, asked.source_ref, asked.commit_id, begin, end, passed)

        def work(transaction: Transaction) -> None:
            values = ", ".join("?" * (len(found) + 1))
            transaction.run(f"INSERT INTO action_run (repository, {_RUN}) VALUES ({values})", repository, *found)
            sql = f"INSERT INTO hook_run (repository, run, {_HOOK_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            transaction.run_many(sql, [(repository, run, *hook) for hook in hooks])

        self._database.write(work)


def _log_failure(done: Future[None]) -> None:
    if error := done.exception():
        _LOG.error("hooks were not told", exc_info=error)


def files(transaction: Transaction, repository: str, commit: Commit, branch: str | None = None) -> list[File]:
    """The action files at *commit*; those of *branch* with what is staged on it."""
    found = {file[0]: file for file in _committed_files(transaction, commit.tree)}
    if branch is not None:
        for change in fold(partial(staging.scan, transaction, repository, branch), "", FOLDER, "/"):
            file = change.entry if isinstance(change, staging.Staged) else change
            if file is None:
                found.pop(change[0], None)
            else:
                found[file[0]] = file
    return [found[path] for path in sorted(found)]


def _committed_files(transaction: Transaction, root: str) -> Sequence[File]:
    """The action files in a tree. Mostly there are none, and the same trees are asked for again and again."""
    key = f"{FOLDER}{root}"
    found: tuple[File, ...] | None = transaction.cache.get(key)
    if found is None:
        found = tuple(fold(partial(tree.scan, RowNodes(transaction), root), "", FOLDER, "/"))
        transaction.cache[key] = found
    return found


def _is_wanted(hook: Hook, *, failed: bool) -> bool:
    """Whether the hook is called, now that one before it has failed, or none has."""
    if not hook.condition:
        return not failed
    if hook.condition.strip() in {"true", "false"}:
        return hook.condition.strip() == "true"
    wanted = _CONDITIONS.get(hook.condition.strip())
    if wanted is None:
        raise BadAction(f"'if: {hook.condition}' is not in this server: write one of {', '.join(_CONDITIONS)}")
    return wanted is not failed


def _body(action: Action, hook: Hook, repository: str, asked: Asked) -> bytes:
    """What lakeFS sends: fields that are empty are left out."""
    optional = {
        "branch_id": asked.branch,
        "source_ref": asked.source_ref,
        "tag_id": asked.tag,
        "commit_id": asked.commit_id,
        "commit_message": asked.words.message,
        "committer": asked.words.committer,
        "commit_metadata": dict(sorted(asked.words.metadata.items())),
        "merge_source": asked.merge_source,
    }
    fields = {
        "event_type": asked.event.value,
        "event_time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "action_name": action.name,
        "hook_id": hook.id,
        "repository_id": repository,
        **{name: value for name, value in optional.items() if value},
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _new_run_id() -> str:
    """An id that is smaller than those of earlier runs, as lakeFS's are: the latest run is listed first."""
    seconds, nanoseconds = divmod(_YEAR_3000 * SECOND - time.time_ns(), SECOND)
    parts = (seconds % (1 << 32)).to_bytes(4, "big"), nanoseconds.to_bytes(4, "big"), secrets.token_bytes(4)
    number = int.from_bytes(b"".join(parts), "big") << 4  # 100 bits: 20 digits
    return "".join(_DIGITS[number >> shift & 31] for shift in range(95, -1, -5))


def _run(row: Row) -> Run:
    return Run(*row)._replace(passed=bool(row[-1]))


def _hook_run(row: Row) -> HookRun:
    found = HookRun(*row)
    return found._replace(passed=bool(found.passed))
