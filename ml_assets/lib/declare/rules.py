"""Ready-made rules for a split index, which is a table of one key column and ``split``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import DeclarationError
from ml_assets.lib.core.names import SPLIT
from ml_assets.lib.core.publication import Severity
from ml_assets.lib.declare.rule import Rule, rule
from ml_assets.lib.declare.where import user

if TYPE_CHECKING:
    import ibis.expr.types as ir

__all__ = ["Rule", "complete", "disjoint", "label_rates", "ordered", "rule", "shares"]


def shares(*, train: float, val: float, test: float, within: float, severity: Severity = "error") -> Rule:
    """Each split has the share of the rows that was asked for, give or take *within*; an index without rows has none.

    Raises:
        DeclarationError: A share is not between 0 and 1, they do not add up to 1, or *within* is no distance.
    """
    where = user()
    wanted = {"train": train, "val": val, "test": test}
    _require_numbers(where, "shares", **wanted, within=within)
    if max(wanted.values()) > 1 or not math.isclose(sum(wanted.values()), 1.0):
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

    A split of which no row has a label has no rate, and fails; where no row at all has one, the rule does not apply.

    Args:
        of: The source that is split.
        label: ``label(source) -> bool or null``; rows where it is null are left out.
        within: Largest lawful gap; ``None`` reports it only.
        per: Columns of the source; rates are compared within each of their combinations.
        severity: What a larger gap means.

    Raises:
        DeclarationError: *per* is no tuple of texts, or *within* is no distance.
    """
    where = user()
    given: object = per
    if isinstance(given, str):
        raise DeclarationError(f"{where}: label_rates has per={given!r}, a text", remedy=f"write per=({given!r},)")
    _require_texts(where, "label_rates", of=of, **{f"per[{i}]": name for i, name in enumerate(per)})
    if within is not None:
        _require_numbers(where, "label_rates", within=within)
    gaps = partial(_gaps, label=label, per=per)

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        found = gaps(table, source)
        if within is None:
            return found.limit(0)
        return found.filter(found["gap"].isnull() | (found["gap"] > within))

    def labelled(table: ir.Table, source: ir.Table) -> ir.IntegerScalar:
        return _labelled(table, source, label=label, per=per)[0].count()

    return Rule(
        name="label_rates",
        failing=failing,
        upstream=(of,),
        severity=severity,
        figures=gaps,
        description="Label rates of the splits" + ("." if within is None else f" within {within:g} of that of all."),
        needs={"no row has a label": labelled},
    )


_LABEL: Final = "is it"
_LABELLED: Final = "labelled rows"
"""Not spelled as a column can be."""


def _labelled(
    table: ir.Table, source: ir.Table, *, label: Callable[[ir.Table], ir.BooleanValue], per: Sequence[str]
) -> tuple[ir.Table, dict[str, str]]:
    """The rows of *table* that have a label, with the columns *per* and what these are called there."""
    import ibis.expr.types as ir

    asked = label(source)
    if not isinstance(asked, ir.BooleanValue):
        raise DeclarationError(
            "the label of label_rates is neither true nor false", remedy="return a comparison, as in source.delay > 15"
        )
    joined, names = _beside(table, source.mutate(**{_LABEL: asked}), (*per, _LABEL), ("rate", "whole", "gap"))
    return joined.filter(joined[_LABEL].notnull()), {column: names[column] for column in per}


def _gaps(
    table: ir.Table, source: ir.Table, *, label: Callable[[ir.Table], ir.BooleanValue], per: Sequence[str]
) -> ir.Table:
    """The rate of *label* in each split and in all of them together, within each combination of *per*."""
    import ibis

    known, names = _labelled(table, source, label=label, per=per)
    groups = tuple(names.values())
    counted = known.group_by(*groups, SPLIT).aggregate(**{_LABELLED: known.count(), _LABEL: known[_LABEL].sum()})
    together = ibis.window(group_by=groups)
    true, labelled = (counted[name].sum().over(together).cast("float64") for name in (_LABEL, _LABELLED))
    rates = counted.select(
        *groups, SPLIT, rate=counted[_LABEL].cast("float64") / counted[_LABELLED].cast("float64"), whole=true / labelled
    )
    rates = rates.mutate(gap=(rates["rate"] - rates["whole"]).abs())
    some = counted.aggregate(**{_LABELLED: counted.count()})
    unknown = table.select(SPLIT).distinct().anti_join(counted, SPLIT).cross_join(some.filter(some[_LABELLED] > 0))
    nothing = {name: ibis.null(kind) for name, kind in rates.schema().items() if name != SPLIT}
    return rates.union(unknown.mutate(**nothing).select(*rates.columns))


