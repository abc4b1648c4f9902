"""Publications as they stand at a commit: which exist, which are valid, which are fresh.

A publication is *valid* at a commit when nothing under its unit's prefix differs between the audited commit and that
one (a stat of the metadata alone would miss an overwritten data file). It is *fresh* when what it took from its inputs
is what the commit publishes, transitively.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import MissingInput, StaleInput, UnrecordedChange
from ml_assets.lib.core.names import PUBLICATIONS, Unit
from ml_assets.lib.core.publication import Publication

if TYPE_CHECKING:
    from ml_assets.lib.core.refs import Commit
    from ml_assets.lib.lake.client import Lake

OBJECT_STAGES = ("frames", "models")

STALE_INPUTS = "stale_inputs"
"""The field of a publication that names inputs which were older than their own inputs, where that was allowed."""


def output_prefixes(unit: Unit) -> tuple[str, ...]:
    """What the paths of all data that *unit* may have begin with: a frame may have a table beside its object."""
    if unit.stage == "frames":
        return unit.object_path, unit.table_path
    return (unit.object_path if unit.stage in OBJECT_STAGES else unit.table_path,)


class Records:
    """All publications of one lake, cached by content: a listing per commit, a body per checksum.

    Args:
        lake: Where they lie.
        exists_outside: For a publication with effects outside the lake (a model): whether those are still there.
    """

    def __init__(self, lake: Lake, exists_outside: Callable[[Publication], bool]) -> None:
        self._lake = lake
        self._exists_outside = exists_outside
        self._listing = lru_cache(maxsize=64)(self._list)
        self._bodies: dict[tuple[str, str], Publication] = {}
        self._same = lru_cache(maxsize=4096)(self._compare)

    def at(self, commit: Commit) -> RecordsAt:
        """The publications at *commit*."""
        return RecordsAt(self, commit)

    def get(self, unit: Unit, commit: Commit) -> Publication | None:
        """The publication of *unit* at *commit*, if there is one."""
        path = unit.publication_path
        return self._body(path, commit) if path in self._listing(commit) else None

    def all(self, commit: Commit) -> tuple[Publication, ...]:
        """Every publication at *commit*, in order of path."""
        return tuple(self._body(path, commit) for path in sorted(self._listing(commit)))

    def valid(self, publication: Publication, commit: Commit) -> bool:
        """Whether the data at *commit* is what was audited."""
        prefixes = output_prefixes(publication.unit)[: len(publication.outputs)]
        same = all(self._same(publication.audited, commit, prefix) for prefix in prefixes)
        return same and self._exists_outside(publication)

    def kept(self, publication: Publication) -> set[Commit]:
        """The commits that must stay for a frame's sake: its pin; where inputs were stale, also those they rest on."""
        pins = {publication.pin}
        if publication.extra.get(STALE_INPUTS):
            at = self.at(publication.pin)
            inputs = (at.get(Unit.parse(ref.unit)) for ref in publication.inputs.values())
            pins |= {found.pin for found in at.closure(found for found in inputs if found)}
        return pins

    def _list(self, commit: Commit) -> Mapping[str, str]:
        return {stat.path: stat.checksum for stat in self._lake.ls(commit, PUBLICATIONS)}

    def _body(self, path: str, commit: Commit) -> Publication:
        key = path, self._listing(commit)[path]
        if key not in self._bodies:
            try:
                # Listed at an immutable commit, so only garbage collection can have taken it.
                self._bodies[key] = Publication.from_bytes(self._lake.read(commit, path) or b"")
            except UnrecordedChange as error:
                raise UnrecordedChange(
                    f"{path} at {commit.short} cannot be read: {error.problem}", remedy=error.remedy
                ) from error
        return self._bodies[key]

    def _compare(self, audited: Commit, commit: Commit, prefix: str) -> bool:
        return not any(True for _ in self._lake.diff(audited, commit, base="left", prefix=prefix, limit=1))


class RecordsAt:
    """The publications at one commit. Freshness is remembered, so a closure is walked once."""

    def __init__(self, records: Records, commit: Commit) -> None:
        self.commit = commit
        self._records = records
        self._fresh: dict[Unit, Publication] = {}

    def get(self, unit: Unit) -> Publication | None:
        """The publication of *unit*, if there is one."""
        return self._records.get(unit, self.commit)

    def valid(self, publication: Publication) -> bool:
        """Whether the data is what was audited."""
        return self._records.valid(publication, self.commit)

    def closure(self, publications: Iterable[Publication]) -> tuple[Publication, ...]:
        """*publications* and everything that they were made from, each once."""
        found: dict[Unit, Publication] = {}
        waiting = list(publications)
        while waiting:
            publication = waiting.pop()
            if publication.unit not in found:
                found[publication.unit] = publication
                units = (Unit.parse(ref.unit) for ref in publication.inputs.values())
                waiting += [input_ for unit in units if (input_ := self.get(unit)) is not None]
        return tuple(found[unit] for unit in sorted(found))

    def require(self, unit: Unit, wanted_by: Unit, *, allow_stale: bool = False) -> Publication:
        """The publication of an input: there, valid, and (unless *allow_stale*) fresh all the way up.

        Raises:
            MissingInput: It was never published here.
            UnrecordedChange: Its data is not what was published.
            StaleInput: Something it was made from has been published anew.
        """
        if unit in self._fresh:
            return self._fresh[unit]
        publication = self.get(unit)
        if publication is None:
            raise MissingInput(
                f"{wanted_by} needs {unit}, which is not published",
                remedy=f"materialize {unit} first, or everything by `ml-assets materialize --changed`",
            )
        if not self.valid(publication):
            raise UnrecordedChange(
                f"the data of {unit} (for {wanted_by}) is not what was published: it was changed behind the gate",
                remedy=f"look at `ml-assets table {unit}`, then materialize {unit} with --recompute to overwrite it",
            )
        if not allow_stale:
            self._refuse_stale(publication, wanted_by)
        self._fresh[unit] = publication
        return publication

    def is_stale(self, publication: Publication) -> bool:
        """Whether something that *publication* was made from, however far back, is published otherwise now."""
        for taken in publication.inputs.values():
            now = self.get(Unit.parse(taken.unit))
            if now is None or now.as_input().essence != taken.essence or self.is_stale(now):
                return True
        return False

    def _refuse_stale(self, publication: Publication, wanted_by: Unit) -> None:
        for taken in publication.inputs.values():
            unit = Unit.parse(taken.unit)
            now = self.require(unit, publication.unit)
            if now.as_input().essence != taken.essence:
                raise StaleInput(
                    f"{wanted_by} needs {publication.unit}, which was made from an older {unit}",
                    remedy=f"materialize {publication.unit} first, or everything by `ml-assets materialize --changed`",
                )
