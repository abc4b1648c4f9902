"""What engines, machines or zones read differently is refused at its declaration, with a remedy that is let through."""

# ruff: noqa: PLW0108 (one form for all: an expression is built when its test runs)

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import pytest
from ibis import _

from ml_assets.lib.core.errors import AmbiguousMeaning, DeclarationError
from ml_assets.lib.declare import exact_sum
from ml_assets.lib.declare.meaning import require_one_meaning
from ml_assets_tests.declare.mistakes import FRAME, PRELUDE, SPLIT, VIEW
from ml_assets_tests.declare.packages import Package
from ml_assets_tests.engines import operations
from ml_assets_tests.engines.table_of_operations import expression, total

T = ibis.table(
    {
        "id": "string", "n": "int64", "w": "int32", "x": "float64", "f": "boolean", "day": "date",
        "at": "timestamp('UTC', 6)", "then": "timestamp('UTC', 6)",
    },
    name="t",
)  # fmt: skip
U = T.select("day").view()
NEW_YORK = T.at.cast("timestamp('America/New_York')")
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 (naive on purpose)
A_WEEK = ibis.interval(days=7)

REFUSED: dict[str, tuple[Callable[[], object], str, Callable[[], object]]] = {
    # naive times, and what depends on the zone of a machine
    "naive literal": (
        lambda: T.at > NAIVE,
        r"2024-01-01T00:00:00 without a zone",
        lambda: T.at > NAIVE.replace(tzinfo=UTC),
    ),
    "naive text literal": (
        lambda: T.at > ibis.timestamp("2024-01-01 00:00"),
        "without a zone",
        lambda: T.at > ibis.timestamp("2024-01-01T00:00:00Z"),
    ),
    "naive literal in a list": (
        lambda: T.at.isin([NAIVE]),
        "without a zone",
        lambda: T.at.isin([NAIVE.replace(tzinfo=UTC)]),
    ),
    "naive literal in between": (
        lambda: T.at.between(NAIVE, NAIVE),
        "without a zone",
        lambda: T.at.between(*[NAIVE.replace(tzinfo=UTC)] * 2),
    ),
    "naive literal as a value": (
        lambda: ibis.literal(NAIVE),
        "without a zone",
        lambda: ibis.literal(NAIVE.replace(tzinfo=ZoneInfo("Europe/Berlin"))),
    ),
    "date literal compared with a time": (
        lambda: T.at > date(2024, 1, 1),
        "time with a date",
        lambda: T.at > ibis.timestamp("2024-01-01T00:00:00Z"),
    ),
    "date compared with a time": (lambda: T.at > T.day, "time with a date", lambda: T.at.date() > T.day),
    "time compared with text": (
        lambda: T.at >= "2024-01-01",
        "'2024-01-01', which has no zone",
        lambda: T.at >= "2024-01-01T00:00:00Z",
    ),
    "time between texts": (
        lambda: T.at.between("2024-01-01T00:00:00Z", "2024-02-01"),
        "no zone",
        lambda: T.at.between("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
    ),
    "date compared with other text": (lambda: T.day > "1.2.2024", "no ISO date", lambda: T.day > "2024-02-01"),
    "cast to a naive time": (lambda: T.at.cast("timestamp"), "without a zone", lambda: T.at.cast("timestamp('UTC')")),
    "date cast to a naive time": (
        lambda: T.day.cast("timestamp"),
        "without a zone",
        lambda: T.day.cast("timestamp('UTC')"),
    ),
    "date cast to a zone": (
        lambda: T.day.cast("timestamp('America/New_York')"),
        "midnight",
        lambda: T.day.cast("timestamp('UTC')"),
    ),
    "text cast to a time": (lambda: T.id.cast("timestamp('UTC')"), "text as a time", lambda: T.at),
    "literal text cast to a time": (
        lambda: ibis.literal("2024-01-01").cast("timestamp('UTC')"),
        "text as a time",
        lambda: ibis.timestamp("2024-01-01T00:00:00Z"),
    ),
    "number cast to a time": (
        lambda: T.n.cast("timestamp('UTC')"),
        "number as a time",
        lambda: ibis.timestamp("1970-01-01T00:00:00Z") + T.n.as_interval("s"),
    ),
    "time from seconds": (
        lambda: T.n.as_timestamp("s"),
        "makes a time without a zone",
        lambda: ibis.timestamp("1970-01-01T00:00:00Z") + T.n.as_interval("s"),
    ),
    "time from text": (lambda: T.id.as_timestamp("%Y-%m-%d"), "makes a time without a zone", lambda: T.at),
    "time from parts": (
        lambda: ibis.timestamp(T.w, 1, 1, 0, 0, 0),
        "makes a time without a zone",
        lambda: ibis.date(T.w, 1, 1).cast("timestamp('UTC')"),
    ),
    "bucket": (
        lambda: T.at.bucket(A_WEEK),
        "makes a time without a zone",
        lambda: T.at.truncate("W").cast("timestamp('UTC')"),
    ),
    "unknown zone": (lambda: T.at.cast("timestamp('Mars/Olympus')").hour(), "Mars/Olympus", lambda: NEW_YORK.hour()),
    "abbreviated zone": (lambda: T.at.cast("timestamp('EST')").hour(), "zone 'EST'", lambda: NEW_YORK.hour()),
    "offset as a zone": (
        lambda: T.at.cast("timestamp('+02:00')").hour(),
        "02:00",
        lambda: NEW_YORK.hour(),
    ),
    "coarser time": (
        lambda: T.at.cast("timestamp('UTC', 3)"),
        "microseconds",
        lambda: T.at.truncate("ms").cast("timestamp('UTC')"),
    ),
    # times in a zone
    "truncated in a zone": (lambda: NEW_YORK.truncate("D"), "truncates in America/New_York", lambda: NEW_YORK.date()),
    "weeks in a zone": (lambda: NEW_YORK.truncate("W"), "truncates in", lambda: NEW_YORK.date().truncate("W")),
    "a day later in a zone": (
        lambda: NEW_YORK + ibis.interval(days=1),
        "23 hours",
        lambda: NEW_YORK.cast("timestamp('UTC')") + ibis.interval(days=1),
    ),
    "a month later in a zone": (
        lambda: NEW_YORK - ibis.interval(months=1),
        "23 hours",
        lambda: NEW_YORK.date() - ibis.interval(months=1),
    ),
    "midnights in a zone": (
        lambda: NEW_YORK.delta(T.then, unit="day"),
        "times in a zone",
        lambda: NEW_YORK.date().delta(T.then.date(), unit="day"),
    ),
    "one zone or another": (
        lambda: ibis.coalesce(NEW_YORK, T.then),
        "America/New_York and UTC",
        lambda: ibis.coalesce(NEW_YORK.cast("timestamp('UTC')"), T.then),
    ),
    "one zone else another": (
        lambda: ibis.cases((T.f, NEW_YORK), else_=T.then),
        "America/New_York and UTC",
        lambda: ibis.cases((T.f, T.at), else_=T.then),
    ),
    "truncated, then a zone": (
        lambda: T.at.truncate("h").cast("timestamp('America/New_York')"),
        "without a zone to",
        lambda: T.at.truncate("h").cast("timestamp('UTC')").cast("timestamp('America/New_York')").hour(),
    ),
    # text of other types, and types
    "text of a time": (lambda: T.at.cast("string"), "spells a time", lambda: T.at.strftime("%Y-%m-%dT%H:%M:%S")),
    "text of a float": (lambda: T.x.cast("string"), "spells a float", lambda: (T.x * 100).round().cast("string")),
    "flag of text": (lambda: T.id.cast("boolean"), "true or false", lambda: T.id == "yes"),
    "number of a time": (lambda: T.at.cast("int64"), "makes int64 of a time", lambda: T.at.epoch_seconds()),
    "number of a date": (lambda: T.day.cast("int64"), "makes int64 of a date", lambda: T.day.epoch_days()),
    "decimal": (lambda: T.x.cast("decimal(18, 2)").sum(), "round differently", lambda: exact_sum(T.x, 2)),
    "decimal literal": (lambda: T.x * Decimal("1.1"), "round differently", lambda: T.x * 1.1),
    "float32": (lambda: T.x.cast("float32"), "rounds more", lambda: T.x.cast("float64")),
    "unsigned": (lambda: T.n.cast("uint32"), "not every engine has", lambda: T.n.cast("int64")),
    "array": (
        lambda: T.id.split(",")[0],
        "not the same on every engine|no column",
        lambda: T.id.re_extract("^[^,]*", 0),
    ),
    "struct": (lambda: ibis.struct({"a": T.n}), "no column|not the same", lambda: T.n),
    "time of day": (lambda: T.at.time(), "time of day|not the same", lambda: T.at.strftime("%H:%M")),
    "difference of times": (lambda: T.at - T.then, "intervals", lambda: T.at.delta(T.then, unit="day") > 7),
    "difference of dates": (lambda: T.day - T.day, "intervals", lambda: T.day.delta(T.day, unit="day")),
    "flag with a number": (lambda: T.f == 1, "flag with number", lambda: T.f),
    # functions
    "logarithm": (lambda: T.x.ln(), r"last bit", lambda: T.x.ln().round(6)),
    "power": (lambda: T.x**2, r"last bit", lambda: T.x * T.x),
    "rounded too finely": (lambda: T.x.log10().round(12), r"last bit", lambda: T.x.log10().round(6)),
    "power, rounded": (lambda: (T.x**3).round(2), r"last bit", lambda: T.x * T.x * T.x),
    "root": (lambda: T.x**0.5, r"last bit", lambda: T.x.sqrt()),
    "exponential": (lambda: T.x.exp().round(6), r"last bit", lambda: T.x),
    "shift": (lambda: T.n << 3, "shifts bits", lambda: T.n * 8),
    "floor by zero": (lambda: T.n // 0, "divides by zero", lambda: T.n // 2),
    "median": (lambda: T.n.median(), "interpolates", lambda: T.n.mean()),
    "quantile": (lambda: T.x.quantile(0.9), "interpolates", lambda: T.x.max()),
    "case of letters": (lambda: T.id.ilike("a%"), "ignores case", lambda: T.id.lower().like("a%")),
    "reverse": (lambda: T.id.reverse(), "turns letters", lambda: T.id),
    "capitalize": (lambda: T.id.capitalize(), "capitalizes", lambda: T.id.left(1).upper() + T.id.substr(1).lower()),
    "from the end": (lambda: T.id.substr(-2), "from the end|column", lambda: T.id.right(2)),
    "empty replacement": (lambda: T.id.replace("", "x"), "empty text", lambda: T.id.replace("a", "x")),
    "find from": (lambda: T.id.find("a", 2), "position", lambda: T.id.substr(2).find("a")),
    "padding": (lambda: T.id.lpad(5, "ab"), "one character", lambda: T.id.lpad(5, "0")),
    "sha512": (lambda: T.id.hexdigest("sha512"), "sha512", lambda: T.id.hexdigest("sha256")),
    "pattern of a column": (lambda: T.id.like(T.id), "column as a pattern", lambda: T.id.contains(T.id)),
    "look-ahead": (lambda: T.id.re_search("a(?=b)"), "not the same on every engine", lambda: T.id.re_search("ab")),
    "reference": (lambda: T.id.re_search(r"(a)\1"), "not the same on every engine", lambda: T.id.re_search("aa")),
    "letters of POSIX": (lambda: T.id.re_search("[[:alpha:]]"), "not the same", lambda: T.id.re_search("[A-Za-z]")),
    "no pattern": (lambda: T.id.re_search("(a"), "no regular expression", lambda: T.id.re_search("(a)")),
    "replacement of nothing": (
        lambda: T.id.re_replace("a*", "-"),
        "where nothing is",
        lambda: T.id.re_replace("a+", "-"),
    ),
    "group that is not there": (lambda: T.id.re_extract("(a)", 2), "group 2", lambda: T.id.re_extract("(a)", 1)),
    "format of a time": (lambda: T.at.strftime("%U"), "'%U' in the format", lambda: T.at.strftime("%Y-%m-%d")),
    "URL": (lambda: T.id.host(), "not the same on every engine", lambda: T.id.re_extract("//([^/]+)", 1)),
    "edit distance": (lambda: T.id.levenshtein(T.id), "not the same on every engine", lambda: T.id == T.id),
    "window of months": (
        lambda: T.n.sum().over(ibis.range_window(order_by="at", preceding=ibis.interval(months=1))),
        "months",
        lambda: T.n.sum().over(ibis.range_window(order_by="at", preceding=ibis.interval(days=28), following=0)),
    ),
    "range of floats": (
        lambda: T.n.sum().over(ibis.range_window(order_by="x", preceding=1, following=0)),
        "range over floats",
        lambda: T.n.sum().over(ibis.range_window(order_by="n", preceding=1, following=0)),
    ),
    "first with an order of its own in a window": (
        lambda: T.n.first(order_by="id").over(group_by="id"),
        "of its own",
        lambda: T.n.first().over(group_by="id", order_by="id"),
    ),
    "first in two directions": (
        lambda: T.n.first(order_by=[T.at.desc(), T.id]),
        "two directions",
        lambda: T.n.first(order_by=[T.at, T.id]),
    ),
}


def _table(value: object) -> ir.Table:
    assert isinstance(value, ir.Value)
    return T.aggregate(v=value) if isinstance(value, ir.Scalar) and value.op().relations else T.select("id", v=value)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """The column is named, and what the remedy says is let through."""
    wrong, says, right = REFUSED[name]
    with pytest.raises(AmbiguousMeaning, match=f"column 'v' .*(?:{says})") as caught:
        require_one_meaning(_table(wrong()))
    assert caught.value.remedy
    require_one_meaning(_table(right()))


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the process cannot be set")
def test_a_literal_in_the_zone_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abbreviation that the machine's own zone has is read as that zone, and as none elsewhere."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        literal = ibis.timestamp("2024-07-01 00:00 EDT")
    finally:
        monkeypatch.undo()
        time.tzset()
    with pytest.raises(AmbiguousMeaning, match="zone of this machine"):
        require_one_meaning(_table(literal))


@pytest.mark.parametrize("name", operations.CASES)
def test_an_operation_of_the_table_is_let_through(name: str) -> None:
    """What is compared with Python on both engines may be declared."""
    require_one_meaning(expression(operations.CASES[name]))


@pytest.mark.parametrize("name", operations.OF_TABLES)
def test_a_total_of_the_table_is_let_through(name: str) -> None:
    """What is compared with Python on both engines may be declared."""
    require_one_meaning(total(operations.OF_TABLES[name]))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: T.group_by("id").agg(m=_.at.max()).filter(_.m > NAIVE), r"column '\(filter\)'"),
        (lambda: T.order_by(T.x.ln()), r"column '\(order_by\)'"),
        (lambda: T.join(U, T.at == U.day).select("id"), r"column '\(join\)'"),
        (lambda: T.filter(T.n > T.filter(T.at > NAIVE).n.max().as_scalar()), "without a zone"),
        (lambda: T.sample(0.5), "Sample is not among"),
    ],
    ids=["filter", "order", "join", "subquery", "relation"],
)
def test_wherever_it_is(build: Callable[[], ir.Table], says: str) -> None:
    """Not only what becomes a column is looked at."""
    with pytest.raises(AmbiguousMeaning, match=says):
        require_one_meaning(build())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (VIEW, "trips.ended.notnull()", "trips.ended > datetime(2024, 1, 1)"),
        (VIEW, "trips.ended.notnull()", "trips.ended > '2024-01-01'"),
        (SPLIT, 'trips.trip.hexdigest("md5") < "8"', "trips.started < ibis.timestamp('2024-01-01')"),
        (
            FRAME,
            "event_timestamp=trips.started",
            "event_timestamp=trips.started.cast('timestamp').cast(\"timestamp('UTC')\")",
        ),
        (
            SPLIT,
            'complete(of="trips"),',
            'Rule(name="odd", upstream=("trips",), failing=lambda s, t: t.filter(t.ended > datetime(2024, 1, 1))),',
        ),
    ],
    ids=["view", "text in a view", "split", "frame", "rule"],
)
def test_told_at_its_declaration(package: Package, file: str, old: str, new: str) -> None:
    """`check` names file and line, before anything runs."""
    imports = PRELUDE + "from datetime import datetime\nfrom ml_assets.lib.declare import Rule\n"
    package.write(file, imports + (package.folder / file).read_text())
    package.edit(file, old, new)
    told = [error for error in package.mistakes() if isinstance(error, AmbiguousMeaning)]
    assert len(told) == 1, package.mistakes()
    assert re.match(rf"{package.name}/{file}:\d+: .*zone", told[0].problem), told
    assert "Z" in told[0].remedy or "UTC" in told[0].remedy


@pytest.mark.parametrize("scale", [-1, 16, 2.5, True, "2"])
def test_scale_of_an_exact_sum(scale: object) -> None:
    """Another scale has no meaning."""
    with pytest.raises(DeclarationError, match="exact_sum has scale"):
        exact_sum(T.x, scale)  # type: ignore[arg-type] # wrong on purpose
