"""Columns of drawn contracts: names, types, constraints, as text and as what the drawn rows keep."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ml_assets_tests.drawn.choices import Chooser

TYPES: Final = ("str", "int", "Int32", "float", "bool", "date", "Timestamp")

ODD_NAMES: Final = (
    "_id", "_synced", "größe", "Anzahl_日", "Betrag", "select", "order", "group", "table", "user", "rows", "count",
    "index", "key", "name", "late", "times", "problem", "splits", "rate", "gap", "share", "judged", "rule",
    "probability", "value", "level_0", "rowid", "filename", "train_end", "schema", "execute", "params", "seed",
    "metadata", "validate", "example", "strategy", "get_metadata", "to_schema", "checks", "a" * 80, "l", "s", "m",
    "k", "where", "columns", "unique", "audit", "may_be_empty", "of", "mro",
)  # fmt: skip
"""Lawful, and used by the machinery or spelled unlike others."""

WRONG_NAMES: Final = ("__x", "ﬁ", "Config", "__spine_row", "event_timestamp", "split", "label", "__doc__", "__class__")
"""Names that something has already."""


@dataclass(frozen=True)
class Column:
    """A drawn column: of a contract, with what its drawn values keep."""

    name: str
    type: str
    nullable: bool = False
    constraints: tuple[str, ...] = ()
    keeps: Callable[[Any], bool] = lambda _: True
    role: str = "value"

    @property
    def text(self) -> str:
        """The line of the contract."""
        given = [*(["nullable=True"] if self.nullable else []), *self.constraints, 'description="Drawn"']
        return f"    {self.name}: {self.type} = Field({', '.join(given)})"


class Names:
    """Names of columns, each given once; by chance odd ones."""

    def __init__(self, choose: Chooser) -> None:
        self._choose = choose
        self._given: list[str] = []

    def of(self, plain: str) -> str:
        """A new name: *plain*, or another."""
        name = plain
        if self._choose.chance(1, 8):
            name = self._choose.of(ODD_NAMES)
        name = self._choose.of((name,), WRONG_NAMES, what="name")
        if self._given and self._choose.odd_one("names equal but for case"):
            name = self._given[-1].swapcase()
        if name in self._given:
            name = plain
        self._given.append(name)
        return name


_BOUNDS: Final[dict[str, tuple[str, ...]]] = {
    "int": ("-5", "0", "100", "2**53 + 1", "-2**63"),
    "Int32": ("-5", "0", "100", "2**31 - 1"),
    "float": ("-1.5", "0", "0.1", "1e308", "-0.0"),
    "str": ('""', '"A"', '"b"', '"é"'),
    "bool": ("False", "True"),
    "date": ("date(2023, 1, 1)", "date(1, 1, 1)", "date(9999, 12, 31)"),
    "Timestamp": ("datetime(2023, 3, 1, tzinfo=UTC)", "datetime(1, 1, 1, tzinfo=UTC)",
                  "datetime(2024, 1, 1, 2, tzinfo=UTC)"),
}  # fmt: skip
_ODD_BOUNDS: Final = (
    '"5"', "0.5", "True", "datetime(2023, 3, 1)", "date(2023, 1, 1)", "2**70", "float('nan')", "float('inf')", "[1]",
    "b'x'", "object()", '"2023-03-01"', "5",
)  # fmt: skip
_SETS: Final[dict[str, tuple[str, ...]]] = {
    "int": ("(0, 1, 2, 3, 5, 2**63 - 1)", "[7]", "range(-5, 40)", "{1, 2}"),
    "Int32": ("(0, 1, 2)", "range(40)"),
    "float": ("(0.0, 0.5, 1.5)", "(0, 1, 0.1)"),
    "str": ('("EUR", "USD", "a")', '["", " ", "ß"]', '("a\'b", "%_", "日本")'),
    "bool": ("(True,)", "(True, False)"),
    "date": ("(date(2023, 1, 1), date(2024, 2, 29))",),
    "Timestamp": ("(datetime(1970, 1, 1, tzinfo=UTC),)",),
}
_ODD_SETS: Final = (
    '"EUR"', "()", "(None,)", '(None, "EUR", 1)', '("1", "2")', "5", "(1.5,)", "(datetime(2023, 3, 1),)", "(True, 1)",
    '{"a": 1}', "(2**40,)", "([1],)",
)  # fmt: skip
_PATTERNS: Final = (r'r"[A-Z]{3}"', r'r".*"', r'r"EUR$|USD$"', r'r"(a|b)?"', r'r"\S*$"', r'r"\d+"', r'r"^E"')
_ODD_PATTERNS: Final = (
    r'r"("', r'r"(?P<x>a)(?P=x)"', r'r"(?<=E)UR"', r'r"[[:alpha:]]+"', '""', "5", r'r"(?i)eur"', r'r"\p{L}+"',
    r'r"a{1001}"', r'r"\Z"', r'r"[\w--\d]+"', r'r"*"',
)  # fmt: skip

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "ge": lambda value, bound: bool(value >= bound),
    "gt": lambda value, bound: bool(value > bound),
    "le": lambda value, bound: bool(value <= bound),
    "lt": lambda value, bound: bool(value < bound),
}
_MEANT: Final = "from datetime import UTC, date, datetime"


def constraints(choose: Chooser, kind: str) -> tuple[tuple[str, ...], Callable[[Any], bool]]:
    """One constraint or two as text, and what values of type *kind* keep by them; none in half of the cases."""
    texts: list[str] = []
    kept: list[Callable[[Any], bool]] = []
    for asked in choose.of(((), (), (), ("ge",), ("le",), ("gt",), ("lt",), ("isin",), ("str_matches",), ("ge", "le"))):
        if asked == "str_matches":
            if kind != "str" and not choose.odd_one(f"str_matches of {kind}"):
                continue
            given = choose.of(_PATTERNS, _ODD_PATTERNS, what="str_matches")
        elif asked == "isin":
            given = choose.of(_SETS[kind], _ODD_SETS, what=f"isin of {kind}")
        else:
            if kind == "bool" and not choose.odd_one(f"{asked} of bool"):
                continue
            bounds = _BOUNDS[kind]
            given = choose.of(
                bounds[len(bounds) // 2 :] if asked in {"le", "lt"} else bounds[:2],
                _ODD_BOUNDS,
                what=f"{asked} of {kind}",
            )
        texts.append(f"{asked}={given}")
        kept.append(_kept(asked, given))
    return tuple(texts), lambda value: all(keeps(value) for keeps in kept)


def _kept(asked: str, given: str) -> Callable[[Any], bool]:
    """Whether a value keeps a constraint, as Python sees it; what makes no sense is kept by all."""
    scope: dict[str, Any] = {}
    exec(_MEANT, scope)
    bound = eval(given, scope)

    def keeps(value: Any) -> bool:
        try:
            if asked == "isin":
                return value in tuple(bound)
            if asked == "str_matches":
                return re.match(bound, value) is not None
            return _COMPARE[asked](value, bound)
        except (TypeError, re.error, ValueError):
            return True

    return keeps


def contract_text(kind: str, name: str, columns: Sequence[Column], unique: Sequence[str]) -> str:
    """The class of a contract."""
    lines = [f"class {name}({kind}):", '    """Drawn."""', "", *(column.text for column in columns)]
    if unique:
        lines += ["", "    class Config:", f"        unique = ({', '.join(map(repr, unique))},)"]
    return "\n".join(lines) + "\n"
