"""Split helpers for every share, every text and every moment; what may be null is in no part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError
from ml_assets.lib.declare import by_hash, by_time
from ml_assets.lib.declare.nulls import undecided
from ml_assets_tests.declare.packages import Package

KEYS: Final = [str(i) for i in range(1000)]


def hashed(duck: Backend, train: float, val: float, keys: list[str | None] | list[str] = KEYS) -> dict[Any, Any]:
    """Part by key."""
    table = duck.create_table("keys", pa.table({"k": pa.array(keys, pa.string())}), overwrite=True)
    rows = table.mutate(part=by_hash(table.k, salt="s", train=train, val=val)).to_pyarrow().to_pylist()
    return {row["k"]: row["part"] for row in rows}


@pytest.mark.parametrize(
    ("train", "val", "parts"),
    [
        (0.8, 0.2, {"train", "val"}),
        (1.0, 0.0, {"train"}),
        (1, 0, {"train"}),
        (0.0, 1.0, {"val"}),
        (0.0, 0.0, {"test"}),
        (0.0, 0.5, {"val", "test"}),
        (0.5, 0.0, {"train", "test"}),
        (0.1 + 0.1 + 0.1, 0.7, {"train", "val"}),
        (0.7, 0.1 + 0.1 + 0.1, {"train", "val"}),
        (1 - 0.9, 0.9, {"train", "val"}),
        (0.6, 0.2, {"train", "val", "test"}),
    ],
)
def test_shares(duck: Backend, train: float, val: float, parts: set[str]) -> None:
    """Shares that are all rows, as sums of rounded ones too, leave none to test; each has about what was asked for."""
    found = Counter(hashed(duck, train, val).values())
    assert set(found) == parts
    for part, share in {"train": train, "val": val, "test": 1 - train - val}.items():
        assert found[part] / 1000 == pytest.approx(share, abs=0.05)


@given(train=st.floats(0, 1), rest=st.floats(0, 1))
def test_bounds_compare_as_text_as_they_do_as_numbers(train: float, rest: float) -> None:
    """The least of all digits, the greatest, and those of a half, against every share."""
    val = (1 - train) * rest
    parts = by_hash(ibis.table({"k": "string"}, name="keys").k, salt="s", train=train, val=val)
    first, second = (condition.right.value for condition in parts.op().cases)
    for share, bound in ((train, first), (train + val, second)):
        for digits in ("00000000", "80000000", "ffffffff"):
            below = int(digits, 16) < int(share * 2**32) or math.isclose(share, 1)
            assert (digits < bound) == below


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"train": -0.1, "val": 0.5}, "train=-0.1, which is no share"),
        ({"train": 0.5, "val": 1.1}, "val=1.1, which is no share"),
        ({"train": float("nan"), "val": 0.5}, "train=nan, which is no share"),
        ({"train": True, "val": 0}, "train=True, which is no share"),
        ({"train": "0.5", "val": 0.5}, "train='0.5', which is no share"),
        ({"train": 0.8, "val": 0.3}, "train=0.8 and val=0.3, which are more than all rows"),
    ],
)
def test_shares_that_are_none(shares: Mapping[str, Any], says: str) -> None:
    """Told with the line that says them."""
    with pytest.raises(DeclarationError, match=rf"test_parts.py:\d+: by_hash has {says}"):
        by_hash(ibis.table({"k": "string"}, name="t").k, salt="s", **shares)


def test_what_is_divided_has_the_right_type() -> None:
    """Text by hash, times by time, cuts with a zone and in order."""
    table = ibis.table({"n": "int64", "d": "date", "t": "timestamp('UTC', 6)", "k": "string"}, name="t")
    early, late = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    wrong: dict[str, Any] = {
        "by_hash is given a value of type int64, which is no text": lambda: by_hash(table.n, salt="s", train=1, val=0),
        "by_hash has salt 3": lambda: by_hash(table.k, salt=3, train=1, val=0),  # type: ignore[arg-type]
        "by_time is given a value of type date, which is no time": lambda: by_time(table.d, val=early, test=late),
        r"val=datetime.datetime\(2024, 2, 1, 0, 0\), which is no time with a zone": lambda: by_time(
            table.t, val=late.replace(tzinfo=None), test=late
        ),
        r"test=datetime.date\(2024, 2, 1\), which is no time with a zone": lambda: by_time(
            table.t,
            val=early,
            test=date(2024, 2, 1),  # type: ignore[arg-type]
        ),
        "test=2024-01-01 .* before val=2024-02-01": lambda: by_time(table.t, val=late, test=early),
    }
    for says, call in wrong.items():
        with pytest.raises(DeclarationError, match=rf"test_parts.py:\d+: .*{says}"):
            call()


def test_the_zone_of_the_machine_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """One local midnight is one moment."""
    import time

    table = ibis.table({"t": "timestamp('UTC', 6)"}, name="t")
    cut = datetime(2013, 9, 1, tzinfo=ZoneInfo("America/New_York"))
    found = []
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        found.append(by_time(table.t, val=cut, test=cut + timedelta(days=60)).op())
    monkeypatch.undo()
    time.tzset()
    assert found[0] == found[1]


def test_a_null_is_in_no_part(duck: Backend) -> None:
    """On rows: neither a text nor a moment that is not known falls into the last part."""
    parts = hashed(duck, 0.5, 0.2, ["a", None, "b"])
    assert parts[None] is None
    assert parts["a"] is not None
    moments = pa.array([datetime(2024, 1, 1, tzinfo=UTC), None, datetime(2024, 3, 1, tzinfo=UTC)])
    table = duck.create_table("times", pa.table({"t": moments}))
    part = by_time(table.t, val=datetime(2024, 2, 1, tzinfo=UTC), test=datetime(2024, 2, 2, tzinfo=UTC))
    rows = table.mutate(part=part).to_pyarrow().to_pylist()
    assert sorted(str(row["part"]) for row in rows) == ["None", "test", "train"]


HELPERS = {
    "by time": "by_time(trips.ended, val=datetime(2024, 1, 1, tzinfo=UTC), test=datetime(2024, 2, 1, tzinfo=UTC))",
    "by hash": 'by_hash(trips.minutes.cast("string"), salt="s", train=0.5, val=0.2)',
    "own comparison": '(trips.minutes > 5).ifelse("train", "test")',
    "own cases": 'ibis.cases((trips.km > 1, "train"), (trips.minutes > 5, "val"), else_="test")',
    "a null that is written": 'ibis.cases((trips.km > 1, "train"), (trips.km > 0, "val"))',
    "null by a function": '(trips.km.nullif(0) > 1).ifelse("train", "test")',
}


def split_by(package: Package, expression: str, before: str = "pass") -> list[DeclarationError]:
    """What is told of a split with the part *expression*."""
    package.write(
        "splits/trips.py",
        f"""
        from datetime import UTC, datetime
        import ibis
        from ml_assets.lib.declare import by_hash, by_time, split

        @split("hash-s42", of="trips", key="trip")
        def hash_s42(trips):
            \"""By hash.\"""
            {before}
            return trips.select("trip", split={expression})
        """,
    )
    return list(package.mistakes())


