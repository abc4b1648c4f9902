"""The static half of the leakage law: at declaration, from which times an ``event_timestamp`` must be made.

A value may be used from the moment at which all that it is made from is known: the rows of its sources
(``known_from``), and the columns that are known later than their row (``known_at``). So the ``event_timestamp`` of a
feature view must be made from each of those times, and that of a frame from those of the spine columns that reach a
model. What this cannot see (that the time is made from them in the wrong way, that rows are counted which come later)
the check ``no_future`` of every frame finds in the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.names import EVENT_TIMESTAMP
from ml_assets.lib.declare.declarations import FeatureView, Frame, Source, Split

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from ml_assets.lib.declare.column_lineage import ColumnLineage
    from ml_assets.lib.declare.registry import Declarations


def mistakes_of_knowledge(
    declarations: Declarations, decl: Split | FeatureView | Frame, expression: ir.Table
) -> Iterator[DeclarationError]:
    """Values of *decl* (it computes *expression*) made from what is known at a time that its moment does not have."""
    if isinstance(decl, FeatureView):
        yield from _of_view(declarations, decl, expression)
    elif isinstance(decl, Frame):
        yield from _of_spine(declarations, decl)


def unsaid(declarations: Declarations) -> tuple[Source, ...]:
    """Sources that do not say when their rows are known, which only those without an event time may leave open."""
    return tuple(s for s in declarations.sources.values() if s.known_from is None and not s.always_known)


def _of_view(declarations: Declarations, view: FeatureView, expression: ir.Table) -> Iterator[DeclarationError]:
    """Late columns in a value or in what decides which rows there are; then rows that become known over time."""
    lineage = declarations.lineage(view)
    moment = set(lineage[EVENT_TIMESTAMP].value)
    late = _late_columns(declarations.sources[name] for name in view.parameters)
    for value in declarations.view_values(view.ref):
        for column in _made_from(lineage[value]):
            if column in late and late[column] not in moment:
                yield _too_early(view.place, f"{value!r} is made from {column}, which is known at", late[column])
    read = {table.name for table in _tables(expression)}
    for name in dict.fromkeys(view.parameters):
        source = declarations.sources[name]
        if source.known_from and name in read and not moment & _times(source):
            rows = f"its values are made from rows of {name}, which are known from"
            yield _too_early(view.place, rows, f"{name}.{source.known_from}")


def _of_spine(declarations: Declarations, frame: Frame) -> Iterator[DeclarationError]:
    """Columns that reach a model; the row that is asked about is given, in the source that is split."""
    lineage = declarations.lineage(frame)
    moment = set(lineage[EVENT_TIMESTAMP].value)
    sources = [declarations.sources[name] for name in dict.fromkeys(frame.parameters)]
    late = _late_columns(sources)
    known_from = {s.name: f"{s.name}.{s.known_from}" for s in sources if s.known_from and s.name != frame.split}
    for name in dict.fromkeys(name for v in declarations.feature_versions for name in _inputs(declarations, frame, v)):
        for column in lineage[name].value:
            rows = known_from.get(column.partition(".")[0])
            for time in (late.get(column), rows):
                if time is not None and time not in moment:
                    what = f"column {name!r} reaches a model and is made from {column}, which is known at"
                    yield _too_early(frame.place, what, time)


def _inputs(declarations: Declarations, frame: Frame, feature_version: str) -> tuple[str, ...]:
    """Columns of the spine that reach a model; none where the feature version names a view that is not declared."""
    refs = declarations.feature_versions[feature_version]
    if any((ref.name, ref.version) not in declarations.views for ref in refs):
        return ()
    return declarations.spine_inputs(frame, feature_version)


def _late_columns(sources: Iterable[Source]) -> dict[str, str]:
    """``source.column`` of every column that is known later than its row, and ``source.column`` that says when."""
    return {f"{s.name}.{column}": f"{s.name}.{time}" for s in sources for column, time in s.known_times.items()}


def _times(source: Source) -> set[str]:
    """Columns of *source* that say when something of it is known: none of them is earlier than its row."""
    return {f"{source.name}.{time}" for time in (source.known_from, *source.known_at.values()) if time}


def _made_from(found: ColumnLineage) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*found.value, *found.rows)))


def _tables(expression: ir.Table) -> tuple[ir.Table, ...]:
    """The unbound tables that *expression* reads."""
    import ibis.expr.operations as ops

    return tuple(expression.op().find(ops.UnboundTable))


def _too_early(place: str, what: str, time: str) -> DeclarationError:
    return DeclarationError(
        f"{place}: {what} {time}, but {EVENT_TIMESTAMP} does not come from there",
        remedy=f"make {EVENT_TIMESTAMP} from {time} (the latest of several times: ibis.greatest, which passes over "
        "nulls: filter them first), or a model will learn from the future",
    )


def row_local(expression: ir.Table, column: str) -> frozenset[tuple[str, str]] | None:
    """What a column of *expression* is made from, if every value is made from one row of one source alone.

    Returns:
        Pairs of source and column; ``None`` where other rows may play a part: windows, aggregates, joins, subqueries.
    """
    return _leaf_columns(expression.op(), column)


def _leaf_columns(relation: ops.Relation, column: str) -> frozenset[tuple[str, str]] | None:
    import ibis.expr.operations as ops

    while isinstance(relation, ops.Filter | ops.Sort | ops.Limit):  # which rows there are, not what is in them
        relation = relation.parent
    if isinstance(relation, ops.UnboundTable):
        return frozenset({(relation.name, column)})
    return _leaves(relation.values[column]) if isinstance(relation, ops.Project) else None


def _leaves(value: ops.Value) -> frozenset[tuple[str, str]] | None:
    import ibis.expr.operations as ops

    if isinstance(value, ops.Field):
        return _leaf_columns(value.rel, value.name)
    if isinstance(value, ops.WindowFunction | ops.Reduction | ops.Analytic | ops.Subquery):
        return None
    found = [_leaves(child) for child in value.__children__ if isinstance(child, ops.Value)]
    return None if None in found else frozenset().union(*(leaves for leaves in found if leaves is not None))
