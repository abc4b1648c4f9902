"""A rule: what a table is judged by beyond its contract, as a function that returns the rows that break it.

A rule stays in the engine: the failing rows are counted there and only a few examples leave it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, get_args

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.publication import CheckResult, Severity
from ml_assets.lib.declare.plain import EXAMPLES, plain_rows
from ml_assets.lib.declare.where import of_function, user

if TYPE_CHECKING:
    import ibis.expr.types as ir

FIGURES: Final = 100
"""Most rows of figures that a verdict keeps of one rule."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that must hold.

    Attributes:
        name: Name of the check.
        failing: ``failing(table, *upstream) -> ir.Table``: the rows that break the rule; none where it holds. Of a
            filter a row also breaks it if the filter's outcome is null though no column that it reads is.
        upstream: Names of the tables it needs beside the judged one: upstream tables of the declaration.
        severity: ``error`` stops the publish, ``warn`` is shown only.
        description: What holds.
        figures: Like *failing*, but a few rows worth showing whether or not the rule holds.
        needs: What must be there for the rule to say anything: for each reason why it does not apply, what counts the
            things to compare. A rule that has nothing to compare has not passed.
    """

    name: str
    failing: Callable[..., ir.Table]
    upstream: tuple[str, ...] = ()
    severity: Severity = "error"
    description: str = ""
    figures: Callable[..., ir.Table] | None = None
    needs: Mapping[str, Callable[..., ir.IntegerScalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not isinstance(self.failing, FunctionType | partial):
            raise DeclarationError(
                f"{user()}: rule {name!r} of {self.failing!r} has no name, or is no function",
                remedy="write a function (table, <upstream>, …) -> the rows that break it, with @rule()",
            )
        if self.severity not in get_args(Severity):
            raise DeclarationError(
                f"{user()}: rule {self.name!r} has severity {self.severity!r}", remedy="write 'error' or 'warn'"
            )

    @property
    def where(self) -> str:
        """``file:line`` of the function."""
        return of_function(self.failing)

    def audit(self, table: ir.Table, upstream: Mapping[str, ir.Table]) -> CheckResult:
        """Judge *table*, with the *upstream* tables at hand; all bound to one engine.

        Returns:
            The failing rows counted, at most `EXAMPLES` of them, and the figures as ``{"rows": […]}``.
        """
        others = [upstream[name] for name in self.upstream]
        broken = self.failing(table, *others)
        found = {self.name: broken}
        if (undecided := _undecided(broken)) is not None:
            found[f"{self.name}: undecided"] = undecided
        counted = {name: _number(rows.count()) for name, rows in found.items()}
        counts = {name: count for name, count in counted.items() if count}
        figures = {} if self.figures is None else {"rows": plain_rows(self.figures(table, *others), FIGURES)}
        reason = "" if counts else self._nothing(table, others)
        return CheckResult(
            check=self.name,
            passed=not counts and not reason,
            severity=self.severity,
            rows_failed=sum(counts.values()),
            counts=counts,
            examples=tuple({**row, "rule": name} for name in counts for row in plain_rows(found[name], EXAMPLES)),
            figures=figures,
            not_applicable=reason,
        )

    def _nothing(self, table: ir.Table, others: Sequence[ir.Table]) -> str:
        """Why the rule has nothing to compare; empty where it has."""
        if _number(table.count()) == 0:
            return "there are no rows"
        return next((why for why, things in self.needs.items() if _number(things(table, *others)) == 0), "")


def _number(scalar: ir.Scalar) -> int:
    """A count; of nothing it is 0."""
    return int(scalar.to_pyarrow().as_py() or 0)


def _undecided(failing: ir.Table) -> ir.Table | None:
    """Rows for which the last filter of *failing* gives null though no column that it reads is null.

    ``None`` where there is no filter, or where no such row can be: a comparison of what is there has an outcome.
    """
    import ibis
    import ibis.expr.operations as ops

    relation = failing.op()
    while isinstance(relation, ops.Project | ops.Sort | ops.Limit):
        relation = relation.parent
    if not isinstance(relation, ops.Filter):
        return None
    decided = (ops.Field, ops.Literal, ops.Comparison, ops.And, ops.Or, ops.Not, ops.IsNull, ops.NotNull, ops.InValues)
    reads: set[Any] = set()
    strange = False
    for node in chain.from_iterable(predicate.find(ops.Value, filter=ops.Value) for predicate in relation.predicates):
        reads |= {node} if isinstance(node, ops.Field) and node.rel == relation.parent else set()
        strange |= not isinstance(node, decided)
    if not strange or not reads:
        return None
    outcome = ibis.and_(*(predicate.to_expr() for predicate in relation.predicates))
    there = (column.to_expr().notnull() for column in sorted(reads, key=lambda column: str(column.name)))
    return relation.parent.to_expr().filter(outcome.isnull(), *there)


def rule(*, name: str | None = None, severity: Severity = "error") -> Callable[[Callable[..., Any]], Rule]:
    """Declare a rule: ``(table, <upstream>, …) -> the rows that break it``.

    Its name is the function's unless given, its description the docstring, its upstream tables the further parameters.
    """

    def declare(failing: Callable[..., Any]) -> Rule:
        function: object = failing
        return Rule(
            name=getattr(function, "__name__", "") if name is None else name,
            failing=failing,
            upstream=tuple(inspect.signature(failing).parameters)[1:] if isinstance(function, FunctionType) else (),
            severity=severity,
            description=inspect.getdoc(failing) or "",
        )

    return declare
