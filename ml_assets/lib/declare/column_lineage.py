"""Which source columns each column of an expression is made from: a walk through operations to unbound tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.types as ir


@dataclass(frozen=True, slots=True)
class ColumnLineage:
    """Where one column comes from, as sorted ``table.column``.

    Attributes:
        value: Columns in the expression of the value; the keys of windows are among them.
        rows: Columns that decide which rows there are: filters, group keys, join predicates, distinct.
    """

    value: tuple[str, ...]
    rows: tuple[str, ...]


def lineage(expression: ir.Table) -> Mapping[str, ColumnLineage]:
    """The lineage of each column of *expression*, in its order. ``rows`` is the same for all of them."""
    relation = expression.op()
    walk = _Walk()
    rows = tuple(sorted(walk.rows(relation)))
    return {
        name: ColumnLineage(value=tuple(sorted(walk.column(relation, name))), rows=rows)
        for name in relation.schema.names
    }


class _Walk:
    """Remembers what it has found: an expression is a graph, and views are shared within it."""

    def __init__(self) -> None:
        self._values: dict[Any, frozenset[str]] = {}
        self._rows: dict[Any, frozenset[str]] = {}

    def column(self, relation: ops.Relation, name: str) -> frozenset[str]:
        """Source columns in the value of column *name* of *relation*."""
        import ibis.expr.operations as ops

        if isinstance(relation, ops.UnboundTable):
            return frozenset({f"{relation.name}.{name}"})
        if name in relation.values:
            return self.value(relation.values[name])
        if isinstance(relation, ops.Set):
            return self.column(relation.left, name) | self.column(relation.right, name)
        if isinstance(relation, ops.SelfReference):
            return self.column(relation.parent, name)
        return frozenset().union(*(self.everything(parent) for parent in _parents(relation)))

    def value(self, node: Any) -> frozenset[str]:
        """Source columns in the value *node*."""
        import ibis.expr.operations as ops

        if node not in self._values:
            if isinstance(node, ops.Field):
                found = self.column(node.rel, node.name)
            else:  # a relation among the children is what is counted or, in a subquery, what is looked up
                looked_up = [node.rel] if isinstance(node, ops.Subquery) else []
                values = [child for child in node.__children__ if isinstance(child, ops.Value)]
                found = frozenset().union(*map(self.everything, looked_up), *map(self.value, values))
            self._values[node] = found
        return self._values[node]

    def everything(self, relation: ops.Relation) -> frozenset[str]:
        """Source columns in any value or row of *relation*: of a subquery, all may decide the outcome."""
        return self.rows(relation).union(*(self.column(relation, name) for name in relation.schema.names))

    def rows(self, relation: ops.Relation) -> frozenset[str]:
        """Source columns that decide which rows *relation* has."""
        if relation not in self._rows:
            deciding = (self.value(node) for node in _deciding(relation))
            above = (self.rows(parent) for parent in _parents(relation))
            self._rows[relation] = frozenset().union(*deciding, *above)
        return self._rows[relation]


def _deciding(relation: ops.Relation) -> Iterator[Any]:
    """Values that decide which rows *relation* has, given its parents."""
    import ibis.expr.operations as ops

    if isinstance(relation, ops.Filter):
        yield from relation.predicates
    elif isinstance(relation, ops.Aggregate):
        yield from relation.groups.values()
    elif isinstance(relation, ops.JoinChain):
        for link in relation.rest:
            yield from link.predicates
    elif isinstance(relation, ops.DropNull):
        yield from relation.subset if relation.subset is not None else relation.parent.fields.values()
    elif isinstance(relation, ops.Distinct):
        yield from relation.parent.fields.values()
    elif isinstance(relation, ops.Limit) and isinstance(relation.parent, ops.Sort):
        yield from relation.parent.keys
    elif isinstance(relation, ops.Set) and (relation.distinct or not isinstance(relation, ops.Union)):
        yield from relation.left.fields.values()
        yield from relation.right.fields.values()


def _parents(relation: ops.Relation) -> Iterator[ops.Relation]:
    """Relations that *relation* is made from; those inside of its values (subqueries) are not among them."""
    import ibis.expr.operations as ops

    for child in relation.__args__:
        for item in child if isinstance(child, tuple) else (child,):
            if isinstance(item, ops.Relation):
                yield item
            elif isinstance(item, ops.JoinLink):
                yield item.table
