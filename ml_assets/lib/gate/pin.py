"""The state of the target that one attempt works from, and what it says about the unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import UnrecordedChange
from ml_assets.lib.core.publication import Publication, passes
from ml_assets.lib.core.recipe import InputRef, Json
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.gate.records import STALE_INPUTS

if TYPE_CHECKING:
    from ml_assets.lib.gate.records import RecordsAt
    from ml_assets.lib.gate.work import Work


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """The state of the target that one attempt works from.

    Attributes:
        records: Publications at the pin.
        inputs: Those of the unit's inputs, by name; each valid and fresh.
        refs: The same, as what is recorded of them.
        recipe: Recipe of the unit over these inputs.
        old: The unit's own publication there, if it has one.
    """

    records: RecordsAt
    inputs: Mapping[str, Publication]
    refs: Mapping[str, InputRef]
    recipe: str
    old: Publication | None

    @classmethod
    def at(cls, records: RecordsAt, work: Work, *, recompute: bool = False) -> Pinned:
        """The state at *records*, for *work*, which takes over from its publication what it keeps.

        Both `materialize` and `check` decide by this what is to be done.

        Args:
            records: Publications at the pin.
            work: The unit.
            recompute: Whether it is overwritten, so that its own publication need not be readable.

        Raises:
            GateError, ConfigError: It cannot be materialized from what is there.
            VersionNotBumped: Its definition may not follow the published one.
        """
        try:
            old = records.get(work.unit)
        except UnrecordedChange:
            if not recompute:
                raise
            old = None
        work.follow(old)
        work.admit(old)
        inputs = {
            name: records.require(unit, work.unit, allow_stale=work.allow_stale) for name, unit in work.inputs.items()
        }
        refs = {name: publication.as_input() for name, publication in inputs.items()}
        return cls(records=records, inputs=inputs, refs=refs, recipe=work.recipe(refs, old), old=old)

    @property
    def commit(self) -> Commit:
        """The pin."""
        return self.records.commit

    @cached_property
    def holds(self) -> bool:
        """Whether the target holds the unit as it was published. What else lies there, nobody vouches for."""
        return self.old is not None and self.records.valid(self.old)

    def is_fresh(self, work: Work) -> bool:
        """Whether what is published is what *work* would publish: by the same recipe, judged by the same rules."""
        old = self.old
        return old is not None and (old.recipe, old.rules) == (self.recipe, work.rules) and work.same_given(old)

    def published_by_same_recipe(self) -> Publication | None:
        """The publication whose data can be judged anew instead of computed again."""
        return self.old if self.old and self.old.recipe == self.recipe else None

    def stale(self) -> dict[str, Json]:
        """Inputs that were made from something older than what stands published, for the record; none in most cases."""
        found = sorted(
            {str(publication.unit) for publication in self.inputs.values() if self.records.is_stale(publication)}
        )
        return {STALE_INPUTS: found} if found else {}

    def confirms(self, publication: Publication) -> bool:
        """Whether computing on demand gave exactly what stands published, unharmed, by the same recipe and rules."""
        old = self.old
        return (
            old is not None
            and (old.recipe, old.rules, old.digest) == (publication.recipe, publication.rules, publication.digest)
            and passes(publication.verdict)
            and self.holds
        )
