"""How many drawn packages ran, were refused, and for what."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ml_assets.lib.core.errors import MLAssetsError
from ml_assets_tests.drawn.harness import Ended, Told
from ml_assets_tests.drawn.packages import Drawn

_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]|\b(events|facts|view\d|asked|guess)\b(\.\w+)?|\d+")


def kind_of(error: MLAssetsError) -> str:
    """What *error* is about, without the names and numbers of one package."""
    problem = re.sub(r"^\S+\.py:\d+: ", "", error.problem)
    problem = re.sub(r"^(sources|splits|features|frames|models)/\S+?:? ", r"\1 … ", problem)
    return f"{type(error).__name__}: {_NAMES.sub('…', problem)[:100]}"


@dataclass
class Tally:
    """Counts of what came of drawn packages.

    Attributes:
        packages: Packages by what came of them: told, ran as a whole, ran in part, failed.
        lawful: The same of those in which nothing odd was drawn.
        told: Errors of `check`, by kind.
        units: Units by stage and what came of them.
        refused: What checks refused, by stage, check and rule.
        stopped: Errors about files, by kind.
        failed: Faults, which are what must not happen, by kind.
        shown: For each of these an error and a package that shows it.
    """

    packages: Counter[str] = field(default_factory=Counter)
    lawful: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    shown: dict[str, str] = field(default_factory=dict)

    def add(self, drawn: Drawn, told: Told, ended: Ended | None) -> None:
        """Count a package that was told wrong, or ran."""
        self.told.update({kind_of(error) for error in told.errors})
        if ended is None:
            self._package(drawn, "told wrong" if told.errors else "lawful")
            return
        self._package(drawn, "ran in part" if ended.refused or ended.stopped else "ran as a whole")
        for what in ("published", "refused", "stopped", "skipped", "compared"):
            self.units.update(f"{unit.stage}: {what}" for unit in getattr(ended, what))
        for unit, found in ended.refused.items():
            self.refused.update({f"{unit.stage}: {check}: {rule.rpartition(':')[2].strip()}" for check, rule in found})
        self.stopped.update(kind_of(error) for error in ended.stopped.values())

    def fail(self, drawn: Drawn, error: Exception) -> None:
        """Count a package that shows a fault."""
        self._package(drawn, "failed")
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if "ml_assets" in f.filename), frames[-1])
        told = kind_of(error) if isinstance(error, MLAssetsError) else f"{type(error).__name__}: {str(error)[:160]}"
        kind = f"{told} ({Path(place.filename).name}:{place.lineno})"
        self.failed[kind] += 1
        self.shown.setdefault(kind, f"{error}\n{drawn!r}")

    def _package(self, drawn: Drawn, what: str) -> None:
        self.packages[what] += 1
        if not drawn.odd:
            self.lawful[what] += 1

    def lines(self) -> Iterator[str]:
        """What was counted, for people."""
        yield f"{sum(self.packages.values())} packages, {sum(self.lawful.values())} of them with nothing odd in them"
        for title, counts in (
            ("packages", self.packages),
            ("packages with nothing odd in them", self.lawful),
            ("told by check", self.told),
            ("units", self.units),
            ("refused by checks of the data", self.refused),
            ("files that do not fit", self.stopped),
            ("FAULTS", self.failed),
        ):
            yield f"\n{title}"
            yield from (f"  {number:5}  {what}" for what, number in counts.most_common())
