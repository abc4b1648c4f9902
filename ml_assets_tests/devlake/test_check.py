"""The check: silent about a whole lake, and it names whatever is broken."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.lib.core.errors import LakeError
from ml_assets.lib.devlake import gc, maintenance
from ml_assets.lib.devlake.check import check
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.retention import Rules
from ml_assets.lib.devlake.tree import ends_range
from ml_assets_tests.devlake.local import (
    REPO,
    USER,
    commit,
    opened,
    put,
    put_all,
    spoil,
    start_upload,
    stored,
)

ENDS = [str(number) for number in range(2000) if ends_range(str(number))][:2]
KEYS = [*ENDS, "77", *map(str, range(4))]
"""Keys of three ranges."""


def fill(lake: Lake) -> None:
    """A little of everything on main, dev and a hidden branch."""
    first = put_all(lake, "main", {key: f"content {key}" for key in KEYS})
    lake.branches.create(REPO, "dev", "main")
    lake.branches.create(REPO, "hidden", "main", hidden=True)
    lake.tags.create(REPO, "v1", "main")
    put_all(lake, "dev", {"0": None, "dev": "dev"})
    put_all(lake, "main", {"1": None, "main": "main"})
    lake.merges.merge(REPO, "dev", "main", committer=USER)
    put_all(lake, "dev", {"more": "more"})
    lake.merges.merge(REPO, "dev", "main", committer=USER, squash=True)
    lake.merges.cherry_pick(REPO, "hidden", "dev", committer=USER)
    lake.merges.revert(REPO, "main", "main~1", parent_number=1, committer=USER)
    put_all(lake, "hidden", dict.fromkeys([*KEYS, "more"]))
    lake.branches.create(REPO, "empty", "main~4")
    lake.branches.hard_reset(REPO, "empty", first)
    lake.uploads.complete(REPO, start_upload(lake, "dev", "big", "part 1", "part 2", "part 3", metadata={"k": "v"}))
    commit(lake, "dev")
    start_upload(lake, "dev", "open", "open part")
    put(lake, "dev", "staged", "staged", metadata={"ü": "ß"})
    lake.objects.delete(REPO, "dev", "1")
    lake.protection.put(REPO, ["x*"])
    lake.retention.put(REPO, Rules(30, {"main": 9}))


def problems(root: Path, *, hashes: bool = True) -> list[str]:
    """What the check says."""
    said: list[str] = []
    findings = check(root, said.append, hashes=hashes)
    assert findings.problems == len(said)
    return said


@pytest.fixture(scope="module")
def template(small: bool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that has something of everything, and is whole."""
    root = tmp_path_factory.mktemp("template")
    with opened(root) as lake:
        fill(lake)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(template, tmp_path / "lake")


@pytest.fixture
def lake(root: Path) -> Iterator[Lake]:
    """The copy, opened."""
    lake = Lake(root)
    yield lake
    lake.close()


def test_a_whole_lake(lake: Lake, root: Path) -> None:
    """Nothing is wrong, and everything was looked at; bytes that nothing names are counted, and are no problem."""
    lake.store.files.write(b"garbage")
    findings = check(root, pytest.fail)
    assert (findings.problems, findings.garbage, findings.garbage_bytes, findings.collected) == (0, 1, 7, 0)
    assert findings.commits == 11
    assert findings.entries > 2 * len(KEYS)
    assert findings.files == len(stored(root))
    assert problems(root, hashes=False) == []


def test_it_runs_beside_clients(lake: Lake, root: Path) -> None:
    """What is written meanwhile is no problem, and does not wait."""
    said: list[str] = []

    def write(problem: str) -> None:
        said.append(problem)
        put_all(lake, "main", {problem: problem})

    spoil(root, b"main", None)
    assert check(root, write).problems == len(said) > 0
    put_all(lake, "main", {"healed": "main"})
    assert problems(root) == []


