"""Judges a table by its contract, in the table's own engine.

The judge is pandera: its checks are taken from the contract's `pandera.ibis` model. They are evaluated here and not by
pandera's ``validate`` because of what that does once a check fails on an Ibis table: it fetches the outcome of every
row, pairs it with the rows by position (which an engine that keeps no order does not promise), runs one query per
check, and counts nothing. Here all checks are counted in one query, duplicate keys in a second, and a few examples are
fetched for each rule that is broken. A test holds both verdicts equal.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.checks import CONTRACT
from ml_assets.lib.declare.pattern import portable
from ml_assets.lib.declare.plain import EXAMPLES, plain_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.expr.datatypes import DataType
    from pandera.ibis import DataFrameModel

    from ml_assets.lib.declare.columns import Column
    from ml_assets.lib.declare.contracts import Contract

_FORGETS_OFFSETS: Final = "PYARROW_IGNORE_TIMEZONE"


@dataclass(frozen=True, slots=True)
class _Finding:
    """One rule that does not hold."""

    rule: str
    count: int
    examples: list[dict[str, Json]]


@dataclass(frozen=True, slots=True)
class _CellRule:
    """One rule about the cells of a column: true in *broken* where a cell breaks it."""

    name: str
    column: str
    broken: ir.BooleanValue


def audit(contract: type[Contract], table: ir.Table) -> CheckResult:
    """See `Contract.audit`."""
    structure = list(_structure(contract, table))
    unsound = {finding.rule.rpartition(":")[0] for finding in structure}
    sound = [column.name for column in contract.columns() if column.name not in unsound]
    rules = list(_cell_rules(contract, table, sound))
    rows, counts = _count(table, rules)
    findings = [*structure, *_cells(contract, table, rules, counts), *_duplicates(contract, table, sound)]
    if rows == 0 and not contract.may_be_empty:
        findings.append(_Finding("rows", 1, [{"asked": "at least one row"}]))
    return CheckResult(
        check=CONTRACT.name,
        passed=not findings,
        rows_failed=sum(finding.count for finding in findings),
        counts={finding.rule: finding.count for finding in findings},
        examples=tuple({**example, "rule": finding.rule} for finding in findings for example in finding.examples),
        figures={"rows": rows},
    )


def same_type(found: DataType, asked: str) -> bool:
    """Whether a column of Ibis type *found* is what a contract spells as *asked*.

    Nullability does not count, nor does the precision of a timestamp: engines and literals report it differently, and
    every timestamp is written in microseconds.
    """
    if found.is_timestamp():
        return asked == f"timestamp({found.timezone!r}, 6)"
    return str(found.copy(nullable=True)) == asked


def _structure(contract: type[Contract], table: ir.Table) -> Iterator[_Finding]:
    """Columns that are missing, wrongly typed, or not in the contract."""
    found = dict(table.schema().items())
    for column in contract.columns():
        if column.name not in found:
            yield _Finding(f"{column.name}: missing", 1, [{"asked": column.type}])
        elif not same_type(found[column.name], column.type):
            kind = str(found[column.name].copy(nullable=True))
            yield _Finding(f"{column.name}: type", 1, [{"asked": column.type, "found": kind}])
    for name in found.keys() - set(contract.names()):
        yield _Finding(f"{name}: extra", 1, [{"found": str(found[name].copy(nullable=True))}])


def _count(table: ir.Table, rules: Sequence[_CellRule]) -> tuple[int, list[int]]:
    """The number of rows, and of the cells that break each rule: one query."""
    broken = {f"rule {i}": rule.broken.sum().fill_null(0) for i, rule in enumerate(rules)}
    (counts,) = table.aggregate(rows=table.count(), **broken).to_pyarrow().to_pylist()
    return int(counts["rows"]), [int(counts[name]) for name in broken]


def _cells(
    contract: type[Contract], table: ir.Table, rules: Sequence[_CellRule], counts: Sequence[int]
) -> Iterator[_Finding]:
    """The rules that are broken, with examples: the value and the unique columns of its row."""
    for rule, count in zip(rules, counts, strict=True):
        if count:
            shown = dict.fromkeys((*(key for key in contract.unique() if key in table.columns), rule.column))
            yield _Finding(rule.name, count, plain_rows(table.filter(rule.broken).select(*shown), EXAMPLES))


def _cell_rules(contract: type[Contract], table: ir.Table, sound: list[str]) -> Iterator[_CellRule]:
    """Every rule about the cells of the *sound* columns."""
    schema = contract.to_pandera().to_schema()
    from pandera.api.ibis.types import IbisData  # after the import that keeps the environment as it is

    for name in sound:
        column = schema.columns[name]
        if not column.nullable:
            yield _CellRule(f"{name}: null", name, table[name].isnull())
        for check in column.checks:
            outcome = check.get_backend(table)(check).check_fn(IbisData(table, name))
            holds = outcome if not hasattr(outcome, "columns") else _column_of(outcome, name)
            broken = ~holds.fill_null(False)  # an outcome that nobody knows, of a value that is there, is broken
            yield _CellRule(f"{name}: {_WORDS.get(check.name, check.name)}", name, table[name].notnull() & broken)


_WORDS: Final = {
    "greater_than": "gt",
    "greater_than_or_equal_to": "ge",
    "less_than": "lt",
    "less_than_or_equal_to": "le",
}
"""Names of pandera's checks, in the words that a contract uses."""