@pytest.mark.parametrize("name", HELPERS)
def test_a_part_may_not_depend_on_what_may_be_null(name: str, package: Package) -> None:
    """In a declaration it is told before anything runs, also of what people write themselves."""
    (error,) = split_by(package, HELPERS[name])
    assert type(error) is ContractMismatch
    assert "splits/trips@hash-s42: split depends on " in error.problem
    assert "say what a null means" in error.remedy


@pytest.mark.parametrize("name", [name for name in HELPERS if "trips.minutes" in HELPERS[name] or "ended" in name])
def test_the_remedies_work(name: str, package: Package) -> None:
    """Filled, asked first, or filtered."""
    part = HELPERS[name]
    filled = part.replace("trips.minutes", "trips.minutes.fill_null(0)")
    asked = f'ibis.cases((trips.minutes.isnull(), "train"), else_={part})'
    filtered = "trips = trips.filter(trips.minutes.notnull())"
    also = "trips = trips.filter(trips.minutes > 0, trips.km > 1).mutate(more=1).order_by('more')"
    assert [split_by(package, filled), split_by(package, asked)] == [[], []]
    assert [split_by(package, part, before) for before in (filtered, also)] == [[], []]


TRIPS = ibis.table({"key": "string", "tail": "string", "n": "int64"}, name="trips")
OTHER = ibis.table({"key": "string", "size": "int64"}, name="other")


def _nullable(table: str, column: str) -> bool:
    return (table, column) in {("trips", "tail"), ("trips", "n")}


@pytest.mark.parametrize(
    ("table", "depends"),
    [
        (TRIPS.select(p=TRIPS.key), ()),
        (TRIPS.select(p=TRIPS.tail), ("trips.tail",)),
        (TRIPS.select(p=TRIPS.tail.fill_null(TRIPS.key)), ()),
        (TRIPS.select(p=TRIPS.tail.fill_null(TRIPS.n.cast("string"))), ("trips.n", "trips.tail")),
        (TRIPS.select(p=TRIPS.tail.isnull() | (TRIPS.tail > "a")), ()),
        (TRIPS.select(p=TRIPS.tail.notnull() & (TRIPS.tail > "a")), ()),
        (TRIPS.select(p=TRIPS.tail.notnull() | (TRIPS.tail > "a")), ("trips.tail",)),
        (TRIPS.select(p=(TRIPS.n > 1).ifelse("a", "b")), ("trips.n",)),
        (TRIPS.select(p=(~TRIPS.n.isnull()).ifelse((TRIPS.n > 1).ifelse("a", "b"), "c")), ()),
        (TRIPS.select(p=TRIPS.n.isnull().ifelse((TRIPS.n > 1).ifelse("a", "b"), "c")), ("trips.n",)),
        (TRIPS.drop_null("tail").select(p="tail"), ()),
        (TRIPS.drop_null("tail").select(p="n"), ("trips.n",)),
        (TRIPS.fill_null({"tail": "?"}).select(p="tail"), ()),
        (TRIPS.fill_null({"tail": "?"}).select(p="n"), ("trips.n",)),
        (TRIPS.group_by("key").agg(p=TRIPS.count()), ()),
        (TRIPS.group_by("tail").agg(n=TRIPS.count()).select(p="tail"), ("trips.tail",)),
        (TRIPS.select(p=TRIPS.tail).union(TRIPS.select(p=TRIPS.key)), ("trips.tail",)),
        (TRIPS.join(OTHER, "key").select(p="size"), ()),
        (TRIPS.join(OTHER, TRIPS.tail == OTHER.key).select(p="tail"), ()),
        (TRIPS.left_join(OTHER, "key").select(p="size"), ("p (of a left join)",)),
        (TRIPS.left_join(OTHER, "key").select(p=TRIPS.key), ()),
        (TRIPS.select(p=TRIPS.key.lag().over(order_by="key")), ("Lag(…)",)),
        (TRIPS.distinct().limit(3).select(p="n"), ("trips.n",)),
    ],
)
def test_what_depends_on_nulls(table: ir.Table, depends: tuple[str, ...]) -> None:
    """By three-valued logic, as an engine computes it."""
    assert undecided(table, "p", _nullable) == depends
