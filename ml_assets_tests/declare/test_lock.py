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
    """The lock lies beside the declarations and holds what each view, feature version and split version is."""
    loaded = package.load()
    assert lock.unlocked(loaded) == ("speed@1", "v1", "hash-s42")
    assert lock.write(loaded) == ("speed@1", "v1", "hash-s42")
    assert lock.path_of(loaded) == package.folder / "versions.lock"
    found = json.loads(lock.path_of(loaded).read_text())
    assert found["feature_versions"] == {"v1": {"views": {"speed@1": ["longest"]}}}
    (split,) = found["split_versions"].values()
    assert (split["of"], split["key"], split["seed"]) == ("trips", "trip", 42)
    assert split["expr1"] == loaded.meaning(loaded.splits["hash-s42"])
    (entry,) = found["views"].values()
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
    assert lock.write(loaded) == ("speed@2", "v2")


def test_retired_version_stays_locked(package: Package) -> None:
    """A version that left the code may not come back with another content."""
    package.add(VIEW, SECOND)
    lock.write(package.load())
    package.edit(VIEW, "version=2", "version=3")
    lock.write(package.load())
    package.edit(VIEW, "version=3", "version=2")
    package.edit(VIEW, "minutes.min()", "minutes.sum().cast('int32')")
    package.edit("versions.py", '"v1": ("speed@1",)', '"v2": ("speed@2",)')
    assert len(lock.check(package.load())) == 1


def test_another_ibis(package: Package) -> None:
    """An identity that moved with Ibis' version is told as that, not as a change of the view."""
    loaded = package.load()
    lock.write(loaded)
    path = lock.path_of(loaded)
    path.write_text(path.read_text().replace('"expr1": "expr1:', '"expr1": "expr1:0').replace("ibis ", "ibis 0."))
    errors = lock.check(loaded)
    assert [
        f"`ml-assets lock {name}`" in error.remedy for name, error in zip(("speed@1", "hash-s42"), errors, strict=True)
    ]
    for error in errors:
        assert "locked with ibis 0." in error.problem
        assert "--recompute" in error.remedy


def test_unknown_view(package: Package) -> None:
    """Only a declared view can be locked anew."""
    with pytest.raises(DeclarationError, match="slow@1 is not declared; name one of: hash-s42, speed@1, v1"):
        lock.write(package.load(), again=["slow@1"])


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< HEAD",
        "[]",
        '{"format": 1}',
        '{"format": 2, "views": {}}',
        '{"format": 1, "views": []}',
        '{"format": 1, "views": {}, "feature_versions": []}',
        '{"format": 1, "views": {}, "split_versions": {"hash-s42": 1}}',
    ],
)
def test_damaged_lock(text: str, package: Package) -> None:
    """A lock that cannot be read is an error, never an empty lock."""
    loaded = package.load()
    lock.path_of(loaded).write_text(text)
    with pytest.raises(DeclarationError, match=r"versions\.lock (cannot be read|has format 2)"):
        lock.check(loaded)


# Feature versions and split versions

WIDE = """
    class Speed(FeatureContract):
        \"""One row per car and arrival.\"""

        car: str = Field(description="The car")
        event_timestamp: Timestamp = Field(description="Arrival (UTC)")
        longest: Int32 = Field(description="Longest trip, minutes")
        shortest: Int32 = Field(description="Shortest trip, minutes")

        class Config:
            unique = ("car", "event_timestamp")
"""


@pytest.fixture
def wide(package: Package) -> Package:
    """A locked package with a view of two values, and a second view."""
    package.add(CONTRACTS, WIDE)
    package.edit(VIEW, "longest=known.minutes.max())", "longest=known.minutes.max(), shortest=known.minutes.min())")
    package.add(
        VIEW,
        SECOND.replace("longest=known.minutes.min()", "longest=known.minutes.min(), shortest=known.minutes.max()")
        .replace('name="speed"', 'name="pace"')
        .replace("version=2", "version=1"),
    )
    lock.write(package.load())
    return package