def _column_of(outcome: ir.Table, name: str) -> ir.BooleanValue:
    """The column *name* of a projection as an expression over what it projects, so that rules share one query."""
    holds: ir.BooleanValue = outcome.op().values[name].to_expr()
    return holds


_TIMES: Final = "times found"
"""Not spelled as a column can be."""


def _duplicates(contract: type[Contract], table: ir.Table, sound: list[str]) -> Iterator[_Finding]:
    """Rows beyond the first of their key; the examples are keys with the number of their rows."""
    keys = contract.unique()
    if not keys or not set(keys) <= set(sound):
        return
    repeated = table.group_by(*keys).aggregate(**{_TIMES: table.count()}).filter(lambda t: t[_TIMES] > 1)
    beyond = repeated.aggregate(beyond=(repeated[_TIMES] - 1).sum().fill_null(0))
    if count := int(beyond.to_pyarrow().to_pylist()[0]["beyond"]):
        yield _Finding(f"unique({', '.join(keys)})", count, plain_rows(repeated, EXAMPLES))


def pandera_model(contract: type[Contract]) -> type[DataFrameModel]:
    """See `Contract.to_pandera`."""
    import ibis

    pandera = _import_pandera()
    pandera.DataFrameSchema.register_default_backends(ibis.Table)  # a schema made earlier knows no check for Ibis
    annotations: dict[str, Any] = {}
    body: dict[str, Any] = {"__annotations__": annotations, "__doc__": contract.__doc__}
    for i, column in enumerate(contract.columns()):  # pandera drops an attribute that begins with "_", or has its own
        annotations[f"column_{i}"] = ibis.dtype(column.type)
        body[f"column_{i}"] = pandera.Field(
            alias=column.name,
            nullable=column.nullable,
            description=column.description,
            n_failure_cases=EXAMPLES,
            **_constraints(column),
        )
        if pattern := column.constraints.get("str_matches"):  # pandera's own would be compiled by Python
            matches = partial(_matches, pattern=rf"\A{portable(pattern)}")
            body[f"pattern_{i}"] = pandera.check(column.name, name="str_matches", n_failure_cases=EXAMPLES)(matches)
    doubles = [column.name for column in contract.columns() if column.type == "float64"]
    if doubles:
        for name, holds in (("nan", _no_nan), ("infinite", _finite)):
            body[f"check_{name}"] = pandera.check(*doubles, name=name, n_failure_cases=EXAMPLES)(holds)
    body["Config"] = type("Config", (), {"strict": True, "unique": list(contract.unique()) or None})
    model: type[DataFrameModel] = type(contract.__name__, (pandera.DataFrameModel,), body)
    return model


def _import_pandera() -> ModuleType:
    """Pandera's Ibis part, without what importing it does to the process.

    It sets a variable for the sake of Spark that makes Arrow forget the offset of every aware time from then on, in
    child processes too.
    """
    before = os.environ.get(_FORGETS_OFFSETS)
    import pandera.ibis

    if before is None:
        os.environ.pop(_FORGETS_OFFSETS, None)
    return pandera.ibis


def _constraints(column: Column) -> dict[str, Any]:
    """The constraints of *column* as pandera takes them."""
    given = {name: value for name, value in column.constraints.items() if name != "str_matches"}
    return {name: list(value) if name == "isin" else value for name, value in given.items()}


def _matches(_model: type, data: Any, *, pattern: str) -> ir.BooleanValue:
    """Whether a text begins with *pattern*, as both engines read it."""
    found: ir.BooleanValue = data.table[data.key].re_search(pattern)
    return found


def _no_nan(_model: type, data: Any) -> ir.BooleanValue:
    """What is not known is null: a NaN would be another value to a digest, and the largest of all to an engine."""
    number: ir.BooleanValue = ~data.table[data.key].isnan()
    return number


def _finite(_model: type, data: Any) -> ir.BooleanValue:
    """An infinite value is a division by zero or an overflow, and no engine can take a mean of it."""
    finite: ir.BooleanValue = data.table[data.key].abs() < math.inf
    return finite | data.table[data.key].isnan()
