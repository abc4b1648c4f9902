"""Contracts judge alike on every engine, and as Python would: patterns, bounds, nulls, numbers that are not finite."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

import pyarrow as pa
import pytest

from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.declare import Column, Contract, Field, Int32, SourceContract, Timestamp
from ml_assets.lib.engines import Session, engine
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.spark import JARS, MARKS


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=MARKS)])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session of each engine."""
    made = engine("spark", threads=2, jars=JARS) if request.param == "spark" else engine("duckdb")
    with made.session(NoTables()) as opened:
        yield opened


def judged(session: Session, contract: type[Contract], rows: list[dict[str, Any]]) -> CheckResult:
    """The verdict of *contract* on *rows*."""
    return contract.audit(session.offer(pa.Table.from_pylist(rows, schema=contract.arrow_schema())))


PATTERNS: Final = (
    r"EUR$|USD$", r"EUR|USD", r"^EUR$", r"^EUR|USD$", r"(EUR|USD)$", r"(?:EUR)+$", r"(?P<c>E)UR", r"[A-Z]{2}$",
    r"[^A-Z]", r".$", r"..$", r"\d{4}-\d\d$", r"\D+$", r"\w+$", r"\W", r"\s$", r"\S+$", r"[\s\d]+$", r"[^\s\d]+$",
    r"[\S]+$", r"a|", r"", r"a?b*?c{2,}$", r"\.\*\[$", r"[\]\-^&a]+$", r"é+$", r"[à-ü]$", "\N{GRINNING FACE}$", r"x\Z",
    r"\Ax", r"\t|\n", r"-?\d+$", r"(a|b){2}$", r"a{0,1000}$", "`'\"\\\\$",
)  # fmt: skip
VALUES: Final = (
    "EUR", "USD", "xUSD", "EURx", "EUR\n", "", "a", "ab", "bb", "cc", "abbccc", "12", "2024-12", "2024-12\n", "é", "éé",
    "ü", "\N{GRINNING FACE}", "\N{GRINNING FACE}\N{GRINNING FACE}", " ", "\n", "\t", "\x0b", "\x1c", "\xa0", "\u0661",
    "\u2028", "\r", "x", "x\r", "&", "^-]", ".*[", "`'\"\\", "A\nB", "-5", "a" * 1000, "a" * 1001, "AB",
)  # fmt: skip


def test_patterns_mean_the_same_everywhere(session: Session) -> None:
    r"""A pattern is one group from the beginning; ``$`` is the very end, ``\d``, ``\w`` and ``\s`` are ASCII."""
    columns = tuple(
        Column(name=f"p{i}", type="string", constraints={"str_matches": pattern}) for i, pattern in enumerate(PATTERNS)
    )
    contract = SourceContract.of("Patterns", columns, unique=(), description="", where="")
    expected: dict[str, int] = {}
    for i, pattern in enumerate(PATTERNS):
        exact = re.compile(re.sub(r"(?<!\\)\$", r"\\Z", pattern), re.ASCII)
        broken = sum(exact.match(value) is None for value in VALUES)
        expected |= {f"p{i}: str_matches": broken} if broken else {}
    found = judged(session, contract, [{column.name: value for column in columns} for value in VALUES])
    assert dict(found.counts) == expected


class Values(SourceContract):
    """Every type with its constraints."""

    _id: str = Field(description="Key")
    whole: int = Field(description="Whole", ge=-(2**63), lt=2**63 - 1, nullable=True)
    small: Int32 = Field(description="Small", isin=(0, 1), nullable=True)
    real: float = Field(description="Real", ge=0, le=1.5, nullable=True)
    free: float = Field(description="Real", nullable=True)
    flag: bool = Field(description="Flag", isin=(True,), nullable=True)
    day: date = Field(description="Day", gt=date(2024, 1, 1), nullable=True)
    at: Timestamp = Field(
        description="Moment", ge=datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), nullable=True
    )
    größe: str = Field(description="Text", isin=("ä'\\", "b"), gt="a", nullable=True)  # noqa: PLC2401 (as users do)
    audit: str = Field(description="As a method", nullable=True)  # type: ignore[assignment]
    Config_: str = Field(description="Nearly Config", nullable=True)
    validate: str = Field(description="Has the name of one of pandera's", nullable=True)

    class Config:
        """Keys."""

        unique = ("_id",)


GOOD: Final[dict[str, Any]] = {
    "_id": "a", "whole": -(2**63), "small": 1, "real": 1.5, "free": 1e308, "flag": True, "day": date(2024, 1, 2),
    "at": datetime(2024, 1, 1, tzinfo=UTC), "größe": "ä'\\", "audit": "x", "Config_": "y", "validate": "z",
}  # fmt: skip


def test_what_is_lawful_passes(session: Session) -> None:
    """At the bounds, and where everything that may be null is."""
    empty = dict.fromkeys(GOOD) | {"_id": "b"}
    assert judged(session, Values, [GOOD, empty]) == CheckResult(check="contract", passed=True, figures={"rows": 2})


@pytest.mark.parametrize(
    ("column", "value", "rules"),
    [
        ("_id", None, {"null"}),
        ("whole", 2**63 - 1, {"lt"}),
        ("small", 2, {"isin"}),
        ("real", -0.5, {"ge"}),
        ("real", math.inf, {"le", "infinite"}),
        ("real", -math.inf, {"ge", "infinite"}),
        ("free", math.inf, {"infinite"}),
        ("free", -math.inf, {"infinite"}),
        ("free", math.nan, {"nan"}),
        ("flag", False, {"isin"}),
        ("day", date(2024, 1, 1), {"gt"}),
        ("at", datetime(2023, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), {"ge"}),
        ("größe", "c", {"isin"}),
        ("größe", "", {"isin", "gt"}),
    ],
)
def test_what_is_not_is_counted(session: Session, column: str, value: object, rules: set[str]) -> None:
    """Each broken rule by its name, once."""
    found = judged(session, Values, [GOOD, GOOD | {"_id": "b", column: value}])
    assert dict(found.counts) == {f"{column}: {rule}": 1 for rule in rules}
    assert not found.passed
