"""Which columns can make a value of an expression null: by three-valued logic, from what the contracts say.

Comparisons and functions are null where an argument is. ``fill_null``, ``isnull`` and a filter end that; a case that
was asked before is known in those that follow. An operation that this module does not know counts as null only where an
argument is, so nothing is refused by guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.types as ir

Nullable = Callable[[str, str], bool]
"""``nullable(table, column)``: whether the contract of the table lets the column be null."""

_Known = frozenset[Any]
"""Values that are not null where an expression is looked at."""


def undecided(table: ir.Table, column: str, nullable: Nullable) -> tuple[str, ...]:
    """Columns, as ``<table>.<column>``, that leave *column* of *table* undecided where they are null.

    It is undecided where it is null itself, and where a condition of one of its cases is: such a row gets what the
    last case says, without having been asked.
    """
    looked = _Look(nullable)
    field = table[column].op()
    return tuple(sorted({*looked.fallen(field, frozenset()), *looked.null(field, frozenset())}))


class _Look:
    """One look at an expression."""

    def __init__(self, nullable: Nullable) -> None:
        self._nullable = nullable
        self._seen: dict[tuple[bool, Any, _Known], frozenset[str]] = {}

    def null(self, node: Any, known: _Known) -> frozenset[str]:
        """The columns that make *node* null."""
        return self._once(False, node, known)

    def fallen(self, node: Any, known: _Known) -> frozenset[str]:
        """The columns that make a condition of a case in *node* null."""
        return self._once(True, node, known)

    def _once(self, fallen: bool, node: Any, known: _Known) -> frozenset[str]:
        key = (fallen, node, known)
        if key not in self._seen:
            self._seen[key] = frozenset(self._fallen(node, known) if fallen else self._null(node, known))
        return self._seen[key]

    def _null(self, node: Any, known: _Known) -> Iterator[str]:
        import ibis.expr.operations as ops

        if node in known or isinstance(node, ops.IsNull | ops.NotNull | ops.Count | ops.CountStar | ops.CountDistinct):
            return
        if isinstance(node, ops.NullIf | ops.TryCast | ops.Lag | ops.Lead):
            yield f"{type(node).__name__}(…)"
        elif isinstance(node, ops.Literal):
            yield from ("a null that is written there",) if node.value is None else ()
        elif isinstance(node, ops.Field):
            yield from self._field(node, known, self.null)
        elif isinstance(node, ops.Coalesce):
            found = [self.null(argument, known) for argument in node.arg]
            yield from () if not all(found) else frozenset().union(*found)
        elif isinstance(node, ops.And | ops.Or):
            holds = isinstance(node, ops.And)
            yield from self.null(node.left, known | _facts(node.right, holds))
            yield from self.null(node.right, known | _facts(node.left, holds))
        elif isinstance(node, ops.SearchedCase | ops.IfElse):
            for _, result, there in _branches(node, known):
                yield from self.null(result, there)
        else:
            for argument in _arguments(node):
                yield from self.null(argument, known)

    def _fallen(self, node: Any, known: _Known) -> Iterator[str]:
        import ibis.expr.operations as ops

        if isinstance(node, ops.Field):
            yield from self._field(node, known, self.fallen)
        elif isinstance(node, ops.SearchedCase | ops.IfElse):
            before = known
            for condition, result, there in _branches(node, known):
                if condition is not None:
                    yield from self.null(condition, before)
                    before |= _facts(condition, holds=False)
                yield from self.fallen(result, there)
        else:
            for argument in _arguments(node):
                yield from self.fallen(argument, known)

    def _field(self, field: ops.Field, known: _Known, look: Callable[[Any, _Known], frozenset[str]]) -> Iterator[str]:
        """What *look* finds where the relation of *field* has it from."""
        import ibis.expr.operations as ops

        relation, name = field.rel, field.name
        if look == self.null and isinstance(relation, ops.UnboundTable) and self._nullable(relation.name, name):
            yield f"{relation.name}.{name}"
        if look == self.null and isinstance(relation, ops.JoinChain) and (how := _lacking(relation, name)):
            yield f"{name} (of a {how} join)"
        for value, facts in _origins(relation, name):
            yield from look(value, known | facts)


def _origins(relation: Any, name: str) -> Iterator[tuple[Any, _Known]]:
    """The values that column *name* of *relation* has, and what is known not to be null in its rows."""
    import ibis.expr.operations as ops

    if isinstance(relation, ops.Project | ops.JoinChain):
        yield relation.values[name], _joined(relation)
    elif isinstance(relation, ops.Aggregate):
        yield {**relation.groups, **relation.metrics}[name], frozenset()
    elif isinstance(relation, ops.Filter):
        facts = frozenset().union(*(_facts(predicate, holds=True) for predicate in relation.predicates))
        yield ops.Field(relation.parent, name), facts
    elif isinstance(relation, ops.DropNull):
        dropped = relation.how == "any" and (relation.subset is None or name in {of.name for of in relation.subset})
        yield ops.Field(relation.parent, name), frozenset({ops.Field(relation.parent, name)} if dropped else ())
    elif isinstance(relation, ops.FillNull):
        filled = not isinstance(relation.replacements, Mapping) or name in relation.replacements
        yield from () if filled else ((ops.Field(relation.parent, name), frozenset()),)
    elif isinstance(relation, ops.Set):
        yield from ((ops.Field(side, name), frozenset()) for side in (relation.left, relation.right))
    elif isinstance(parent := getattr(relation, "parent", None), ops.Relation) and name in parent.schema:
        yield ops.Field(parent, name), frozenset()


def _arguments(node: Any) -> Iterator[Any]:
    """The values that *node* is made from."""
    import ibis.expr.operations as ops

    for argument in node.__args__:
        for item in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(item, ops.Value):
                yield item


def _branches(node: Any, known: _Known) -> Iterator[tuple[Any, Any, _Known]]:
    """Condition, result, and what is known there, of each case in turn; the last has no condition."""
    import ibis.expr.operations as ops

    if isinstance(node, ops.IfElse):
        cases, default = [(node.bool_expr, node.true_expr)], node.false_null_expr
    else:
        cases, default = list(zip(node.cases, node.results, strict=True)), node.default
    for condition, result in cases:
        yield condition, result, known | _facts(condition, holds=True)
        known |= _facts(condition, holds=False)
    yield None, default, known


def _facts(condition: Any, holds: bool) -> _Known:
    """What is not null where *condition* is true, or false."""
    import ibis.expr.operations as ops

    if isinstance(condition, ops.Not):
        return _facts(condition.arg, not holds)
    if isinstance(condition, ops.And | ops.Or):
        if isinstance(condition, ops.And) == holds:
            return _facts(condition.left, holds) | _facts(condition.right, holds)
        return frozenset()
    if isinstance(condition, ops.NotNull | ops.IsNull):
        return frozenset({condition.arg}) if isinstance(condition, ops.NotNull) == holds else frozenset()
    if isinstance(condition, ops.Comparison) and not isinstance(condition, ops.IdenticalTo):
        return frozenset({condition.left, condition.right})
    return frozenset()


def _lacking(relation: Any, name: str) -> str:
    """The kind of join that makes column *name* null where it finds no row; empty where there is none."""
    import ibis.expr.operations as ops

    if not isinstance(relation, ops.JoinChain):
        return ""
    tables = {field.rel for field in relation.values[name].find(ops.Field)}
    for link in relation.rest:
        of_right, of_left = link.table in tables, tables - {link.table}
        if (link.how in {"left", "any_left", "asof", "outer"} and of_right) or (
            link.how in {"right", "outer"} and of_left
        ):
            return str(link.how)
    return ""


def _joined(relation: Any) -> _Known:
    """What an inner join requires to be equal, and is therefore not null in its rows."""
    import ibis.expr.operations as ops

    if not isinstance(relation, ops.JoinChain) or any(link.how != "inner" for link in relation.rest):
        return frozenset()
    return frozenset().union(
        *(_facts(predicate, holds=True) for link in relation.rest for predicate in link.predicates)
    )