def disjoint(*, by: str, of: str, severity: Severity = "error") -> Rule:
    """No value of column *by* of source *of* is in two splits; nulls belong to nobody.

    Raises:
        DeclarationError: A name is no text.
    """
    _require_texts(user(), "disjoint", by=by, of=of)

    def grouped(table: ir.Table, source: ir.Table) -> tuple[ir.Table, str]:
        joined, names = _beside(table, source, (by,))
        return joined.filter(joined[names[by]].notnull()), names[by]

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        joined, group = grouped(table, source)
        found = _free("splits", (group,))
        in_parts = joined.group_by(group).aggregate(**{found: joined[SPLIT].nunique()})
        return in_parts.filter(in_parts[found] > 1)

    return Rule(
        name=f"disjoint_{by}",
        failing=failing,
        upstream=(of,),
        severity=severity,
        description=f"No {by} is in two splits.",
        needs={f"no row has a {by}": lambda table, source: grouped(table, source)[0].count()},
    )


def ordered(*, by: str, of: str, severity: Severity = "error") -> Rule:
    """By column *by* of source *of*, all of train lies before all of val, and that before all of test.

    A row whose *by* is null lies nowhere, and fails. Without rows in train, or in both others, nothing is compared.

    Raises:
        DeclarationError: A name is no text.
    """
    _require_texts(user(), "ordered", by=by, of=of)

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        timed, names = _beside(table, source, (by,))
        at = names[by]
        ends = {part: _free(f"{part}_end", timed.columns) for part in ("train", "val")}
        last = timed.aggregate(**{end: timed[at].max(where=timed[SPLIT] == part) for part, end in ends.items()})
        beside = timed.cross_join(last)
        early = {part: (beside[at] <= beside[end]).fill_null(False) for part, end in ends.items()}
        early_val = (beside[SPLIT] == "val") & early["train"]
        early_test = (beside[SPLIT] == "test") & (early["train"] | early["val"])
        return beside.filter(beside[at].isnull() | early_val | early_test)

    return Rule(
        name=f"ordered_{by}",
        failing=failing,
        upstream=(of,),
        severity=severity,
        description=f"By {by}: train before val before test.",
        needs={
            "no row is in train": lambda table, _: (table[SPLIT] == "train").sum(),
            "no row is in val or test": lambda table, _: table[SPLIT].isin(("val", "test")).sum(),
        },
    )


def complete(*, of: str, severity: Severity = "error") -> Rule:
    """Every key of source *of* is in the split index once, and nothing else is.

    Raises:
        DeclarationError: *of* is no text.
    """
    _require_texts(user(), "complete", of=of)

    def failing(table: ir.Table, source: ir.Table) -> ir.Table:
        import ibis

        key = _key(table)
        times, problem = (_free(name, (key,)) for name in ("times", "problem"))
        counted = table.group_by(key).aggregate(**{times: table.count()})
        keys = source.select(key).distinct()
        missing = keys.anti_join(counted, key).mutate(**{times: ibis.literal(0, "int64")})
        unknown = counted.anti_join(keys, key)
        repeated = counted.filter(counted[times] > 1)
        found = {"missing": missing, "not in the source": unknown, "more than once": repeated}
        return ibis.union(*(rows.mutate(**{problem: ibis.literal(said)}) for said, rows in found.items()))

    return Rule(
        name="complete",
        failing=failing,
        upstream=(of,),
        severity=severity,
        description=f"Every key of {of} once, and no other.",
    )


def _beside(
    table: ir.Table, source: ir.Table, columns: Sequence[str], taken: Sequence[str] = ()
) -> tuple[ir.Table, dict[str, str]]:
    """*table*, a split index, with *columns* of *source*, and what each of these is called there.

    A column has its own name unless that of the key, ``split`` or one of *taken* is equal.
    """
    key = _key(table)
    names = {column: column if column == key else _free(column, (key, SPLIT, *taken)) for column in columns}
    others = source.select(key, **{name: source[column] for column, name in names.items() if column != key})
    return table.join(others, key), names


def _free(name: str, taken: Sequence[str]) -> str:
    """*name*, with as many ``_`` behind it as make it differ from *taken*, whose case does not count."""
    lower = {other.lower() for other in taken}
    while name.lower() in lower:
        name += "_"
    return name


def _require_texts(where: str, rule: str, **given: object) -> None:
    for name, value in given.items():
        if not isinstance(value, str) or not value:
            raise DeclarationError(f"{where}: {rule} has {name}={value!r}, which is no name", remedy="give a text")


def _require_numbers(where: str, rule: str, **given: object) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DeclarationError(
                f"{where}: {rule} has {name}={value!r}, which is no number from 0", remedy="give a number, 0 or more"
            )


def _shown(wanted: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {share:g}" for part, share in wanted.items())


def _key(table: ir.Table) -> str:
    """The key column of a split index."""
    (key,) = (name for name in table.columns if name != SPLIT)
    return str(key)
