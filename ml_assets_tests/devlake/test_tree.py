"""The tree does what a dict does, and its id says what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake import tree
from ml_assets.lib.devlake.errors import MergeConflict
from ml_assets.lib.devlake.tree import ROOT, Change, Edit, Entry, Range, Strategy

Contents = dict[str, str]

KEYS = st.text(st.sampled_from("ab/\0é\U0001f600"), min_size=1, max_size=4)
CONTENTS = st.dictionaries(KEYS, st.sampled_from("123"), max_size=40)


class MemoryNodes:
    """Trees and ranges in dicts."""

    def __init__(self) -> None:
        self.trees: dict[str, tuple[Range, ...]] = {ROOT: ()}
        self.kept: dict[bytes, tuple[Entry, ...]] = {}
        self.reads = 0

    def ranges(self, tree: str) -> Sequence[Range]:
        """As the protocol says."""
        return self.trees[tree]

    def entries(self, range_id: bytes, start: str) -> Iterator[Entry]:
        """As the protocol says; counted."""
        self.reads += 1
        return (entry for entry in self.kept[range_id] if entry.key >= start)

    def entry(self, range_id: bytes, key: str) -> Entry | None:
        """As the protocol says."""
        return next((entry for entry in self.kept[range_id] if entry.key == key), None)

    def save_range(self, range_id: bytes, entries: Sequence[Entry | Edit]) -> None:
        """As the protocol says; an edit would mean something staged, and here is nothing staged."""
        kept = tuple(each for each in entries if isinstance(each, Entry))
        assert len(kept) == len(entries)
        self.kept[range_id] = kept

    def save_tree(self, tree: str, ranges: Sequence[Range]) -> None:
        """As the protocol says."""
        self.trees[tree] = tuple(ranges)


@pytest.fixture(autouse=True, scope="module")
def _small_ranges() -> Iterator[None]:
    """Ranges of three entries or so, so that small trees have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "MEAN_RANGE", 3)
        yield


def entry(key: str, content: str) -> Entry:
    """An entry whose identity is its content's."""
    return tree.entry(key, size=1, etag=content, address=content, mtime=0, content_type="", metadata={})


def planted(nodes: MemoryNodes, contents: Contents, start: str = ROOT) -> str:
    """*start* with *contents* put on it."""
    return tree.apply(nodes, start, [entry(key, contents[key]) for key in sorted(contents)])


def changed(nodes: MemoryNodes, root: str, old: Contents, new: Contents) -> str:
    """The tree of *new*, made from that of *old* by its changes."""
    gone = [Edit(key, None) for key in old.keys() - new.keys()]
    edits = [entry(key, content) for key, content in new.items() if old.get(key) != content]
    return tree.apply(nodes, root, sorted([*gone, *edits], key=lambda edit: edit.key))


def harvested(nodes: MemoryNodes, root: str, start: str = "") -> list[tuple[str, str]]:
    """Keys and contents, in the tree's order."""
    return [(found.key, found.etag) for found in tree.scan(nodes, root, start)]


@given(states=st.lists(CONTENTS, min_size=1, max_size=4), probe=KEYS)
def test_edits_do_what_a_dict_does(states: list[Contents], probe: str) -> None:
    """After any edits the tree has the same keys and values as a dict, sorted, from any key on."""
    nodes, root, model = MemoryNodes(), ROOT, dict[str, str]()
    for state in states:
        root, model = changed(nodes, root, model, state), state
        found = tree.get(nodes, root, probe)
        assert (None if found is None else found.etag) == model.get(probe)
        assert harvested(nodes, root, probe) == sorted(item for item in model.items() if item[0] >= probe)
    assert harvested(nodes, root) == sorted(model.items())


@given(path=st.lists(CONTENTS, max_size=3), end=CONTENTS)
def test_equal_content_is_an_equal_id(path: list[Contents], end: Contents) -> None:
    """However it came about, a tree with the same entries has the same id; any other has another."""
    nodes, root, model = MemoryNodes(), ROOT, dict[str, str]()
    for state in [*path, end]:
        root, model = changed(nodes, root, model, state), state
    assert planted(nodes, end) == root
    assert planted(nodes, {**end, "one more": "1"}) != root


