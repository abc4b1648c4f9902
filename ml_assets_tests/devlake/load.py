"""Clients that write everything there is to write, and know afterwards what must be there.

Each has branches of its own, so that nobody else changes them, and keeps a model of them. One request is under way at a
time; if its answer is lost, it has landed or it has not: what is found must be one of the two, as a whole.
"""

from __future__ import annotations

import hashlib
import http.client
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.devlake.wire import Answer, Wire

PATHS: Final = [*(f"p/{number}" for number in range(24)), "ü", "a b", "z/z/z"]
SIZES: Final = (0, 1, 300, 3000, 100_000, 300_000)
SEEN: Final = 1000
"""Objects in one page of a listing; there are fewer."""

EXPECTED: Final = {
    400: "refused: no changes",
    404: "refused: aborted uploads",
    503: "refused: collected before they were staged",
}
"""Answers that are no success, and no violation either."""

Contents = dict[str, str]
"""What each path has: a token that says which bytes."""


@lru_cache(maxsize=4096)
def parts_of(token: str) -> tuple[bytes, ...]:
    """The bytes that a token stands for; several parts if they are uploaded in parts."""
    source = random.Random(token)
    count = source.randint(2, 3) if token.startswith("multipart") else 1
    return tuple(source.randbytes(source.choice(SIZES)) for _ in range(count))


def checksum_of(token: str) -> str:
    """The entity tag of these bytes."""
    digests = [hashlib.md5(part) for part in parts_of(token)]
    if not token.startswith("multipart"):
        return digests[0].hexdigest()
    return hashlib.md5(b"".join(digest.digest() for digest in digests)).hexdigest()


@dataclass
class Side:
    """A branch: its last commit, what that has, and what is staged on top (``None`` deletes)."""

    head: str
    committed: Contents = field(default_factory=dict)
    staged: dict[str, str | None] = field(default_factory=dict)

    @property
    def shown(self) -> Contents:
        """What a reader of the branch sees."""
        merged = {**self.committed, **self.staged}
        return {path: token for path, token in merged.items() if token is not None}

    def land(self) -> None:
        """Commit; which id it got is not known yet."""
        self.head, self.committed, self.staged = "", self.shown, {}