@pytest.mark.parametrize(
    ("views", "how"),
    [
        ('"speed@1[longest]",', r"without speed@1\[shortest\]"),
        (
            '"speed@1[longest]", "pace@1[shortest]",',
            r"without speed@1\[shortest\]; now also pace@1\[shortest\]",
        ),
        ('"pace@1",', r"without speed@1\[longest, shortest\]; now also pace@1\[longest, shortest\]"),
    ],
)
def test_an_edited_feature_version(wide: Package, views: str, how: str) -> None:
    """What left and what came is told with its place; nothing is locked over it unless it is named."""
    wide.edit("versions.py", '"speed@1",', views)
    loaded = wide.load()
    (error,) = lock.check(loaded)
    told = rf"versions\.py:\d+: feature version v1: views or columns changed .* \({how}\)"
    assert re.search(told, error.problem), error.problem
    assert error.remedy == (
        "declare the change as a new feature version, or take it back; if v1 was never published: `ml-assets lock v1`"
    )
    with pytest.raises(VersionNotBumped):
        lock.check_feature_version(loaded, "v1")
    with pytest.raises(VersionNotBumped):
        lock.write(loaded)
    assert lock.write(loaded, again=["v1"]) == ("v1",)
    assert lock.check(loaded) == []


def test_another_spelling_of_a_feature_version(wide: Package) -> None:
    """All columns named, in another order, mean what the view alone means."""
    wide.edit("versions.py", '"speed@1",', '"speed@1[shortest, longest]",')
    loaded = wide.load()
    assert lock.check(loaded) == []
    lock.check_feature_version(loaded, "v1")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('< "8"', '< "9"', "expression"),
        ("seed=42", "seed=43", "seed"),
        ('key="trip"', 'key="car"', "key"),
    ],
)
def test_an_edited_split_version(package: Package, old: str, new: str, says: str) -> None:
    """Its rows, its key and its seed stay what they were."""
    lock.write(package.load())
    package.edit("splits/trips.py", old, new)
    if says == "key":
        package.edit(CONTRACTS, 'unique = ("trip",)', 'unique = ("car",)')
        package.edit("splits/trips.py", 'select("trip"', 'select("car"')
        package.edit("models/late.py", '("car",)', "()")
    loaded = package.load()
    (error,) = lock.check(loaded)
    assert re.search(rf"splits/trips\.py:\d+: splits/trips@hash-s42: .*{says} changed under a version", error.problem)
    assert "declare the change as a new split version" in error.remedy
    with pytest.raises(VersionNotBumped):
        lock.check_split(loaded, loaded.splits["hash-s42"])
    assert lock.write(loaded, again=["hash-s42"]) == ("hash-s42",)


def test_a_source_that_gains_a_column(package: Package) -> None:
    """Leaves the splits that do not use it as they are; a view's identity has the whole schema of its source."""
    lock.write(package.load())
    package.edit(
        CONTRACTS, 'km: float = Field(description="Distance, kilometres")', 'seats: int = Field(description="S")'
    )
    loaded = package.load()
    assert ["features/speed@1" in error.problem for error in lock.check(loaded)] == [True]
    lock.check_split(loaded, loaded.splits["hash-s42"])


def test_rules_of_a_split_may_change(package: Package) -> None:
    """They judge it, and are no part of what it is."""
    lock.write(package.load())
    package.edit("splits/trips.py", ', rules=(complete(of="trips"),)', "")
    assert lock.check(package.load()) == []


def test_a_lock_of_an_earlier_version(package: Package) -> None:
    """It has views only: what it lacks is not locked yet, and is added without touching what is there."""
    loaded = package.load()
    lock.write(loaded)
    path = lock.path_of(loaded)
    now = json.loads(path.read_text())
    path.write_text(json.dumps({"format": 1, "views": now["views"]}))
    assert lock.check(loaded) == []
    lock.check_feature_version(loaded, "v1")
    lock.check_split(loaded, loaded.splits["hash-s42"])
    assert lock.unlocked(loaded) == ("v1", "hash-s42")
    assert lock.write(loaded) == ("v1", "hash-s42")
    assert json.loads(path.read_text()) == now