def test_an_emptied_tree_is_not_the_root() -> None:
    """The tree of a first commit is told from one that was emptied, as in lakeFS; clients see it."""
    nodes = MemoryNodes()
    assert tree.apply(nodes, ROOT, []) != ROOT
    assert changed(nodes, planted(nodes, {"a": "1"}), {"a": "1"}, {}) == tree.apply(nodes, ROOT, [])


@given(left=CONTENTS, right=CONTENTS, start=st.one_of(st.just(""), KEYS))
def test_diff_is_what_differs(left: Contents, right: Contents, start: str) -> None:
    """A diff has each key that differs, with both entries, by key, from any key on."""
    nodes = MemoryNodes()
    trees = planted(nodes, left), planted(nodes, right)
    expected = [
        Change(key, entry(key, left[key]) if key in left else None, entry(key, right[key]) if key in right else None)
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key) and key >= start
    ]
    assert list(tree.diff(nodes, *trees, start)) == expected


@given(base=CONTENTS, source=CONTENTS, destination=CONTENTS, strategy=st.sampled_from(Strategy))
def test_merge_is_decided_per_key(base: Contents, source: Contents, destination: Contents, strategy: Strategy) -> None:
    """Each key is taken from the side that changed it; where both did, differently, the strategy decides."""
    nodes = MemoryNodes()
    expected, conflicts = dict(destination), set()
    for key in base.keys() | source.keys() | destination.keys():
        was, ours, theirs = base.get(key), source.get(key), destination.get(key)
        if ours in (was, theirs):
            continue
        if theirs != was:
            conflicts.add(key)
            if strategy is not Strategy.SOURCE_WINS:
                continue
        if ours is None:
            expected.pop(key, None)
        else:
            expected[key] = ours
    trees = {"base": planted(nodes, base), "source": planted(nodes, source), "destination": planted(nodes, destination)}
    assert {proposal.key for proposal in tree.propose(nodes, **trees) if proposal.conflict} == conflicts
    if conflicts and strategy is Strategy.REFUSE:
        with pytest.raises(MergeConflict):
            tree.merge(nodes, **trees, strategy=strategy)
    else:
        merged = tree.merge(nodes, **trees, strategy=strategy)
        assert merged == planted(nodes, expected)


def test_a_conflict_is_not_hidden_by_the_next_key() -> None:
    """The original compares with the next key of the base here and silently keeps one side; this one refuses."""
    nodes = MemoryNodes()
    base = planted(nodes, {"z": "same"})
    source, destination = planted(nodes, {"a": "same"}, base), planted(nodes, {"a": "other"}, base)
    with pytest.raises(MergeConflict):
        tree.merge(nodes, base=base, source=source, destination=destination, strategy=Strategy.REFUSE)


def test_a_change_touches_its_range_only() -> None:
    """One changed key writes one range, and comparing the two trees reads that range on either side."""
    nodes = MemoryNodes()
    before = planted(nodes, {f"key-{number:04}": "1" for number in range(1000)})
    kept = set(nodes.kept)
    after = tree.apply(nodes, before, [entry("key-0500", "2")])
    assert len(nodes.kept.keys() - kept) == 1
    nodes.reads = 0
    assert [change.key for change in tree.diff(nodes, before, after)] == ["key-0500"]
    assert nodes.reads == 2


def test_an_equal_entry_stays_as_it_is() -> None:
    """Writing what is there already changes neither time nor address of what is there."""
    nodes = MemoryNodes()
    before = planted(nodes, {"a": "1", "b": "1"})
    again = entry("a", "1")._replace(mtime=99, address="elsewhere")
    after = tree.apply(nodes, before, [again, entry("c", "1")])
    assert tree.get(nodes, after, "a") == entry("a", "1")


@given(
    prefix=st.text(st.sampled_from("a\ud7ff\ue000\U0010ffff"), max_size=3), rest=st.text(max_size=3), other=st.text()
)
def test_the_end_of_a_prefix(prefix: str, rest: str, other: str) -> None:
    """All keys with the prefix are before its end, and no other key is between them."""
    end = tree.prefix_end(prefix)
    if end is None:
        assert set(prefix) <= {"\U0010ffff"}
    else:
        assert prefix <= prefix + rest < end
        assert other.startswith(prefix) or not prefix <= other < end