@dataclass
class State:
    """Everything that belongs to a client: branches, and tags with their commits."""

    branches: dict[str, Side]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A request that changes something, and what it changes."""

    kind: str
    send: Callable[[], Answer]
    change: Callable[[State], None]


class Violation(AssertionError):
    """Something that was acknowledged is not there, or something is there by halves."""


class Client:
    """A client with a branch to work on, and one to merge into."""

    def __init__(self, name: str, repository: str, seed: int, *, keeps_history: bool = True) -> None:
        self.name, self.repository, self.keeps_history = name, repository, keeps_history
        self.random = random.Random(f"{seed} {name}")
        self.target, self.spare = f"{name}-target", f"{name}-spare"
        self.state = State({})
        self.commits: dict[str, Contents] = {}
        self.unseen: set[str] = set()
        self.pending: State | None = None
        self.steps: Counter[str] = Counter()
        self._number = 0

    def begin(self, wire: Wire) -> None:
        """Make the branches."""
        for name in (self.name, self.target):
            answer = self.rest(wire, "POST", "/branches", {"name": name, "source": "main"})
            if answer.status != 201:
                raise Violation(f"cannot make branch {name}: {answer}")
            self.state.branches[name] = Side(answer.body.decode())
        self.commits[self.state.branches[name].head] = {}

    def run(self, endpoint: Endpoint) -> None:
        """Write until the server does not answer any more."""
        with closing(Wire(endpoint)) as wire:
            while True:
                step = self.random.choice(STEPS)(self, wire)
                if step is None:
                    continue
                after = deepcopy(self.state)
                step.change(after)
                self.pending = after
                try:
                    answer = step.send()
                except (OSError, http.client.HTTPException):
                    self.steps["lost answers"] += 1
                    return
                self.pending = None
                self.steps[step.kind] += 1
                if answer.status < 300:
                    self.accept(after, answer)
                elif answer.status in EXPECTED:
                    self.steps[EXPECTED[answer.status]] += 1
                else:
                    raise Violation(f"{step.kind}: {answer}")

    def accept(self, after: State, answer: Answer) -> None:
        """Something was acknowledged."""
        for side in after.branches.values():
            if not side.head:
                self.name_commit(side, answer.json().get("id") or answer.json()["reference"])
        self.state = after

    def name_commit(self, side: Side, commit: str) -> None:
        """A new commit got its id."""
        side.head = commit
        self.commits[commit] = dict(side.committed)
        self.unseen.add(commit)

    def recover(self, wire: Wire) -> None:
        """Find out whether the request without an answer has landed: it has, or it has not.

        Raises:
            Violation: What is there is neither the one nor the other.
        """
        problem = self.difference(wire, self.state)
        if problem is not None and self.pending is not None:
            other = self.difference(wire, self.pending)
            if other is not None:
                raise Violation(f"{self.name}: neither before ({problem}) nor after ({other})")
            self.state, problem = self.pending, None
            self.steps["landed without an answer"] += 1
        if problem is not None:
            raise Violation(f"{self.name}: {problem}")
        self.pending = None

    def difference(self, wire: Wire, expected: State) -> str | None:
        """What is not as in *expected*. Commits that it does not know are named in it, if they fit."""
        branches = self.found(wire, "/branches")
        if branches.keys() != expected.branches.keys():
            return f"branches {sorted(branches)} instead of {sorted(expected.branches)}"
        tags = self.found(wire, "/tags")
        if tags != expected.tags:
            return f"tags {tags} instead of {expected.tags}"
        for name, side in expected.branches.items():
            if side.head not in ("", branches[name]):
                return f"branch {name} is at {branches[name]} instead of {side.head}"
            for ref, contents in ((f"{name}@", side.committed), (name, side.shown)):
                problem = self.compare(wire, ref, contents)
                if problem is not None:
                    return problem
        for name, side in expected.branches.items():
            if not side.head:
                parent = self.rest(wire, "GET", f"/commits/{branches[name]}").json()["parents"][0]
                if parent != self.state.branches[name].head:
                    return f"branch {name} is at a commit whose parent is {parent}"
                self.name_commit(side, branches[name])
        return None

    def found(self, wire: Wire, kind: str) -> dict[str, str]:
        """The branches or tags of this client, and their commits."""
        answer = self.rest(wire, "GET", kind, query={"prefix": self.name, "amount": str(SEEN)})
        return {row["id"]: row["commit_id"] for row in answer.json()["results"]}

    def compare(self, wire: Wire, ref: str, contents: Contents) -> str | None:
        """Whether *ref* has these objects and no others, by checksum and by the address of the content."""
        query = {"amount": str(SEEN)}
        answer = self.rest(wire, "GET", f"/refs/{quote(ref)}/objects/ls", query=query)
        if answer.status != 200:
            return f"listing {ref}: {answer}"
        rows = {row["path"]: row for row in answer.json()["results"]}
        if rows.keys() != contents.keys():
            return f"{ref} has {sorted(rows)} instead of {sorted(contents)}"
        for path, token in contents.items():
            if rows[path]["checksum"] != checksum_of(token):
                return f"{ref}: {path} is not {token}"
            digest = hashlib.sha256(parts_of(token)[0]).hexdigest()
            if not token.startswith("multipart") and not rows[path]["physical_address"].endswith(f"/{digest}"):
                return f"{ref}: {path} has other bytes than {token}"
        return None

    def verify(self, wire: Wire, *, everything: bool) -> None:
        """New commits and a few others, or all of them, have what they had, and bytes read as they were written.

        Raises:
            Violation: They do not.
        """
        known = sorted(self.commits)
        some = known if everything else {*self.unseen, *self.random.sample(known, min(3, len(known)))}
        for commit in some:
            problem = self.compare(wire, commit, self.commits[commit])
            if problem is not None:
                raise Violation(f"{self.name}: {problem}")
        self.unseen.clear()
        readable = [(side.head, side.committed) for side in self.state.branches.values()]
        if self.keeps_history:
            readable += [(commit, self.commits[commit]) for commit in self.random.sample(known, 1)]
        for ref, contents in readable:
            for path in self.random.sample(sorted(contents), min(3, len(contents))):
                read = self.rest(wire, "GET", f"/refs/{ref}/objects", query={"path": path})
                if read.status != 200 or read.body != b"".join(parts_of(contents[path])):
                    raise Violation(f"{self.name}: {ref}/{path} does not read as {contents[path]}: {read.status}")

    def rest(
        self, wire: Wire, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Answer:
        """A call about the client's repository."""
        return wire.rest(method, f"/repositories/{self.repository}{path}", json_body=body, query=query or {})

    def token(self, kind: str) -> str:
        """Bytes that nobody has written yet, or that somebody has."""
        number = self.number() if self.random.random() < 0.8 else 7
        return f"{kind} {number} {self.name if self.random.random() < 0.8 else ''}"

    def number(self) -> int:
        """One that this client has not used."""
        self._number += 1
        return self._number

    def path(self) -> str:
        """Any path."""
        return self.random.choice(PATHS)