def test_collected_bytes_are_no_problem_but_on_a_branch(lake: Lake, root: Path) -> None:
    """What garbage collection took from old commits is counted; a branch on such a commit is named."""
    for days in (30, 20):
        put(lake, "main", "old", f"at {days}")
        seconds = int(time.time()) - days * 24 * 3600
        lake.commits.create(REPO, "main", "m", committer=USER, seconds=seconds)
    lake.retention.put(REPO, Rules(0, {}))
    gc.collect(root, grace=timedelta(0))
    findings = check(root, pytest.fail)
    assert findings.collected > 0
    lake.branches.create(REPO, "onold", "main~1")
    assert "object old in branch repo/onold: garbage collection has removed its bytes" in problems(root)
    put(lake, "dev", "x", "at 30")
    assert problems(root) == []


Damage = Callable[[Path], None]


BYTES: list[tuple[str, Damage, str]] = [
    ("lost", lambda root: spoil(root, b"main", None), "object main in branch repo/main: file .* is missing"),
    ("cut", lambda root: spoil(root, b"main", b"mai"), "object main in .* has 3 bytes instead of 4"),
    ("lost part", lambda root: spoil(root, b"part 2", None), "object big in branch repo/dev: .* is missing"),
    ("cut part", lambda root: spoil(root, b"part 2", b""), "object big in .* has 0 bytes instead of 6"),
    (
        "lost list",
        lambda root: spoil(root, b'", 6], [', None),
        "object big in branch repo/dev: the bytes of .*",
    ),
    ("lost staged", lambda root: spoil(root, b"staged", None), "object staged staged on branch repo/dev: "),
    ("lost open part", lambda root: spoil(root, b"open part", None), "part 1 of upload .* is missing"),
]

ROT: list[tuple[str, Damage, str]] = [
    (
        "rotten",
        lambda root: spoil(root, b"main", b"nain"),
        "object main in branch repo/main: .* does not hold the bytes",
    ),
    ("rotten part", lambda root: spoil(root, b"part 2", b"part 3"), "object big in .* does not hold the bytes"),
]


SWAPPED = "json_array(json(json_extract(ranges, '$[1]')), json(json_extract(ranges, '$[0]')))"

ROWS: list[tuple[str, str, str]] = [
    ("branch", "UPDATE branch SET commit_id = 'x' WHERE name = 'dev'", "branch repo/dev names commit x, which"),
    ("tag", "UPDATE tag SET commit_id = 'x'", "tag repo/v1 names commit x, which"),
    ("default", "UPDATE repository SET default_branch = 'x'", "repository repo has no branch x"),
    ("lost commit", "DELETE FROM history WHERE generation = 2", "names parent .*, which does not exist"),
    ("commit", "UPDATE history SET message = 'x' WHERE generation = 2", "commit repo/.* is not what its id says"),
    ("tree of a commit", "UPDATE history SET tree = 'x' WHERE generation = 2", "names tree x, which does not exist"),
    ("generation", "UPDATE history SET generation = 1", "has generation 1, and a parent has 1"),
    ("no parent", "UPDATE history SET parents = '[]' WHERE generation = 2", "has no parent"),
    ("staged elsewhere", "UPDATE staging SET branch = 'x'", "object staged is staged on branch repo/x, which"),
    ("staged size", "UPDATE staging SET size = 7 WHERE key = 'staged'", "staged on .* is not what its identity"),
    ("part", "UPDATE part SET upload = 'x'", "part 1 belongs to upload x, which"),
    ("upload", "UPDATE upload SET repository = 'x'", "upload belongs to repository x, which"),
    ("retention", "UPDATE retention SET repository = 'x'", "retention belongs to repository x"),
    ("lost entry", "DELETE FROM entry WHERE key = '77'", "range .* is not what its id says"),
    ("added entry", "UPDATE entry SET key = '777' WHERE key = '77'", "range .* is not what its id says"),
    ("entry", "UPDATE entry SET etag = 'x' WHERE key = '77'", "object 77 in range .* is not what its identity says"),
    ("address", f"UPDATE entry SET address = '{64 * '0'}' WHERE key = '77'", "object 77 in .*: file 0+ is missing"),
    ("size", "UPDATE entry SET size = 1 WHERE key = '77'", "object 77 in .* bytes instead of 1"),
    ("lost range", "DELETE FROM entry WHERE range = (SELECT max(range) FROM entry)", "names range .*, which does not"),
    ("lost tree", "DELETE FROM tree", "names tree .*, which does not exist"),
    ("tree", "UPDATE tree SET ranges = json_remove(ranges, '$[0]')", "tree .* is not what its id says"),
    (
        "order",
        f"UPDATE tree SET ranges = {SWAPPED} WHERE json_array_length(ranges) > 1",
        "tree .* is not sorted at range 1",
    ),
    ("unreadable tree", "UPDATE tree SET ranges = '[1]'", "tree .* cannot be read"),
    ("unreadable commit", "UPDATE history SET metadata = '{' WHERE generation = 3", "commit repo/.* cannot be read"),
    ("last key", "UPDATE tree SET ranges = json_set(ranges, '$[0][0]', 'x')", "by another last key than it has"),
]


