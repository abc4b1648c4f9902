"""The lake does what a dict of dicts would do, in any order of calls.

``HYPOTHESIS_PROFILE=nightly`` plays ten thousand calls.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ml_assets.lib.devlake import gc, history
from ml_assets.lib.devlake.branches import Reset
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.errors import (
    AlreadyExists,
    BranchNotFound,
    Conflict,
    DevlakeError,
    DirtyBranch,
    Forbidden,
    Invalid,
    MergeConflict,
    NoChanges,
    ObjectNotFound,
    ParentOutOfRange,
    RefNotFound,
    TagNotFound,
)
from ml_assets.lib.devlake.history import Commit
from ml_assets.lib.devlake.page import Window
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.tree import Strategy, ends_range
from ml_assets_tests.devlake.local import REPO, USER, contents, kinds, put, start_upload
from ml_assets_tests.devlake.model import Contents, Model, ModelBranch, laid_over, merged, three_dot, two_dot

ENDS = [f"p/{number}" for number in range(2000) if ends_range(f"p/{number}")][:2]
BRANCHES = st.sampled_from(["main", "dev", "feat"])
PATHS = st.sampled_from(["a", "b", "p/a", "p/é", "z", *ENDS])
WORDS = st.sampled_from(["1", "2", "3"])
NUMBERS = st.integers(0, 30)
TAGS = st.sampled_from(["t1", "t2"])


class LakeAgainstDicts(RuleBasedStateMachine):
    """Plays the same calls on a lake and on dicts, and compares all branches after each."""

    @initialize()
    def open(self) -> None:
        """A new lake with three branches."""
        self.root = Path(tempfile.mkdtemp())
        clock = itertools.count(time.time_ns(), history.SECOND // 3)  # some commits fall into one second
        self.clock = patch.object(history, "time", SimpleNamespace(time_ns=clock.__next__))
        self.clock.start()
        self.lake = Lake(self.root)
        self.lake.repositories.create(REPO, f"local://{REPO}")
        self.model = Model(self.lake.commits.get(REPO, "main"))
        for name in ("dev", "feat"):
            self.make_branch(name, "main")

    def teardown(self) -> None:
        """Look at everything once more, and close."""
        if hasattr(self, "lake"):
            self.clock.stop()
            for commit, expected in self.model.contents.items():
                assert contents(self.lake, commit) == expected
            self.lake.close()
            assert check(self.root, pytest.fail).problems == 0
            shutil.rmtree(self.root)

    def attempt(self, call: Callable[[], Commit]) -> Commit | type[DevlakeError]:
        """A commit, or why there is none."""
        try:
            return call()
        except DevlakeError as error:
            return type(error)

    def exists(self, name: str) -> bool:
        """Whether there is such a branch."""
        return name in self.model.branches

    @rule(name=BRANCHES, source=BRANCHES)
    def make_branch(self, name: str, source: str) -> None:
        """Make a branch; what is staged on the source stays there."""
        if self.exists(name):
            with pytest.raises(AlreadyExists):
                self.lake.branches.create(REPO, name, "main")
        elif not self.exists(source):
            with pytest.raises(RefNotFound):
                self.lake.branches.create(REPO, name, source)
        else:
            self.lake.branches.create(REPO, name, source)
            self.model.branches[name] = ModelBranch(self.model.branches[source].head)

    @rule(name=BRANCHES)
    def delete_branch(self, name: str) -> None:
        """Delete a branch with what is staged on it."""
        if name == "main" or not self.exists(name):
            with pytest.raises(Forbidden if name == "main" else BranchNotFound):
                self.lake.branches.delete(REPO, name)
        else:
            self.lake.branches.delete(REPO, name)
            del self.model.branches[name]

    @rule(name=BRANCHES, tag=TAGS)
    def tag(self, name: str, tag: str) -> None:
        """Tag a branch; an existing tag does not move."""
        if not self.exists(name):
            return
        if tag in self.model.tags:
            with pytest.raises(AlreadyExists):
                self.lake.tags.create(REPO, tag, name)
        else:
            self.model.tags[tag] = self.lake.tags.create(REPO, tag, name).commit_id
            assert self.model.tags[tag] == self.model.branches[name].head

    @rule(tag=TAGS)
    def delete_tag(self, tag: str) -> None:
        """Delete a tag."""
        if tag in self.model.tags:
            self.lake.tags.delete(REPO, tag)
            del self.model.tags[tag]
        else:
            with pytest.raises(TagNotFound):
                self.lake.tags.delete(REPO, tag)

    @rule(name=BRANCHES, path=PATHS, word=WORDS)
    def put(self, name: str, path: str, word: str) -> None:
        """Stage an object."""
        if self.exists(name):
            put(self.lake, name, path, word)
            self.model.branches[name].staged[path] = word

    @rule(name=BRANCHES, path=PATHS, words=st.lists(WORDS, min_size=2, max_size=3))
    def upload(self, name: str, path: str, words: list[str]) -> None:
        """Stage an object that comes in parts."""
        if self.exists(name):
            parts = [f"part {word}" for word in words]
            self.lake.uploads.complete(REPO, start_upload(self.lake, name, path, *parts))
            self.model.branches[name].staged[path] = "".join(parts)

    @rule(name=BRANCHES, source=BRANCHES, path=PATHS, to=PATHS)
    def copy(self, name: str, source: str, path: str, to: str) -> None:
        """Stage a copy of what a reader of a branch sees."""
        if not self.exists(name) or not self.exists(source):
            return
        content = self.model.shown(source).get(path)
        if content is None:
            with pytest.raises(ObjectNotFound):
                self.lake.objects.copy(REPO, name, to, source_ref=source, source_path=path)
        else:
            self.lake.objects.copy(REPO, name, to, source_ref=source, source_path=path)
            self.model.branches[name].staged[to] = content

    @rule(name=BRANCHES, paths=st.lists(PATHS, min_size=1, max_size=3))
    def delete(self, name: str, paths: list[str]) -> None:
        """Delete objects."""
        if self.exists(name):
            self.lake.objects.delete_many(REPO, name, paths)
            known = self.model.head(name).keys() | self.model.branches[name].staged.keys()
            self.model.branches[name].staged |= dict.fromkeys(path for path in paths if path in known)

    @rule(name=BRANCHES, kind=st.sampled_from(Reset), path=st.one_of(PATHS, st.sampled_from(["p/", "p"])))
    def reset(self, name: str, kind: Reset, path: str) -> None:
        """Drop changes: all, those of an object, or those below a prefix."""
        if self.exists(name):
            self.lake.branches.reset(REPO, name, kind, path)
            staged = self.model.branches[name].staged
            for key in list(staged):
                if kind is Reset.ALL or key == path or (kind is Reset.PREFIX and key.startswith(path)):
                    del staged[key]

    def any_commit(self, number: int) -> Commit:
        """Some commit; which one does not depend on ids, which depend on the time."""
        commits = list(self.model.commits.values())
        return commits[number % len(commits)]

    @rule(name=BRANCHES, number=NUMBERS)
    def hard_reset(self, name: str, number: int) -> None:
        """Move a branch; what is staged stays."""
        if self.exists(name):
            commit = self.any_commit(number).id
            self.lake.branches.hard_reset(REPO, name, commit)
            self.model.branches[name].head = commit

    @rule(name=BRANCHES, message=WORDS, allow_empty=st.booleans())
    def commit(self, name: str, message: str, allow_empty: bool) -> None:
        """Commit what is staged."""
        if self.exists(name):
            made = self.attempt(
                lambda: self.lake.commits.create(REPO, name, message, committer=USER, allow_empty=allow_empty)
            )
            if self.model.is_dirty(name) or allow_empty:
                assert isinstance(made, Commit)
                assert made.parents == (self.model.branches[name].head,)
                self.model.land(name, made, self.model.shown(name))
            else:
                assert made is NoChanges

    @rule(
        source=BRANCHES,
        name=BRANCHES,
        strategy=st.sampled_from(Strategy),
        squash=st.booleans(),
        allow_empty=st.booleans(),
    )
    def merge(self, source: str, name: str, strategy: Strategy, squash: bool, allow_empty: bool) -> None:
        """Merge one branch into another."""
        if not self.exists(name) or not self.exists(source):
            return
        ours, theirs = self.model.branches[source].head, self.model.branches[name].head
        base = self.base(source, name)
        made = self.attempt(
            lambda: self.lake.merges.merge(
                REPO, source, name, committer=USER, strategy=strategy, squash=squash, allow_empty=allow_empty
            )
        )
        if self.model.is_dirty(name):
            assert made is DirtyBranch
        elif self.model.same_tree(ours, base) and not allow_empty:
            assert made is NoChanges
        else:
            known = self.model.contents
            expected = merged(known[base], known[ours], known[theirs], strategy)
            self.landed(name, made, expected, (theirs,) if squash else (theirs, ours))

    @rule(name=BRANCHES, number=NUMBERS, parent=st.integers(0, 2), allow_empty=st.booleans())
    def revert(self, name: str, number: int, parent: int, allow_empty: bool) -> None:
        """Undo some commit."""
        if not self.exists(name):
            return
        undone = self.any_commit(number)
        head = self.model.branches[name].head
        made = self.attempt(
            lambda: self.lake.merges.revert(
                REPO, name, undone.id, parent_number=parent, committer=USER, allow_empty=allow_empty
            )
        )
        if len(undone.parents) > 1 and parent == 0:
            assert made is Conflict
        elif parent > len(undone.parents):
            assert made is ParentOutOfRange
        elif self.model.is_dirty(name):
            assert made is DirtyBranch
        else:
            before = undone.parents[max(parent, 1) - 1] if undone.parents else None
            then = self.model.contents[before] if before is not None else {}
            expected = merged(self.model.contents[undone.id], then, self.model.contents[head], Strategy.REFUSE)
            if made is NoChanges:
                assert not allow_empty
                assert expected == self.model.contents[head]
            else:
                self.landed(name, made, expected, (head,))

    @rule(name=BRANCHES, number=NUMBERS, parent=st.sampled_from([None, 1, 2]))
    def cherry_pick(self, name: str, number: int, parent: int | None) -> None:
        """Repeat some commit."""
        if not self.exists(name):
            return
        picked = self.any_commit(number)
        head = self.model.branches[name].head
        made = self.attempt(
            lambda: self.lake.merges.cherry_pick(REPO, name, picked.id, parent_number=parent, committer=USER)
        )
        if len(picked.parents) > 1 and parent is None:
            assert made is Invalid
        elif (parent or 1) > len(picked.parents):
            assert made is ParentOutOfRange
        elif self.model.is_dirty(name):
            assert made is DirtyBranch
        elif self.model.same_tree(picked.id, picked.parents[(parent or 1) - 1]):
            assert made is NoChanges
        else:
            before = self.model.contents[picked.parents[(parent or 1) - 1]]
            expected = merged(before, self.model.contents[picked.id], self.model.contents[head], Strategy.REFUSE)
            self.landed(name, made, expected, (head,))

    def landed(
        self, name: str, made: Commit | type[DevlakeError], expected: Contents | None, parents: tuple[str, ...]
    ) -> None:
        """A merge of any kind has made the commit that it should, or was refused for a conflict."""
        if expected is None:
            assert made is MergeConflict
        else:
            assert isinstance(made, Commit)
            assert made.parents == parents
            self.model.land(name, made, expected)

    def base(self, source: str, name: str) -> str:
        """The merge base: a common ancestor, and none of them was made from it.

        Unless histories cross; or a commit has it as a parent beside one that leads to a better one: lakeFS takes what
        it comes upon first.
        """
        base = self.lake.merges.base(REPO, source, name).base
        ours, theirs = (self.model.ancestors(self.model.branches[branch].head) for branch in (source, name))
        assert base in ours & theirs
        best = {
            each
            for each in ours & theirs
            if not any(each in self.model.ancestors(other) - {other} for other in ours & theirs)
        }
        assert base in best or len(best) > 1 or self.model.is_beside(base, best, ours | theirs)
        return base

    @rule()
    def reopen(self) -> None:
        """Everything is on disk."""
        self.lake.close()
        self.lake = Lake(self.root)

    @rule()
    def collect(self) -> None:
        """Nothing that anybody could ask for is garbage."""
        gc.collect(self.root, grace=timedelta(0))

    @rule(left=BRANCHES, right=BRANCHES)
    def compare(self, left: str, right: str) -> None:
        """Differences of two branches: of all that they have, and of what a merge would bring."""
        if not self.exists(left) or not self.exists(right):
            return
        theirs, ours = self.model.head(left), self.model.head(right)
        assert kinds(self.lake.diffs.two_dot(REPO, left, right)) == two_dot(theirs, ours)
        assert kinds(self.lake.diffs.two_dot(REPO, left, f"{right}$")) == two_dot(theirs, self.model.shown(right))
        base = self.model.contents[self.base(right, left)]
        assert kinds(self.lake.diffs.three_dot(REPO, left, right)) == three_dot(base, ours, theirs)

    @rule(name=BRANCHES, path=PATHS)
    def log(self, name: str, path: str) -> None:
        """The log of a branch, whole and of an object, and refs that go back along it."""
        if not self.exists(name):
            return
        expected = self.model.log(self.model.branches[name].head)
        assert [commit.id for commit in self.lake.commits.log(REPO, name, amount=1000).items] == expected
        touching = [commit for commit in expected if self.model.touches(commit, path)]
        found = self.lake.commits.log(REPO, name, amount=1000, objects=[path]).items
        assert [commit.id for commit in found] == touching
        back = self.model.branches[name].head
        for steps in range(4):
            assert self.lake.commits.get(REPO, f"{name}~{steps}").id == back
            if not self.model.commits[back].parents:
                break
            back = self.model.commits[back].parents[0]

    @rule(name=BRANCHES, prefix=st.sampled_from(["", "p", "p/", "x"]), after=PATHS, amount=st.integers(1, 3))
    def page(self, name: str, prefix: str, after: str, amount: int) -> None:
        """A page of a listing."""
        if self.exists(name):
            paths = sorted(key for key in self.model.shown(name) if key > after and key.startswith(prefix))
            found = self.lake.objects.list(REPO, name, Window(prefix=prefix, after=after, amount=amount))
            assert [item[0] for item in found.items] == paths[:amount]
            assert found.more == (len(paths) > amount)

    @invariant()
    def same(self) -> None:
        """Branches and tags are the model's; each shows its objects, with and without what is staged."""
        branches = {branch.name: branch.commit_id for branch in self.lake.branches.list(REPO).items}
        assert branches == {name: branch.head for name, branch in self.model.branches.items()}
        assert {tag.name: tag.commit_id for tag in self.lake.tags.list(REPO).items} == self.model.tags
        for name, branch in self.model.branches.items():
            head = self.model.contents[branch.head]
            assert contents(self.lake, name) == laid_over(head, branch.staged)
            assert contents(self.lake, f"{name}@") == head
            assert kinds(self.lake.diffs.uncommitted(REPO, name)) == two_dot(head, self.model.shown(name))


NIGHTLY = settings.get_current_profile_name() == "nightly"

LakeAgainstDicts.TestCase.settings = settings(
    max_examples=200 if NIGHTLY else 20,
    stateful_step_count=50 if NIGHTLY else 25,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLakeAgainstDicts = pytest.mark.timeout(7200 if NIGHTLY else 300)(LakeAgainstDicts.TestCase)
