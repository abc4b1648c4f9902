"""Contracts and rules judge alike on every engine: patterns, bounds, nulls, what is not finite, nothing to compare."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.declare import (
    Column,
    Contract,
    Field,
    Int32,
    SourceContract,
    Timestamp,
    by_hash,
    by_time,
    complete,
    disjoint,
    label_rates,
    ordered,
    rule,
)
from ml_assets.lib.engines import Session, engine
from ml_assets.lib.gate.units.frames import quality
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


def test_an_outcome_that_nobody_knows_is_broken(session: Session) -> None:
    """Of a value that is there; a null is asked nothing. No class could write this contract."""
    column = Column(name="a", type="int64", nullable=True, constraints={"isin": (1, None)})
    contract = SourceContract.of("Unknown", (column,), unique=(), description="", where="")
    assert dict(judged(session, contract, [{"a": 1}, {"a": 2}, {"a": None}]).counts) == {"a: isin": 1}


def split_of(
    session: Session, parts: list[str | None], key: str = "key", **columns: list[Any]
) -> tuple[ir.Table, dict[str, ir.Table]]:
    """An index of these parts, and the source it splits, with *columns* beside its key."""
    keys = [f"f{i}" for i in range(len(parts))]
    index = pa.table({key: pa.array(keys, pa.string()), "split": pa.array(parts, pa.string())})
    source = pa.table({key: pa.array(keys, pa.string()), **{name: pa.array(v) for name, v in columns.items()}})
    return session.offer(index), {"flights": session.offer(source)}


def late(flights: ir.Table) -> ir.BooleanValue:
    """A label."""
    found: ir.BooleanValue = flights.delay > 15
    return found


HOURS: Final = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in range(6)]


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_ordered_asks_rows_without_a_time(session: Session, part: str) -> None:
    """In whichever part they are: what has no time lies nowhere."""
    index, upstream = split_of(session, ["train", "val", "test", part], ts=[*HOURS[:3], None])
    result = ordered(by="ts", of="flights").audit(index, upstream)
    assert (result.passed, dict(result.counts)) == (False, {"ordered_ts": 1})
    assert result.examples[0]["key"] == "f3"


@pytest.mark.parametrize(
    ("parts", "passed", "reason"),
    [
        (["train", "val", "test"], True, ""),
        (["train", "test", "test"], True, ""),
        (["train", "train", "train"], False, "no row is in val or test"),
        (["val", "val", "test"], False, "no row is in train"),
        ([], False, "there are no rows"),
        (["test", "val", "val"], False, ""),
    ],
)
def test_ordered_compares_parts_that_are_there(
    session: Session, parts: list[str | None], passed: bool, reason: str
) -> None:
    """What cannot be compared has not passed; what is in the wrong order fails, also without train."""
    index, upstream = split_of(session, parts, ts=HOURS[: len(parts)])
    result = ordered(by="ts", of="flights").audit(index, upstream)
    assert (result.passed, result.not_applicable) == (passed, reason)
    assert bool(result.counts) == (not passed and not reason)


def test_label_rates_without_labels(session: Session) -> None:
    """No label at all: nothing to compare. None in one part: that part has no rate, and fails."""
    parts: list[str | None] = ["train", "train", "val", "test"]
    rates = label_rates(of="flights", within=0.1, label=late)
    index, upstream = split_of(session, parts, delay=pa.array([None] * 4, pa.int32()))
    nothing = rates.audit(index, upstream)
    assert (nothing.passed, nothing.not_applicable, nothing.counts) == (False, "no row has a label", {})
    index, upstream = split_of(session, parts, delay=[20, 20, 20, None])
    result = rates.audit(index, upstream)
    assert (result.passed, dict(result.counts)) == (False, {"label_rates": 1})
    assert {**result.examples[0]} == {"split": "test", "rate": None, "whole": None, "gap": None, "rule": "label_rates"}
    shown = label_rates(of="flights", within=None, label=late).audit(index, upstream)
    assert shown.passed
    assert shown.figures == result.figures


def test_disjoint_and_complete_of_nothing(session: Session) -> None:
    """No group that is known, and no row: nothing was compared."""
    index, upstream = split_of(session, ["train", "val"], tail=pa.array([None, None], pa.string()))
    found = disjoint(by="tail", of="flights").audit(index, upstream)
    assert (found.passed, found.not_applicable) == (False, "no row has a tail")
    index, upstream = split_of(session, [])
    found = complete(of="flights").audit(index, upstream)
    assert (found.passed, found.not_applicable) == (False, "there are no rows")


def test_complete_counts_keys_that_are_null(session: Session) -> None:
    """A null equals nothing, on either side."""
    index = session.offer(pa.table({"key": ["a", None], "split": ["train", "val"]}))
    result = complete(of="flights").audit(index, {"flights": index.select("key")})
    assert not result.passed
    assert {row["problem"] for row in result.examples} == {"missing", "not in the source"}


TAKEN: Final = ("split", "splits", "late", "rate", "whole", "gap", "labelled", "times", "problem", "train_end",
                "val_end", "Split", "key_right", "split_right", "key")  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_ready_made_rules_take_no_name(session: Session, name: str) -> None:
    """Each rule finds the same, however the user's column is called that it reads, or the key."""
    parts: list[str | None] = ["train", "val", "test", "train"]
    values = ["a", "a", "b", None]
    columns: dict[str, list[Any]] = {"delay": [20, 0, 20, 0], **({} if name == "key" else {name: values})}
    index, upstream = split_of(session, parts, "key", **columns)
    shared = disjoint(by=name, of="flights").audit(index, upstream)
    assert shared.counts == ({} if name == "key" else {f"disjoint_{name}": 1})
    assert ordered(by=name, of="flights").audit(index, upstream).counts == {f"ordered_{name}": 2}
    rates = label_rates(of="flights", per=(name,), within=0.1, label=late).audit(index, upstream)
    assert rates.counts == ({} if name == "key" else {"label_rates": 2})
    if name.lower() != "split":
        index, upstream = split_of(session, parts, key=name, delay=[20, 0, 20, 0])
        assert complete(of="flights").audit(index, upstream).passed
        assert label_rates(of="flights", within=0.5, label=late).audit(index, upstream).passed
        assert not ordered(by="delay", of="flights").audit(index, upstream).passed