def named(wanted: str, said: list[str]) -> bool:
    """Whether a problem was said in these words."""
    return any(re.search(wanted, problem) for problem in said)


@pytest.mark.parametrize(("damage", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in [*BYTES, *ROT]])
def test_damaged_bytes_are_named(root: Path, damage: Damage, wanted: str) -> None:
    """Whatever is lost, cut or rotten: the check says which object it is."""
    damage(root)
    said = problems(root)
    assert named(wanted, said), said


@pytest.mark.parametrize(("damage", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_damaged_rows_are_named(root: Path, damage: str, wanted: str) -> None:
    """Whatever row is lost or wrong, the check says what and where."""
    with contextlib.closing(sqlite3.connect(root / "lake.db", isolation_level=None)) as connection:
        assert connection.execute(damage).rowcount > 0
    said = problems(root)
    assert named(wanted, said), said


@pytest.mark.parametrize("rotten", [None, b"nain"], ids=["lost", "rotten"])
def test_uploaded_again_it_is_whole(lake: Lake, root: Path, rotten: bytes | None) -> None:
    """The same bytes heal every object that has them, wherever they are put."""
    spoil(root, b"main", rotten)
    assert problems(root) != []
    put(lake, "dev", "again", "main")
    assert problems(root) == []


def test_sizes_alone_are_quick(root: Path) -> None:
    """Without hashes, what is lost or cut is found, and what is rotten is not."""
    spoil(root, b"main", b"nain")
    assert problems(root, hashes=False) == []
    spoil(root, b"dev", b"de")
    assert len(problems(root, hashes=False)) > 0


def test_a_broken_database_is_a_problem(lake: Lake, root: Path) -> None:
    """It is named, however broken it is."""
    lake.close()
    path = root / "lake.db"
    content = bytearray(path.read_bytes())
    for start in range(8192, len(content), 4096):
        content[start + 100 : start + 3000] = b"\xff" * 2900
    path.write_bytes(content)
    assert any("database" in problem for problem in problems(root))
    path.write_bytes(b"no database at all, but as long as the header of one, which has a hundred bytes" * 9)
    assert any("not a database" in problem for problem in problems(root))


def test_a_folder_without_a_lake(root: Path) -> None:
    """It is an error, and so is a lake that somebody else looks after."""
    with pytest.raises(LakeError, match="there is no lake"):
        check(root / "objects", pytest.fail)
    with maintenance.exclusive(root), pytest.raises(LakeError, match="another process"):
        check(root, pytest.fail)


def test_a_deleted_repository_is_half_collected(lake: Lake, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If garbage collection dies between files and rows, what is left is garbage and no problem."""
    lake.repositories.create("other", "local://other")
    lake.objects.stage("other", "main", "x", lake.store.files.write(b"of other"), content_type="", metadata={})
    lake.commits.create("other", "main", "m", committer=USER)
    lake.repositories.delete("other")

    def killed(*_arguments: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(gc, "_drop_range", killed)
    with pytest.raises(KeyboardInterrupt):
        gc.collect(root, grace=timedelta(0))
    assert problems(root) == []
