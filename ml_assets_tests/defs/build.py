"""The demo on the twin: from source tables to views, splits and frames as the gate does it, without a lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from ml_assets.lib.declare import Declarations, FeatureView, Frame, Split
from ml_assets.lib.engines import Session, ViewJoin

FRAME = "late_arrival"


@dataclass(frozen=True)
class Demo:
    """What is declared, on some source tables.

    Attributes:
        declarations: What the project declares.
        session: A session of an engine.
        sources: Source tables as Arrow.
        tables: The same in the engine.
    """

    declarations: Declarations
    session: Session
    sources: Mapping[str, pa.Table]
    tables: Mapping[str, ir.Table]
    _computed: dict[tuple[str, str, object], ir.Table] = field(default_factory=dict, init=False)

    @classmethod
    def on(cls, declarations: Declarations, session: Session, sources: Mapping[str, pa.Table]) -> Demo:
        """The demo on *sources*."""
        return cls(declarations, session, sources, {name: session.offer(rows) for name, rows in sources.items()})

    def given(self, **sources: pa.Table | list[dict[str, Any]]) -> Demo:
        """The same with other *sources*, as tables or as rows of which only what matters is given."""
        made = {
            name: rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, self.sources[name].schema)
            for name, rows in sources.items()
        }
        tables = {name: self.session.offer(rows) for name, rows in made.items()}
        return replace(self, sources={**self.sources, **made}, tables={**self.tables, **tables})

    def view(self, name: str) -> FeatureView:
        """The first version of a feature view."""
        return self.declarations.views[name, 1]

    def table(self, decl: Split | FeatureView | Frame) -> ir.Table:
        """What *decl* computes, once."""
        key = decl.stage, decl.name, getattr(decl, "version", None)
        if key not in self._computed:
            bound = self.session.bind(self.declarations.expression(decl), self.tables)
            self._computed[key] = self.session.persist(bound)
        return self._computed[key]

    def rows(self, decl: Split | FeatureView | Frame) -> pa.Table:
        """What *decl* computes, as Arrow."""
        return self.session.batches(self.table(decl)).read_all()

    def spine(self, split: str) -> ir.Table:
        """The frame's rows with the part of each, before features."""
        index = self.table(self.declarations.splits[split])
        return self.table(self.declarations.frames[FRAME]).join(index, "flight_key")

    def frame(self, spine: ir.Table, features: str) -> ir.Table:
        """The rows of *spine* with the values of a feature version, in the frame's columns."""
        views = []
        for ref in self.declarations.feature_versions[features]:
            view, values = self.declarations.view(ref), self.declarations.view_values(ref)
            views.append(
                ViewJoin(name=str(ref), table=self.table(view), keys=view.keys.keys, ttl=view.ttl, values=values)
            )
        columns = self.declarations.frame_columns(self.declarations.frames[FRAME], features)
        return self.session.point_in_time(spine, views).select([column.name for column in columns])
