"""Rules: what a table is judged by beyond its contract. A rule is a function that returns the rows that break it.

A rule stays in the engine: the failing rows are counted there and only a few examples leave it. The ready-made rules
judge a split index, a table of one key column and ``split``.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.names import SPLIT
from ml_assets.lib.core.publication import CheckResult, Severity
from ml_assets.lib.declare.plain import EXAMPLES, plain_rows
from ml_assets.lib.declare.where import caller, of_function

if TYPE_CHECKING:
    import ibis.expr.types as ir

FIGURES: Final = 100
"""Most rows of figures that a verdict keeps of one rule."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that must hold.

    Attributes:
        name: Name of the check.
        failing: ``failing(table, *upstream) -> ir.Table``: the rows that break the rule; none where it holds.
        upstream: Names of the tables it needs beside the judged one: upstream tables of the declaration.
        severity: ``error`` stops the publish, ``warn`` is shown only.
        description: What holds.
        figures: Like *failing*, but a few rows worth showing whether or not the rule holds.
    """

    name: str
    failing: Callable[..., ir.Table]
    upstream: tuple[str, ...] = ()
    severity: Severity = "error"
    description: str = ""
    figures: Callable[..., ir.Table] | None = None

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
        failing = self.failing(table, *others)
        count = int(failing.count().to_pyarrow().as_py())
        figures = {} if self.figures is None else {"rows": plain_rows(self.figures(table, *others), FIGURES)}
        return CheckResult(
            check=self.name,
            passed=count == 0,
            severity=self.severity,
            rows_failed=count,
            counts={self.name: count} if count else {},
            examples=tuple({**row, "rule": self.name} for row in plain_rows(failing, EXAMPLES)) if count else (),
            figures=figures,
        )


def rule(*, name: str | None = None, severity: Severity = "error") -> Callable[[Callable[..., Any]], Rule]:
    """Declare a rule: ``(table, <upstream>, …) -> the rows that break it``.

    Its name is the function's unless given, its description the docstring, its upstream tables the further parameters.
    """

    def declare(failing: Callable[..., Any]) -> Rule:
        return Rule(
            name=name or failing.__name__,
            failing=failing,
            upstream=tuple(inspect.signature(failing).parameters)[1:],
            severity=severity,
            description=inspect.getdoc(failing) or "",
        )

    return declare


def shares(*, train: float, val: float, test: float, within: float, severity: Severity = "error") -> Rule:
    """Each split has the share of the rows that was asked for, give or take *within*; an index without rows has none.

    Raises:
        DeclarationError: The shares do not add up to 1.
    """
    wanted = {"train": train, "val": val, "test": test}
    if not math.isclose(sum(wanted.values()), 1.0):
        where = caller(sys._getframe(1))  # noqa: SLF001 (the line of the call; inspect would read the file)
        raise DeclarationError(f"{where}: shares of {_shown(wanted)} are not all rows", remedy="let them add up to 1")

    def measured(table: ir.Table) -> ir.Table:
        import ibis

        one = table.aggregate(rows=table.count(), **{part: (table[SPLIT] == part).sum() for part in wanted})
        share = {part: one[part].cast("float64") / one["rows"].cast("float64") for part in wanted}
        return ibis.union(*(one.select(split=ibis.literal(part), share=share[part]) for part in wanted))

    def failing(table: ir.Table) -> ir.Table:
        found = measured(table)
        off = [
            (found[SPLIT] == part) & (found["share"].isnull() | ((found["share"] - share).abs() > within))
            for part, share in wanted.items()
        ]
        return found.filter(off[0] | off[1] | off[2])

    return Rule(
        name="shares",
        failing=failing,
        severity=severity,
        figures=measured,
        description=f"Shares of the rows within {within:g} of {_shown(wanted)}.",
    )


def label_rates(
    *,
    of: str,
    label: Callable[[ir.Table], ir.BooleanValue],
    within: float | None,
    per: tuple[str, ...] = (),
    severity: Severity = "error",
) -> Rule:
    """The rate of a label in each split differs by at most *within* from the rate in all of them together.

    Args:
        of: The source that is split.
        label: ``label(source) -> bool or null``; rows where it is null are left out.
        within: Largest lawful gap; ``None`` reports it only.
        per: Columns of the source; rates are compared within each of their combinations.
        severity: What a larger gap means.
    """
    gaps = partial(_gaps, label=label, per=per)

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        found = gaps(table, source)
        return found.limit(0) if within is None else found.filter(found["gap"] > within)

    return Rule(
        name="label_rates",
        failing=failing,
        upstream=(of,),
        severity=severity,
        figures=gaps,
        description="Label rates of the splits" + ("." if within is None else f" within {within:g} of that of all."),
    )


def _gaps(
    table: ir.Table, source: ir.Table, *, label: Callable[[ir.Table], ir.BooleanValue], per: tuple[str, ...]
) -> ir.Table:
    """The rate of *label* in each split and in all of them together, within each combination of *per*."""
    import ibis

    key = _key(table)
    known = source.select(key, *per, late=label(source)).filter(lambda t: t["late"].notnull())
    joined = table.join(known, key)
    counted = joined.group_by(*per, SPLIT).aggregate(labelled=joined.count(), late=joined["late"].sum())
    together = ibis.window(group_by=per)
    late, labelled = (counted[name].sum().over(together).cast("float64") for name in ("late", "labelled"))
    rates = counted.select(
        *per,
        SPLIT,
        rate=counted["late"].cast("float64") / counted["labelled"].cast("float64"),
        whole=late / labelled,
    )
    return rates.mutate(gap=(rates["rate"] - rates["whole"]).abs())


def disjoint(*, by: str, of: str, severity: Severity = "error") -> Rule:
    """No value of column *by* of source *of* is in two splits; nulls belong to nobody."""

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        key = _key(table)
        groups = source.select(key, by) if by != key else source.select(key)
        joined = table.join(groups, key).filter(lambda t: t[by].notnull())
        return joined.group_by(by).aggregate(splits=joined[SPLIT].nunique()).filter(lambda t: t["splits"] > 1)

    return Rule(
        name=f"disjoint_{by}",
        failing=failing,
        upstream=(of,),
        severity=severity,
        description=f"No {by} is in two splits.",
    )


def ordered(*, by: str, of: str, severity: Severity = "error") -> Rule:
    """By column *by* of source *of*, all of train lies before all of val, and that before all of test."""

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        key = _key(table)
        timed = table.join(source.select(key, by), key)
        ends = timed.aggregate(
            train_end=timed[by].max(where=timed[SPLIT] == "train"),
            val_end=timed[by].max(where=timed[SPLIT] == "val"),
        )
        beside = timed.cross_join(ends)
        early_val = (beside[SPLIT] == "val") & (beside[by] <= beside["train_end"])
        early_test = (beside[SPLIT] == "test") & (
            (beside[by] <= beside["train_end"]) | (beside[by] <= beside["val_end"])
        )
        return beside.filter(early_val | early_test)

    return Rule(
        name=f"ordered_{by}",
        failing=failing,
        upstream=(of,),
        severity=severity,
        description=f"By {by}: train before val before test.",
    )


def complete(*, of: str, severity: Severity = "error") -> Rule:
    """Every key of source *of* is in the split index once, and nothing else is."""

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        import ibis

        key = _key(table)
        counted = table.group_by(key).aggregate(times=table.count())
        keys = source.select(key).distinct()
        nothing = ibis.literal(0, "int64")
        return ibis.union(
            keys.anti_join(counted, key).select(key, times=nothing, problem=ibis.literal("missing")),
            counted.anti_join(keys, key).select(key, "times", problem=ibis.literal("not in the source")),
            counted.filter(counted["times"] > 1).select(key, "times", problem=ibis.literal("more than once")),
        )

    return Rule(
        name="complete",
        failing=failing,
        upstream=(of,),
        severity=severity,
        description=f"Every key of {of} once, and no other.",
    )


def _shown(wanted: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {share:g}" for part, share in wanted.items())


def _key(table: ir.Table) -> str:
    """The key column of a split index."""
    (key,) = (name for name in table.columns if name != SPLIT)
    return str(key)
