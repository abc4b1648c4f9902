"""What a lake is, in dicts: commits are dicts of objects, branches and tags point to them, changes lie on top."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ml_assets.lib.devlake.diffs import Kind
from ml_assets.lib.devlake.history import Commit
from ml_assets.lib.devlake.tree import ROOT, Strategy

Contents = dict[str, str]
Changes = dict[str, str | None]


@dataclass
class ModelBranch:
    """A branch: its head, and what is staged on it (``None`` deletes)."""

    head: str
    staged: Changes = field(default_factory=dict)


class Model:
    """One repository."""

    def __init__(self, first: Commit) -> None:
        self.commits: dict[str, Commit] = {first.id: first}
        self.contents: dict[str, Contents] = {first.id: {}}
        self.branches = {"main": ModelBranch(first.id)}
        self.tags: dict[str, str] = {}

    def head(self, branch: str) -> Contents:
        """What a branch has committed."""
        return self.contents[self.branches[branch].head]

    def shown(self, branch: str) -> Contents:
        """What a reader of a branch sees."""
        return laid_over(self.head(branch), self.branches[branch].staged)

    def is_dirty(self, branch: str) -> bool:
        """Whether a commit would change anything."""
        return self.shown(branch) != self.head(branch)

    def land(self, branch: str, commit: Commit, contents: Contents) -> None:
        """A new commit on a branch, or one that was made in the same second before."""
        assert self.contents.setdefault(commit.id, contents) == contents
        self.commits[commit.id] = commit
        self.branches[branch] = ModelBranch(commit.id)

    def ancestors(self, commit: str) -> set[str]:
        """A commit and all that it was made from."""
        found: set[str] = set()
        waiting = [commit]
        while waiting:
            identity = waiting.pop()
            if identity not in found:
                found.add(identity)
                waiting += self.commits[identity].parents
        return found

    def log(self, commit: str) -> list[str]:
        """The ancestors of a commit, latest first."""
        found = [self.commits[identity] for identity in self.ancestors(commit)]
        return [each.id for each in sorted(found, key=lambda each: (each.created_ns, each.id), reverse=True)]

    def touches(self, commit: str, path: str) -> bool:
        """Whether a commit that is no merge changes an object."""
        parents = self.commits[commit].parents
        return len(parents) == 1 and self.contents[commit].get(path) != self.contents[parents[0]].get(path)

    def same_tree(self, one: str, other: str) -> bool:
        """Whether two commits have the same tree. An emptied one is not that of a first commit."""
        equal = self.contents[one] == self.contents[other]
        return equal and (self.commits[one].tree == ROOT) == (self.commits[other].tree == ROOT)

    def is_beside(self, base: str, best: set[str], commits: set[str]) -> bool:
        """Whether one of *commits* has *base* as a parent, and another one that leads to one of *best*."""
        parents = (self.commits[commit].parents for commit in commits)
        return any(base in found and any(best & self.ancestors(other) for other in found) for found in parents)


def laid_over(base: Contents, changes: Changes) -> Contents:
    """*base* with *changes*."""
    merged = {**base, **changes}
    return {path: content for path, content in merged.items() if content is not None}


def proposed(base: Contents, source: Contents, destination: Contents) -> Iterable[str]:
    """The paths that a merge of *source* into *destination* would change."""
    for path in base.keys() | source.keys() | destination.keys():
        if source.get(path) not in (base.get(path), destination.get(path)):
            yield path


def merged(base: Contents, source: Contents, destination: Contents, strategy: Strategy) -> Contents | None:
    """What a three-way merge gives; ``None`` for a conflict."""
    changes: Changes = {}
    for path in proposed(base, source, destination):
        conflict = destination.get(path) != base.get(path)
        if conflict and strategy is Strategy.REFUSE:
            return None
        if not conflict or strategy is Strategy.SOURCE_WINS:
            changes[path] = source.get(path)
    return laid_over(destination, changes)


def two_dot(left: Contents, right: Contents) -> dict[str, Kind]:
    """How *right* differs from *left*."""
    differing = (path for path in left.keys() | right.keys() if left.get(path) != right.get(path))
    return {path: _kind(left.get(path), right.get(path)) for path in differing}


def three_dot(base: Contents, source: Contents, destination: Contents) -> dict[str, Kind]:
    """What a merge of *source* into *destination* would change, and where it would be refused."""
    return {
        path: Kind.CONFLICT
        if destination.get(path) != base.get(path)
        else _kind(destination.get(path), source.get(path))
        for path in proposed(base, source, destination)
    }


def _kind(left: str | None, right: str | None) -> Kind:
    if left is None:
        return Kind.ADDED
    return Kind.REMOVED if right is None else Kind.CHANGED
