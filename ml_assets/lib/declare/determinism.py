"""What may differ between two runs over the same input is refused, with the remedy.

Source: sums of doubles depend on the order in which threads add (eight different results in eight runs of DuckDB);
integer accumulators and one division at the end are bit-identical on DuckDB and Spark. Where rows are picked or counted
one after the other, the order must be unique: it must hold a unique key that a contract declares or that a group-by
makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_assets.lib.core.errors import DeclarationError, NotDeterministic

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.types as ir

UniqueKeys = Mapping[str, tuple[str, ...]]
"""For each unbound table: columns in which no two of its rows agree."""

_ORDER = "order by a unique key too, declared in Config.unique of the source's contract or made by a group_by"
_INTEGERS = "sum whole numbers (cents as int64) and divide once at the end, or use exact_sum(column, scale)"


def exact_sum(column: ir.NumericColumn, scale: int) -> ir.FloatingValue:
    """The sum of a float column, equal in every order and on every engine: a sum of whole ``10 ** -scale``.

    It can be used in an aggregation or ``.over(window)``. Null where there is no value. A value that is NaN or
    infinite, and a value or sum of ``2 ** 63 / 10 ** scale`` or more, ends the computation with an error.

    Args:
        column: Floats; each is rounded to *scale* decimal places first, halves away from zero.
        scale: Decimal places that matter, 0 to 15.

    Raises:
        DeclarationError: *scale* is something else.
    """
    if isinstance(scale, bool) or scale not in range(16):
        raise DeclarationError(f"exact_sum has scale {scale!r}", remedy="give the decimal places that matter, 0 to 15")
    units = 10.0**scale
    return (column * units).round().cast("int64").sum().cast("int64").cast("float64") / units


def require_deterministic(expression: ir.Table, unique: UniqueKeys) -> None:
    """Let *expression* pass if equal input gives equal rows on every run.

    Args:
        expression: An expression over unbound tables.
        unique: Their unique keys.

    Raises:
        NotDeterministic: It may not; column and remedy are named.
    """
    import ibis.expr.operations as ops

    for relation in expression.op().find(ops.Relation):
        _check_relation(relation, unique)
        for column, value in values_of(relation):
            _check_value(column, value, relation, unique)


def values_of(relation: ops.Relation) -> Iterator[tuple[str, Any]]:
    """What *relation* computes, each with the name of the column or of the part of it."""
    import ibis.expr.operations as ops

    if isinstance(relation, ops.Project | ops.Aggregate):
        yield from relation.values.items()
    elif isinstance(relation, ops.Filter):
        yield from (("(filter)", predicate) for predicate in relation.predicates)
    elif isinstance(relation, ops.Sort):
        yield from (("(order_by)", key) for key in relation.keys)
    elif isinstance(relation, ops.JoinChain):
        yield from (("(join)", predicate) for link in relation.rest for predicate in link.predicates)
        yield from relation.values.items()


def _check_relation(relation: ops.Relation, unique: UniqueKeys) -> None:
    """Refuse limits without a unique order, and joins that pick one of several rows.

    Raises:
        NotDeterministic: *relation* does so.
    """
    import ibis.expr.operations as ops

    if isinstance(relation, ops.Limit) and relation.n != 0:
        ordered = relation.parent.keys if isinstance(relation.parent, ops.Sort) else ()
        if not _covers(ordered, relation.parent, unique):
            raise NotDeterministic("limit keeps rows in an order that is not unique", remedy=_ORDER)
    if isinstance(relation, ops.JoinChain):
        for link in relation.rest:
            if link.how in {"asof", "any_inner", "any_left", "positional"}:
                raise NotDeterministic(
                    f"an {link.how} join may pick another row where several match",
                    remedy="aggregate to one row per key first; the join to the cutoff is the engine's",
                )


def _check_value(column: str, value: Any, relation: ops.Relation, unique: UniqueKeys) -> None:
    """Refuse what *value*, of column *column* of *relation*, may compute differently.

    Raises:
        NotDeterministic: It may.
    """
    import ibis.expr.operations as ops

    inside: set[Any] = set()  # functions of windows, judged by their window
    for window in value.find(ops.WindowFunction, filter=ops.Value):
        inside.add(window.func)
        if _in_sequence(window) and not _covers((*window.group_by, *window.order_by), _parent(relation), unique):
            raise NotDeterministic(
                f"column {column!r} takes {type(window.func).__name__} over rows in an order that is not unique",
                remedy=_ORDER,
            )
    for node in value.find(ops.Value, filter=ops.Value):
        for kinds, meaning, remedy in _refusals():
            if isinstance(node, kinds):
                raise NotDeterministic(f"column {column!r} {meaning} ({type(node).__name__})", remedy=remedy)
        if isinstance(node, ops.Sum | ops.Mean) and node.arg.dtype.is_floating():
            raise NotDeterministic(
                f"column {column!r} adds floats ({type(node).__name__}), which depends on the order of the rows",
                remedy=_INTEGERS,
            )
        if node not in inside and isinstance(
            node, (ops.First, ops.Last, ops.ArrayCollect, ops.GroupConcat, ops.ArgMax, ops.ArgMin)
        ):
            groups = relation.groups.values() if isinstance(relation, ops.Aggregate) else ()
            order = (node.key,) if isinstance(node, ops.ArgMax | ops.ArgMin) else node.order_by
            if not _covers((*groups, *order), _parent(relation), unique):
                raise NotDeterministic(
                    f"column {column!r} takes {type(node).__name__} of rows in an order that is not unique",
                    remedy="take min or max, or " + _ORDER,
                )


def _in_sequence(window: ops.WindowFunction) -> bool:
    """Whether the order among rows with equal order keys decides the result; rows that are equal have equal ranks."""
    import ibis.expr.operations as ops

    ranks = (ops.MinRank, ops.DenseRank, ops.PercentRank, ops.CumeDist)
    picks = isinstance(window.func, ops.Analytic | ops.First | ops.Last) and not isinstance(window.func, ranks)
    return picks or (window.how == "rows" and (window.start is not None or window.end is not None))


@cache
def _refusals() -> tuple[tuple[tuple[type, ...], str, str], ...]:
    """Operations that are never deterministic here: kinds, what they do, what to do instead."""
    import ibis.expr.operations as ops

    return (
        (
            (ops.Variance, ops.StandardDev, ops.Covariance, ops.Correlation, ops.Kurtosis),
            "adds floats",
            "sum values and squares as integers and divide once at the end, or use exact_sum(column, scale)",
        ),
        ((ops.Arbitrary, ops.Mode), "takes any of several values", "take min or max"),
        (
            (ops.ApproxMedian, ops.ApproxQuantile, ops.ApproxMultiQuantile, ops.ApproxCountDistinct),
            "approximates",
            "compute it exactly",
        ),
        ((ops.Hash,), "hashes differently on each engine", 'use hexdigest("md5")'),
    )


def _parent(relation: ops.Relation) -> ops.Relation:
    """The relation that the values of *relation* are computed over."""
    return getattr(relation, "parent", relation)


def _covers(keys: Any, relation: ops.Relation, unique: UniqueKeys) -> bool:
    """Whether *keys* hold a unique key of *relation*, so that no two of its rows agree in all of them."""
    import ibis.expr.operations as ops

    plain = (key.arg if isinstance(key, ops.SortKey) else key for key in keys)
    names = {value.name for value in plain if isinstance(value, ops.Field)}
    return any(key <= names for key in _unique(relation, unique))


def _unique(relation: ops.Relation, unique: UniqueKeys) -> list[frozenset[str]]:
    """Unique keys of *relation*: declared, made by grouping, or passed on by what keeps rows apart."""
    import ibis.expr.operations as ops
    from ibis.expr.operations.relations import Simple

    if isinstance(relation, ops.UnboundTable):
        return [frozenset(unique[relation.name])] if unique.get(relation.name) else []
    if isinstance(relation, ops.Aggregate):
        return [frozenset(relation.groups)]
    if isinstance(relation, ops.Distinct):
        return [frozenset(relation.schema.names)]
    if isinstance(relation, ops.Reference | Simple | ops.DropColumns):
        return [key for key in _unique(relation.parent, unique) if key <= set(relation.schema.names)]
    if isinstance(relation, ops.Project):
        new = {value.name: name for name, value in relation.values.items() if isinstance(value, ops.Field)}
        return [frozenset(new[name] for name in key) for key in _unique(relation.parent, unique) if key <= new.keys()]
    return []
