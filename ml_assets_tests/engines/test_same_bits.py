"""One expression gives the same bits on Spark as on DuckDB: what differs between the two dialects, case by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

from ml_assets.lib.core.digest import digest
from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import Engine, Session, ViewJoin, engine
from ml_assets_tests.engines.stores import NoTables
from ml_assets_tests.spark import JARS, MARKS

pytestmark = MARKS

TIME: Final = pa.timestamp("us", "UTC")
NAN: Final = float("nan")
SCHEMA: Final = pa.schema(
    {
        "id": pa.int64(),
        "text": pa.string(),
        "small": pa.int32(),
        "large": pa.int64(),
        "real": pa.float64(),
        "flag": pa.bool_(),
        "day": pa.date32(),
        "at": TIME,
    }
)
ODD: Final = pa.table(
    {
        "id": list(range(10)),
        "text": ["a", "", "é", "e\u0301\U0001f6eb", None, "AB\n", "AB", "a\\b'c\"d`e", "a", "a"],
        "small": [1, -7, 7, 0, None, 2**31 - 1, -(2**31), 5, 5, 5],
        "large": [10, 2**53 + 1, -(2**53) - 1, 3, None, -3, 2**62, 10, 10, 10],
        "real": [0.5, NAN, -0.0, 0.0, None, float("inf"), -1.5, 2.675, 2.5, -2.5],
        "flag": [True, False, None, True, None, False, True, True, True, True],
        "day": [date(2013, 3, 10), date(1, 1, 1), None, date(9999, 12, 31), *[None] * 5, date(1582, 10, 10)],
        "at": [
            *(0, 1, -1, None, None, 10**15, 1_362_898_800_000_001, -62_135_596_800_000_000),
            *(1_362_898_799_999_999, 253_402_300_799_999_999),
        ],
    },
    schema=SCHEMA,
)


def _week(t: ir.Table) -> Any:
    return ibis.window(
        group_by="text", order_by="at", preceding=ibis.interval(days=7), following=ibis.interval(seconds=0)
    )


EXPRESSIONS: Final[Mapping[str, Callable[[ir.Table], ir.Table]]] = {
    "null is not NaN": lambda t: t.select("id", n=t.real.isnull(), v=t.real.notnull(), m=t.real.isnan()),
    "filter by not NaN": lambda t: t.filter(~t.real.isnan()),
    "fill null": lambda t: t.select("id", r=t.real.fill_null(-1.0), s=t.text.fill_null("?"), i=t.small.fill_null(0)),
    "null if": lambda t: t.select("id", r=t.real.nullif(0.0), s=t.text.nullif("a")),
    "real to whole": lambda t: t.filter(t.real.abs() < 100).select(
        "id", a=t.real.cast("int32"), b=t.real.cast("int64")
    ),
    "decimal to whole": lambda t: t.select(
        "id", d=(t.small.cast("decimal(20, 1)") / 2).cast("decimal(20,1)").cast("int64")
    ),
    "whole to real": lambda t: t.select("id", a=t.small.cast("float64"), b=t.large.cast("float64")),
    "whole to text": lambda t: t.select(
        "id", a=t.small.cast("string"), b=t.day.cast("string"), c=t.flag.cast("string")
    ),
    "flag to whole": lambda t: t.select("id", f=t.flag.cast("int32"), g=(t.small > 1).cast("int64")),
    "rounding": lambda t: t.select("id", a=t.real.round(2), b=t.real.round(1)),
    "rounding to whole": lambda t: t.filter(t.real.abs() < 100).select("id", a=t.real.round()),
    "floor and ceiling": lambda t: t.filter(t.real.abs() < 100).select("id", a=t.real.floor(), b=t.real.ceil()),
    "arithmetic": lambda t: t.select(
        "id", a=t.real * 3 + 0.1, b=t.real - t.small, c=-t.real, d=t.large // 2, e=t.real.abs()
    ),
    "division": lambda t: t.select("id", a=t.small / 3, b=t.large / 7, c=t.real / 3),
    "division by zero": lambda t: t.select("id", a=t.real / (t.small * 0.0), b=t.small / (t.small - t.small)),
    "remainder": lambda t: t.select("id", a=t.small % 3, b=t.large % -7),
    "remainder by zero": lambda t: t.select("id", a=t.small % (t.small - t.small), b=t.real % (t.small * 0.0)),
    "roots": lambda t: t.select("id", a=t.real.abs().sqrt()),
    "comparison": lambda t: t.select(
        "id", a=t.real > 0, b=t.real == t.real, c=t.real >= 0.0, d=t.text < "b", e=t.text == "a", f=t.at > t.at.min()
    ),
    "text": lambda t: t.select(
        "id",
        a=t.text + "|",
        b=t.text.length(),
        c=t.text.substr(0, 2),
        d=t.text.contains("a"),
        e=t.text.startswith("A"),
        f=t.text.upper(),
        g=t.text.strip(),
        h=t.text.replace("a", "\\"),
        i=t.text.endswith("\n"),
        j=t.text.lower(),
    ),
    "literals": lambda t: t.select("id", a=t.text == "a\\b'c\"d`e", b=ibis.literal("x\\n\n'"), c=ibis.literal(1e300)),
    "patterns": lambda t: t.select(
        "id",
        a=t.text.re_search("^[A-Z]+$"),
        b=t.text.re_search(r"^\w\\"),
        c=t.text.re_search(r"\$$"),
        d=t.text.re_search("b$|c"),
    ),
    "hash": lambda t: t.select("id", a=(ibis.literal("s42|") + t.text).hexdigest("md5"), b=t.text.hexdigest("sha256")),
    "cases": lambda t: t.select("id", a=ibis.cases((t.real > 1, "many"), (t.real.isnull(), None), else_="few")),
    "membership": lambda t: t.select(
        "id", a=t.text.isin(["a", "AB"]), b=t.real.isin([0.0, 2.5]), c=t.real.between(-1, 1)
    ),
    "parts of a time": lambda t: t.select(
        "id",
        a=t.at.hour(),
        b=t.at.minute(),
        c=t.at.day_of_week.index(),
        d=t.at.year(),
        e=t.at.month(),
        f=t.at.day(),
        g=t.day.day_of_week.index(),
        h=t.at.date(),
        i=t.at.truncate("h"),
        j=t.at.second(),
        k=t.at.day_of_year(),
    ),
    "moments": lambda t: t.filter(t.at.year().between(1000, 9000)).select(
        "id",
        a=_.at + ibis.interval(days=3),
        b=_.at - ibis.interval(hours=2),
        c=ibis.timestamp("2000-01-01T00:00:00Z"),
        d=ibis.literal(datetime(2013, 3, 10, 6, 59, 59, 999_999, tzinfo=UTC)),
    ),
    "totals": lambda t: t.aggregate(
        rows=t.count(),
        known=t.real.count(),
        small=t.small.sum(),
        least=t.real.min(),
        most=t.real.max(),
        late=(t.small > 1).sum(),
        kinds=t.text.nunique(),
        first=t.at.min(),
        last=t.text.max(),
        mean=t.small.mean(),
        all=t.flag.all(),
        any=t.flag.any(),
    ),
    "totals of nothing": lambda t: t.filter(t.id < 0).aggregate(rows=_.count(), small=_.small.sum(), most=_.text.max()),
    "groups by text": lambda t: t.group_by("text").aggregate(rows=t.count(), most=t.real.max(), last=t.at.max()),
    "groups by a real": lambda t: t.group_by("real").aggregate(rows=t.count(), least=t.id.min()).drop("real"),
    "groups by moment": lambda t: t.group_by("at", "flag").aggregate(rows=t.count()),
    "distinct": lambda t: t.select("text", "small", "flag").distinct(),
    "distinct reals": lambda t: t.select("real").distinct(),
    "union": lambda t: ibis.union(t.select("id", "real"), t.filter(t.id > 3).select("id", "real")),
    "difference": lambda t: t.select("real", "text").difference(
        t.filter(t.id > 6).select("real", "text"), distinct=False
    ),
    "join": lambda t: t.join(t.select("text", "large", other=t.id), ["text", "large"]),
    "join by a real": lambda t: t.select("id", "real").join(t.select("real", other=t.id), "real").drop("real"),
    "left join": lambda t: t.left_join(t.filter(t.small > 0).select("text", other=t.id), "text").drop("text_right"),
    "anti join": lambda t: t.anti_join(t.filter(t.id.isin([2, 3])), "text"),
    "sum of a week": lambda t: t.filter(t.at.year().between(1900, 2100)).pipe(
        lambda r: r.mutate(
            s=r.small.sum().over(_week(r)).cast("int64"), n=r.count().over(_week(r)), m=r.real.max().over(_week(r))
        )
    ),
    "running": lambda t: t.mutate(
        s=t.small.sum().over(ibis.cumulative_window(group_by="flag", order_by="id")),
        l=t.real.lag().over(ibis.window(group_by="flag", order_by="id")),
        r=ibis.row_number().over(ibis.window(order_by="id")),
        k=ibis.rank().over(ibis.window(order_by="small")),
    ),
    "order": lambda t: t.mutate(n=ibis.row_number().over(ibis.window(order_by=[t.real.desc(), t.text, t.id]))),
    "order of reals": lambda t: t.mutate(n=ibis.row_number().over(ibis.window(order_by=[t.real, t.id]))),
    "a slice": lambda t: t.order_by("id").limit(3, offset=4),
    "the last ones": lambda t: t.order_by(t.at.desc(), t.id).limit(3),
}


class Engines(NamedTuple):
    """A session of each."""

    duckdb: Session
    spark: Session

    def agree(self, expression: Callable[..., ir.Table], *tables: pa.Table) -> pa.Table:
        """Compute *expression* of *tables* on both; schema and digest of the results are equal, streamed and kept."""
        rows = [self.rows(session, expression, *tables) for session in self]
        assert rows[0].schema == rows[1].schema
        assert _shown(rows[0]) == _shown(rows[1])
        assert digest(rows[0]) == digest(rows[1])
        return rows[0]

    @staticmethod
    def rows(session: Session, expression: Callable[..., ir.Table], *tables: pa.Table) -> pa.Table:
        """What *session* makes of it."""
        names = [f"t{number}" for number in range(len(tables))]
        unbound = [
            ibis.table(ibis.Schema.from_pyarrow(rows.schema), name=name)
            for name, rows in zip(names, tables, strict=True)
        ]
        bound = session.bind(expression(*unbound), dict(zip(names, map(session.offer, tables), strict=True)))
        kept = session.persist(bound)
        assert session.row_sum(kept) == session.row_sum(bound)
        return session.batches(kept).read_all()


def _shown(rows: pa.Table) -> Counter[str]:
    """Rows as text, to be read where digests differ."""
    return Counter(
        str([cell + 0.0 if isinstance(cell, float) else cell for cell in row.values()]) for row in rows.to_pylist()
    )


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    """Two threads each."""
    spark: Engine = engine("spark", threads=2, jars=JARS)
    with engine("duckdb", threads=2).session(NoTables()) as one, spark.session(NoTables()) as other:
        yield Engines(one, other)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_gives_the_same_bits(engines: Engines, name: str) -> None:
    """On values that engines treat differently."""
    engines.agree(EXPRESSIONS[name], ODD)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_of_nothing_gives_the_same_bits(engines: Engines, name: str) -> None:
    """An empty table has the same schema, and totals."""
    engines.agree(EXPRESSIONS[name], ODD.slice(0, 0))


@pytest.mark.parametrize("column", ["real", "at"])
def test_what_each_engine_spells_its_own_way_is_refused(engines: Engines, column: str) -> None:
    """The text of a double or of a moment is not the same anywhere."""
    with pytest.raises(EngineError, match="another spelling"):
        engines.rows(engines.spark, lambda t: t.select(x=t[column].cast("string")), ODD)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.select(x=t.text.cast("int64")),
        lambda t: t.select(x=t.large.cast("int32")),
        lambda t: t.select(x=(t.large * t.large).cast("int64")),
        lambda t: t.aggregate(x=(t.large + 2**62).sum()),
        lambda t: t.select(x=t.small // (t.small - t.small)),
    ],
    ids=["no number", "too large", "overflow", "sum", "parts of zero"],
)
def test_what_fails_on_one_fails_on_the_other(engines: Engines, wrong: Callable[[ir.Table], ir.Table]) -> None:
    """Neither makes a null or another number of it."""
    for session in engines:
        with pytest.raises(EngineError):
            engines.rows(session, wrong, ODD)


_WHOLE = st.none() | st.integers(-3, 3)
_REAL = st.none() | st.sampled_from([0.0, -0.0, NAN, 1.5, -1.5, float("inf"), 1e-300, 0.1])
_TEXT = st.none() | st.sampled_from(["", "a", "A", "é", "e\u0301", "\U0001f6eb", "a b", "ß", "a\0b"])
_AT = st.none() | st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1582, 10, 10, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2013, 3, 10, 6, 59, 59, tzinfo=UTC),
        datetime(2013, 3, 10, 7, tzinfo=UTC),
        datetime(2013, 11, 3, 6, 30, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {"text": _TEXT, "small": _WHOLE, "real": _REAL, "flag": st.none() | st.booleans(), "at": _AT}
    ),
    max_size=8,
)  # fmt: skip
_DRAWN = pa.schema([SCHEMA.field(name) for name in ("text", "small", "real", "flag", "at")])


def _every_way(t: ir.Table, o: ir.Table) -> ir.Table:
    """Filter, join, group, union, window: what a declaration is made of."""
    joined = t.left_join(o.select("text", "real", other=o.small), ["text", "real"]).select(
        "text", "real", "at", "small", "other"
    )
    summed = joined.group_by("text", "real", "at").aggregate(
        rows=joined.count(), small=joined.small.sum(), other=joined.other.max(), known=joined.real.notnull().sum()
    )
    order = ibis.window(group_by="text", order_by=["at", "real"])
    return summed.mutate(
        real=summed.real.fill_null(-1.0), rank=ibis.rank().over(order), before=summed.rows.sum().over(order)
    ).distinct()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=_ROWS, right=_ROWS)
def test_drawn_tables_give_the_same_bits(
    engines: Engines, left: list[dict[str, Any]], right: list[dict[str, Any]]
) -> None:
    """Nulls, NaN, -0.0, ties, duplicates, odd text, far dates, nothing at all."""
    tables = [pa.Table.from_pylist(rows, _DRAWN) for rows in (left, right)]
    engines.agree(_every_way, *tables)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spine=_ROWS,
    view=_ROWS,
    keys=st.lists(st.sampled_from(["text", "small", "real", "flag"]), unique=True, max_size=2),
    ttl=st.none() | st.sampled_from([timedelta(microseconds=1), timedelta(hours=1), timedelta(days=150_000)]),
    created=st.booleans(),
)
def test_drawn_joins_give_the_same_bits(
    engines: Engines,
    spine: list[dict[str, Any]],
    view: list[dict[str, Any]],
    keys: list[str],
    ttl: timedelta | None,
    *,
    created: bool,
) -> None:
    """Point in time, by keys of any kind; ties go the same way on both."""
    tables = [pa.Table.from_pylist(rows, _DRAWN).rename_columns({"at": "event_timestamp"}) for rows in (spine, view)]
    values = [name for name in ("text", "small", "real", "flag") if name not in keys]
    known = tables[1].rename_columns({name: f"{name}_then" for name in values})
    known = known.append_column("made", tables[1]["event_timestamp"])

    def joined(session: Session) -> pa.Table:
        join = ViewJoin(
            name="v",
            table=session.offer(known),
            keys=tuple(keys),
            ttl=ttl,
            values=tuple(f"{name}_then" for name in values),
            created="made" if created else None,
        )
        return session.batches(session.point_in_time(session.offer(tables[0]), [join])).read_all()

    one, other = joined(engines.duckdb), joined(engines.spark)
    assert _shown(one) == _shown(other)
    assert (one.schema, digest(one)) == (other.schema, digest(other))
