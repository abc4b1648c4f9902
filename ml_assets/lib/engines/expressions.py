"""What engines share about Ibis expressions: which columns they use, and binding them to tables that hold data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import EngineError

if TYPE_CHECKING:  # Ibis is heavy, and this package is imported whenever the graph is
    import ibis.expr.operations as ops
    import ibis.expr.types as ir
    from ibis.common.graph import Node


def columns_needed(expr: ir.Table) -> dict[str, tuple[str, ...]]:
    """The columns that *expr* uses of each of its unbound tables, in the order of the table.

    A table of which only rows are counted is listed with its first column, so that it can be read.
    """
    import ibis.expr.operations as ops

    used: dict[ops.UnboundTable, set[str]] = {node: set() for node in expr.op().find(ops.UnboundTable)}

    def use(relation: ops.Relation, names: set[str]) -> None:
        while isinstance(relation, _pass_through()):
            relation = relation.parent
        if isinstance(relation, ops.UnboundTable):
            used[relation] |= names

    for node in expr.op().find((ops.Field, ops.Relation)):
        if isinstance(node, ops.Field):
            use(node.rel, {node.name})
        elif not isinstance(node, (*_pass_through(), ops.Project, ops.Aggregate, ops.JoinChain)):
            for parent in _parents(node):  # a union, distinct, …: every column plays a part
                use(parent, set(parent.schema.names))
    use(expr.op(), set(expr.columns))
    return {
        table.name: tuple(name for name in table.schema.names if name in names) or table.schema.names[:1]
        for table, names in used.items()
    }


def bind(expr: ir.Table, tables: Mapping[str, ir.Table]) -> ir.Table:
    """*expr* with its unbound tables replaced by *tables* of their name, which may lack columns it does not use.

    Raises:
        EngineError: A table, or a column that the expression uses, is not there or has another type.
    """
    import ibis.expr.operations as ops

    needed = columns_needed(expr)
    replacements: dict[Node, Node] = {}
    for unbound in expr.op().find(ops.UnboundTable):
        if unbound.name not in tables:
            raise EngineError(
                f"the expression reads {unbound.name}, which was not given",
                remedy=f"bind it too, besides {sorted(tables)}",
            )
        for column in needed[unbound.name]:
            _check_column(unbound, tables[unbound.name], column)
        replacements[unbound] = tables[unbound.name].op()
    bound: ir.Table = expr.op().replace(replacements).to_expr()
    return bound


def _pass_through() -> tuple[type[ops.Relation], ...]:
    """Relations whose columns are those of their parent and that need none of them by themselves."""
    import ibis.expr.operations as ops

    return (ops.Filter, ops.Sort, ops.Limit, ops.JoinReference, ops.SelfReference)


def _check_column(unbound: ops.UnboundTable, table: ir.Table, column: str) -> None:
    wanted = unbound.schema[column]
    if column not in table.columns:
        problem = f"the expression uses {unbound.name}.{column}, which the table does not have"
    elif table.schema()[column].copy(nullable=True) != wanted.copy(nullable=True):
        problem = f"{unbound.name}.{column} is {table.schema()[column]}, but the contract says {wanted}"
    else:
        return
    raise EngineError(problem, remedy=f"materialize {unbound.name} with its present contract, or correct the contract")


def _parents(node: ops.Relation) -> Iterator[ops.Relation]:
    """Relations that *node* takes its rows from."""
    import ibis.expr.operations as ops

    for argument in node.__args__:
        for item in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(item, ops.Relation):
                yield item
