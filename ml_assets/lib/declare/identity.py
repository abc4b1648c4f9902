"""Identity of an expression: a hash of its operation graph that changes exactly when what it computes may.

Source: this project's own ``expr1``. Relations and values are numbered in the order of the first visit, so names of
Python variables, formatting and hash seeds do not matter; literals, types, table names and table schemas do. SQL text
is not used: it changes with releases of the compiler and has no column types. Operation names are Ibis', so an identity
is recorded beside the Ibis version.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import hashlib
import json
from collections.abc import Callable
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import NotIdentifiable

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.common.graph import Node

PREFIX: Final = "expr1"


def expr1(expression: ir.Expr) -> str:
    """``expr1:`` and 64 hexadecimal digits; equal on every machine with the same Ibis version.

    Raises:
        NotIdentifiable: Part of what *expression* computes is not in its graph.
    """
    return f"{PREFIX}:{hashlib.sha256(canonical(expression).encode()).hexdigest()}"


def canonical(expression: ir.Expr) -> str:
    """The operation graph of *expression* as compact JSON, the text that `expr1` hashes.

    Raises:
        NotIdentifiable: Part of what *expression* computes is not in its graph.
    """
    graph = _Graph()
    root = graph.number(expression.op())
    return json.dumps([PREFIX, root, graph.nodes], separators=(",", ":"), ensure_ascii=False)


def made_with() -> str:
    """The library whose operation names the identity depends on, with its version."""
    import ibis

    return f"ibis {ibis.__version__}"


class _Graph:
    """Operations, numbered in the order of the first visit; children come before their parents."""

    def __init__(self) -> None:
        self.nodes: list[list[Any]] = []
        self._numbers: dict[Node, int] = {}

    def number(self, node: Node) -> int:
        """The number of *node*, encoding it on the first visit."""
        if node in self._numbers:
            return self._numbers[node]
        _refuse(node)
        # A self-reference carries a counter of the process, which says nothing about the expression.
        hidden = {"identifier"} if type(node).__name__ == "SelfReference" else set()
        names = [name for name in node.__argnames__ if name not in hidden]
        encoded = [type(node).__name__, [[name, self.encode(getattr(node, name))] for name in names]]
        self._numbers[node] = len(self.nodes)
        self.nodes.append(encoded)
        return self._numbers[node]

    def encode(self, value: Any) -> Any:
        """One argument of an operation as JSON."""
        from ibis.common.graph import Node

        if isinstance(value, Node):
            return ["@", self.number(value)]
        if isinstance(value, dict):
            return ["dict", [[self.encode(key), self.encode(item)] for key, item in value.items()]]
        if isinstance(value, tuple | list):
            return ["seq", [self.encode(item) for item in value]]
        if isinstance(value, set | frozenset):
            return ["set", sorted(json.dumps(self.encode(item)) for item in value)]
        return _encode_leaf(value)


def _encode_leaf(value: Any) -> Any:
    """An argument that holds no operation as JSON.

    Raises:
        NotIdentifiable: A kind of value that no encoding is defined for.
    """
    for kind, encoding in _leaves():
        if isinstance(value, kind):
            return encoding(value)
    raise NotIdentifiable(
        f"the expression holds a value of type {type(value).__name__}, which has no identity",
        remedy="use Python numbers, strings, dates, decimals or bytes as literals",
    )


@cache
def _leaves() -> tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...]:
    """Kinds of values with their encodings; the first kind that fits counts."""
    from ibis.expr.datatypes import DataType
    from ibis.expr.operations import Namespace
    from ibis.expr.schema import Schema

    return (
        ((bool, int, str, NoneType), lambda v: v),
        (float, lambda v: ["float", v.hex()]),
        (DataType, lambda v: ["type", str(v)]),
        (Schema, lambda v: ["schema", [[name, str(kind)] for name, kind in v.items()]]),
        (enum.Enum, lambda v: ["enum", type(v).__name__, str(v.value)]),
        ((dt.datetime, dt.date, dt.time), lambda v: [type(v).__name__, v.isoformat()]),
        (dt.timedelta, lambda v: ["timedelta", v // dt.timedelta(microseconds=1)]),
        (decimal.Decimal, lambda v: ["decimal", str(v)]),
        (bytes, lambda v: ["bytes", v.hex()]),
        (Namespace, lambda v: ["ns", v.catalog, v.database]),
    )


@cache
def _refusals() -> tuple[tuple[tuple[type, ...], str, str], ...]:
    """Operations whose content is not in the graph: kinds, what they are, what to do instead."""
    import ibis.expr.operations as ops
    from ibis.expr.operations import vectorized

    return (
        ((ops.RandomScalar, ops.RandomUUID, ops.Sample), "chance", "hash a key with a salt instead, as the splits do"),
        ((ops.TimestampNow, ops.DateNow), "the time of the run", "compare with a time column of a source"),
        ((ops.InMemoryTable,), "a table in memory", "take the rows from a source"),
        ((ops.SQLQueryResult, ops.SQLStringView, ops.AliasedRelation), "SQL text", "write it with Ibis expressions"),
        ((vectorized.VectorizedUDF, ops.Impure), "a function of its own (UDF)", "write it with Ibis expressions"),
        ((ops.DatabaseTable,), "a table of a connection", "take the table as a parameter of the function"),
        ((ops.ScalarParameter, ops.RowID), "something outside of the tables' columns", "use literals and columns"),
    )


def _refuse(node: Node) -> None:
    """Let *node* pass.

    Raises:
        NotIdentifiable: Its content is not in the graph.
    """
    for kinds, meaning, remedy in _refusals():
        if isinstance(node, kinds):
            raise NotIdentifiable(
                f"the expression uses {meaning} ({type(node).__name__}), which its identity cannot cover", remedy=remedy
            )