def _put(client: Client, wire: Wire) -> Step:
    path, token = client.path(), client.token("object")
    content = parts_of(token)[0]
    objects = f"/repositories/{client.repository}/branches/{client.name}/objects"

    def send() -> Answer:
        if client.random.random() < 0.5:
            return wire.s3("PUT", f"/{client.repository}/{client.name}/{path}", body=content, mode="unsigned")
        return wire.rest("POST", objects, query={"path": path}, body=content)

    return Step("uploads", send, lambda state: stage(client, state, path, token))


def _multipart(client: Client, wire: Wire) -> Step:
    path, token = client.path(), client.token("multipart")
    target = f"/{client.repository}/{client.name}/{path}"

    def send() -> Answer:
        begun = wire.s3("POST", target, query={"uploads": ""})
        if begun.status != 200:
            return begun
        upload = ET.fromstring(begun.body).findtext("{*}UploadId") or ""
        tags = ""
        for number, part in enumerate(parts_of(token), 1):
            query = {"partNumber": str(number), "uploadId": upload}
            answer = wire.s3("PUT", target, query=query, body=part)
            if answer.status != 200:
                return answer
            tags += f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['etag']}</ETag></Part>"
        if client.random.random() < 0.2:
            wire.s3("DELETE", target, query={"uploadId": upload})
        body = f"<CompleteMultipartUpload>{tags}</CompleteMultipartUpload>".encode()
        return wire.s3("POST", target, query={"uploadId": upload}, body=body)

    return Step("multipart uploads", send, lambda state: stage(client, state, path, token))


def _delete(client: Client, wire: Wire) -> Step:
    paths = client.random.sample(PATHS, client.random.choice([1, 5]))
    objects = f"/branches/{client.name}/objects"

    def send() -> Answer:
        if len(paths) > 1:
            return client.rest(wire, "POST", f"{objects}/delete", {"paths": paths})
        return client.rest(wire, "DELETE", objects, query={"path": paths[0]})

    def change(state: State) -> None:
        for path in paths:
            state.branches[client.name].staged[path] = None

    return Step("deletions", send, change)


def _copy(client: Client, wire: Wire) -> Step | None:
    path, source = client.path(), client.path()
    token = client.state.branches[client.name].shown.get(source)
    if token is None:
        return None
    objects = f"/branches/{client.name}/objects/copy"
    return Step(
        "copies",
        lambda: client.rest(wire, "POST", objects, {"src_path": source}, query={"dest_path": path}),
        lambda state: stage(client, state, path, token),
    )


def _commit(client: Client, wire: Wire) -> Step:
    body = {"message": "m", "metadata": {"client": client.name}}
    return Step(
        "commits",
        lambda: client.rest(wire, "POST", f"/branches/{client.name}/commits", body),
        lambda state: state.branches[client.name].land(),
    )


def _merge(client: Client, wire: Wire) -> Step:
    def change(state: State) -> None:
        side = state.branches[client.target]
        side.staged = dict(state.branches[client.name].committed)  # nobody else writes to the target: no conflicts
        side.staged |= dict.fromkeys(side.committed.keys() - side.staged.keys())
        side.land()

    merge = f"/refs/{client.name}/merge/{client.target}"
    return Step("merges", lambda: client.rest(wire, "POST", merge, {}), change)


def _reset(client: Client, wire: Wire) -> Step:
    return Step(
        "resets",
        lambda: client.rest(wire, "PUT", f"/branches/{client.name}", {"type": "reset"}),
        lambda state: state.branches[client.name].staged.clear(),
    )


def _branch(client: Client, wire: Wire) -> Step:
    side = client.state.branches[client.name]
    if client.spare in client.state.branches:
        return Step(
            "branches deleted",
            lambda: client.rest(wire, "DELETE", f"/branches/{client.spare}"),
            lambda state: state.branches.__delitem__(client.spare),
        )
    return Step(
        "branches made",
        lambda: client.rest(wire, "POST", "/branches", {"name": client.spare, "source": client.name, "hidden": False}),
        lambda state: state.branches.__setitem__(client.spare, Side(side.head, dict(side.committed))),
    )


def _tag(client: Client, wire: Wire) -> Step:
    name, head = f"{client.name}-{client.number()}", client.state.branches[client.name].head
    return Step(
        "tags",
        lambda: client.rest(wire, "POST", "/tags", {"id": name, "ref": client.name}),
        lambda state: state.tags.__setitem__(name, head),
    )


def stage(client: Client, state: State, path: str, token: str) -> None:
    """An object is on the client's branch, uncommitted."""
    state.branches[client.name].staged[path] = token


STEPS: Final[list[Callable[[Client, Wire], Any]]] = [
    *(10 * [_put]),
    *(3 * [_multipart]),
    *(3 * [_delete]),
    *(5 * [_commit]),
    *(3 * [_merge]),
    *(2 * [_copy]),
    *(2 * [_branch]),
    _reset,
    _tag,
]
