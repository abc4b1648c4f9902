"""``versions.lock``: a version never comes to mean something else."""

from __future__ import annotations

import json
import re

import pytest

from ml_assets.lib.core.errors import DeclarationError, VersionNotBumped
from ml_assets.lib.declare import lock
from ml_assets_tests.declare.packages import Package

VIEW = "features/speed.py"
CONTRACTS = "contracts/__init__.py"

SECOND = """
    @feature_view(name="speed", version=2, keys=CAR, ttl=None, contract=contracts.Speed)
    def speed_2(trips):
        \"""Of all trips.\"""
        known = trips.filter(trips.ended.notnull())
        return known.group_by("car", event_timestamp=known.ended).agg(longest=known.minutes.min())
"""


def test_what_is_written(package: Package) -> None:
    """The lock lies beside the declarations and holds what each view is."""
    loaded = package.load()
    assert lock.unlocked(loaded) == ("speed@1",)
    assert lock.write(loaded) == ("speed@1",)
    assert lock.path_of(loaded) == package.folder / "versions.lock"
    (entry,) = json.loads(lock.path_of(loaded).read_text())["views"].values()
    assert entry["expr1"] == loaded.definition(loaded.views["speed", 1]).identity
    assert entry["keys"] == ["car"]
    assert entry["ttl_us"] == 7 * 24 * 3600 * 10**6
    assert entry["columns"] == {"car": "string", "event_timestamp": "timestamp('UTC', 6)", "longest": "int32"}
    assert entry["made_with"].startswith("ibis ")


def test_locking_twice_changes_nothing(package: Package) -> None:
    """The same declarations give the same file."""
    lock.write(package.load())
    before = (package.folder / "versions.lock").read_bytes()
    assert lock.write(package.load()) == ()
    assert (package.folder / "versions.lock").read_bytes() == before
    assert lock.unlocked(package.load()) == ()


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (VIEW, "minutes.max()", "minutes.min()", "expression"),
        (VIEW, "days=7", "days=8", "ttl"),
        (CONTRACTS, "minutes: Int32", "minutes: int", "expression, names or types"),
    ],
)
def test_changed_under_its_version(file: str, old: str, new: str, says: str, package: Package) -> None:
    """A changed view is told with its place, what changed, and what to do; nothing is locked over it."""
    lock.write(package.load())
    before = (package.folder / "versions.lock").read_bytes()
    package.edit(file, old, new)
    if file == CONTRACTS:
        package.edit(CONTRACTS, "longest: Int32", "longest: int")
    loaded = package.load()
    (error,) = lock.check(loaded)
    assert re.search(rf"{VIEW}:\d+: features/speed@1: {says} changed under a version", error.problem)
    assert "version=2" in error.remedy
    with pytest.raises(VersionNotBumped):
        lock.write(loaded)
    assert (package.folder / "versions.lock").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (VIEW, '"""Longest trip."""', '"""Another description."""'),
        (VIEW, "known = trips.filter(trips.ended.notnull())", "a = trips\n    known = a.filter(a.ended.notnull())"),
        (CONTRACTS, 'longest: Int32 = Field(description="L', 'longest: Int32 = Field(ge=0, description="L'),
    ],
    ids=["description", "spelling", "tighter contract"],
)  # fmt: skip
def test_what_a_version_does_not_stand_for(file: str, old: str, new: str, package: Package) -> None:
    """Descriptions, spelling and checks may change under a version."""
    lock.write(package.load())
    package.edit(file, old, new)
    assert lock.check(package.load()) == []


def test_one_view(package: Package) -> None:
    """Before a view is materialized, it alone is compared with the lock; one that is not locked yet passes."""
    loaded = package.load()
    lock.check_view(loaded, loaded.views["speed", 1])
    lock.write(loaded)
    lock.check_view(loaded, loaded.views["speed", 1])
    package.edit(VIEW, "minutes.max()", "minutes.min()")
    changed = package.load()
    with pytest.raises(VersionNotBumped, match="features/speed@1: expression changed"):
        lock.check_view(changed, changed.views["speed", 1])


def test_unused_view_may_change(package: Package) -> None:
    """A view that is in no feature version is nobody's concern yet; its lock is written anew when asked for."""
    package.add(VIEW, SECOND)
    lock.write(package.load())
    package.edit(VIEW, "minutes.min()", "minutes.sum().cast('int32')")
    loaded = package.load()
    assert lock.check(loaded) == []
    assert lock.write(loaded, again=["speed@2"]) == ("speed@2",)


def test_bumped_version(package: Package) -> None:
    """A new version beside the old one is in order, and is added to the lock."""
    lock.write(package.load())
    package.add(VIEW, SECOND)
    package.edit("versions.py", '("speed@1",)}', '("speed@1",), "v2": ("speed@2",)}')
    loaded = package.load()
    assert lock.check(loaded) == []
    assert lock.write(loaded) == ("speed@2",)


def test_retired_version_stays_locked(package: Package) -> None:
    """A version that left the code may not come back with another content."""
    package.add(VIEW, SECOND)
    lock.write(package.load())
    package.edit(VIEW, "version=2", "version=3")
    lock.write(package.load())
    package.edit(VIEW, "version=3", "version=2")
    package.edit(VIEW, "minutes.min()", "minutes.sum().cast('int32')")
    package.edit("versions.py", "speed@1", "speed@2")
    assert len(lock.check(package.load())) == 1


def test_another_ibis(package: Package) -> None:
    """An identity that moved with Ibis' version is told as that, not as a change of the view."""
    loaded = package.load()
    lock.write(loaded)
    path = lock.path_of(loaded)
    path.write_text(path.read_text().replace('"expr1": "expr1:', '"expr1": "expr1:0').replace("ibis ", "ibis 0."))
    (error,) = lock.check(loaded)
    assert "locked with ibis 0." in error.problem
    assert "--recompute" in error.remedy


def test_unknown_view(package: Package) -> None:
    """Only a declared view can be locked anew."""
    with pytest.raises(DeclarationError, match="slow@1 is not declared; name one of: speed@1"):
        lock.write(package.load(), again=["slow@1"])


@pytest.mark.parametrize(
    "text", ["<<<<<<< HEAD", "[]", '{"format": 1}', '{"format": 2, "views": {}}', '{"format": 1, "views": []}']
)
def test_damaged_lock(text: str, package: Package) -> None:
    """A lock that cannot be read is an error, never an empty lock."""
    loaded = package.load()
    lock.path_of(loaded).write_text(text)
    with pytest.raises(DeclarationError, match=r"versions\.lock (cannot be read|has format 2)"):
        lock.check(loaded)
