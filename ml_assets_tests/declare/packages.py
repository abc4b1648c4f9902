"""Small packages of declarations, written to disk and loaded as a person's are."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.declare import Declarations, load
from ml_assets.lib.declare.loading import examine

_NUMBERS = itertools.count()

FILES = {
    "__init__.py": "",
    "versions.py": """
        SPLIT_VERSIONS = ("hash-s42",)
        FEATURE_VERSIONS = {"v1": ("speed@1",)}
    """,
    "contracts/__init__.py": """
        from ml_assets.lib.declare import FeatureContract, Field, FrameContract, Int32, SourceContract, Timestamp

        class Trips(SourceContract):
            \"""One row per trip.\"""

            trip: str = Field(description="Key")
            car: str = Field(description="The car")
            started: Timestamp = Field(description="Departure (UTC)")
            ended: Timestamp = Field(nullable=True, description="Arrival (UTC)")
            minutes: Int32 = Field(nullable=True, ge=0, description="Duration, minutes; known at ended")
            km: float = Field(description="Distance, kilometres")

            class Config:
                unique = ("trip",)

        class Speed(FeatureContract):
            \"""One row per car and arrival.\"""

            car: str = Field(description="The car")
            event_timestamp: Timestamp = Field(description="Arrival (UTC)")
            longest: Int32 = Field(description="Longest trip, minutes")

            class Config:
                unique = ("car", "event_timestamp")

        class LateFrame(FrameContract):
            \"""One row per trip.\"""

            trip: str = Field(description="Key")
            car: str = Field(description="The car")
            event_timestamp: Timestamp = Field(description="Departure (UTC)")
            label: Int32 = Field(description="1 if long")
            split: str = Field(description="Part")

            class Config:
                unique = ("trip",)
    """,
    "sources/trips.py": """
        from .. import contracts
        from ml_assets.lib.declare import PackageFile, source

        @source(
            files={"trips": PackageFile("x", "trips.csv")},
            contract=contracts.Trips,
            event_time="started",
            known_from="started",
            known_at={"minutes": "ended"},
        )
        def trips(trips):
            \"""Trips.\"""
            return None
    """,
    "splits/trips.py": """
        from ml_assets.lib.declare import complete, split

        @split("hash-s42", of="trips", key="trip", seed=42, rules=(complete(of="trips"),))
        def hash_s42(trips):
            \"""By hash.\"""
            return trips.select("trip", split=(trips.trip.hexdigest("md5") < "8").ifelse("train", "test"))
    """,
    "features/speed.py": """
        from datetime import timedelta
        from .. import contracts
        from ml_assets.lib.declare import Entity, feature_view

        CAR = Entity("car", ("car",))

        @feature_view(version=1, keys=CAR, ttl=timedelta(days=7), contract=contracts.Speed)
        def speed(trips):
            \"""Longest trip.\"""
            known = trips.filter(trips.ended.notnull())
            return known.group_by("car", event_timestamp=known.ended).agg(longest=known.minutes.max())
    """,
    "frames/late.py": """
        from .. import contracts
        from ml_assets.lib.declare import frame

        @frame(split="trips", contract=contracts.LateFrame)
        def late(trips):
            \"""Long trips.\"""
            return trips.select("trip", "car", event_timestamp=trips.started, label=(trips.minutes > 60).cast("int32"))
    """,
    "models/late.py": """
        from ml_assets.lib.declare import model

        @model(frame="late", floors={"test/roc_auc": 0.5}, params={"depth": 3}, seed=0, categories=("car",))
        def late(train, val, *, params, seed):
            \"""Trees.\"""
            return None
    """,
}
"""A lawful package: one source, split, view, frame and model."""


class Package:
    """A copy of `FILES` under a name of its own, to be edited and loaded."""

    def __init__(self, folder: Path) -> None:
        self.name = f"defs{next(_NUMBERS)}"
        self.folder = folder / self.name
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        """Write the file at *path*."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace *old*, which must be there, everywhere in the file at *path*."""
        text = (self.folder / path).read_text()
        assert old in text
        (self.folder / path).write_text(text.replace(old, new))

    def add(self, path: str, text: str) -> None:
        """Append *text* to the file at *path*."""
        self.write(path, (self.folder / path).read_text() + dedent(text))

    def load(self) -> Declarations:
        """Load the package anew."""
        self.forget()
        return load(self.name)

    def mistakes(self) -> tuple[DeclarationError, ...]:
        """What is wrong with the package."""
        self.forget()
        try:
            return examine(self.name)[1]
        except DeclarationError as error:  # at import
            return (error,)

    def forget(self) -> None:
        """Let the next import read the files again."""
        for module in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            del sys.modules[module]


def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A lawful package that can be imported until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within the same second would not be seen
    made = Package(tmp_path)
    yield made
    made.forget()