@rule()
def no_share_above_one(table: ir.Table) -> ir.Table:
    """The share is at most one; of nothing it is not known."""
    return table.filter(table.part / table.whole.nullif(0) > 1).select("id")


def test_an_outcome_that_is_null_for_values_that_are_there_is_broken(session: Session) -> None:
    """A rule says nothing about a null; about what is there it must say something."""
    rows = {"id": [1, 2, 3, 4], "part": [1.0, 1.0, 3.0, None], "whole": [2.0, 0.0, 2.0, 2.0]}
    result = no_share_above_one.audit(session.offer(pa.table(rows)), {})
    assert dict(result.counts) == {"no_share_above_one": 1, "no_share_above_one: undecided": 1}
    assert [(row["id"], row["rule"]) for row in result.examples] == [
        (3, "no_share_above_one"), (2, "no_share_above_one: undecided"),
    ]  # fmt: skip
    good = {"id": [1, 4], "part": [1.0, None], "whole": [2.0, 2.0]}
    assert no_share_above_one.audit(session.offer(pa.table(good)), {}).passed
    nothing = no_share_above_one.audit(session.offer(pa.table(good)).limit(0), {})
    assert (nothing.passed, nothing.not_applicable) == (False, "there are no rows")


def test_split_helpers_on_rows(session: Session) -> None:
    """The same parts on each engine; a null is in none."""
    table = session.offer(pa.table({"k": ["a", "b", None, "é"], "t": pa.array([*HOURS[:3], None])}))
    cut = {"val": HOURS[1], "test": HOURS[2]}
    rows = table.select(
        "k", hashed=by_hash(table.k, salt="s", train=0.5, val=0.5), timed=by_time(table.t, **cut)
    ).to_pyarrow()
    assert {row["k"]: (row["hashed"], row["timed"]) for row in rows.to_pylist()} == {
        "a": ("val", "train"), "b": ("train", "val"), None: (None, "test"), "é": ("val", None),
    }  # fmt: skip


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e308, -1e308, 1e200])
def test_figures_bear_every_double(session: Session, value: float) -> None:
    """What no engine can square has no mean; the other columns have theirs, and no engine fails."""
    rows = {"x": [1.0, value, None], "y": [1.0, 2.0, None], "n": pa.array([2**62, 2**62, None]), "t": ["a", None, "b"]}
    figures = quality(session.offer(pa.table(rows)), 3)
    assert figures["x"] == {"null_rate": 0.333333}
    assert figures["y"] == {"null_rate": 0.333333, "mean": 1.5, "std": 0.707107}
    assert figures["n"] == {"null_rate": 0.333333, "mean": 4.61169e18, "std": 0.0}
    assert figures["t"] == {"null_rate": 0.333333}
    assert figures.keys() == rows.keys()
