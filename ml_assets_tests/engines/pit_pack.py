"""What a point-in-time join must do, for every engine. Subclass `PointInTimePack` and give it an ``engine``.

The cases are those in which the feature stores in use differ or are wrong, and a comparison with a join that is too
simple to be wrong.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.lib.core.errors import EngineError
from ml_assets.lib.engines import Engine, Session, ViewJoin
from ml_assets_tests.engines.stores import NoTables

T0: Final = datetime(2013, 3, 10, 6, tzinfo=UTC)  # an hour before New York's clocks change
US: Final = timedelta(microseconds=1)
SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
TIME: Final = pa.timestamp("us", "UTC")


class View(NamedTuple):
    """A view as Arrow, and how it is joined."""

    rows: pa.Table
    keys: tuple[str, ...] = ("k",)
    ttl: timedelta | None = None
    values: tuple[str, ...] = ("v",)
    created: str | None = None


def table(**columns: Sequence[Any] | pa.Array) -> pa.Table:
    """A table; ``event_timestamp`` and ``created`` are times in UTC, lists of whole numbers 64 bits wide."""
    types = {"event_timestamp": TIME, "created": TIME}
    return pa.table(
        {
            name: cells if isinstance(cells, pa.Array) else pa.array(cells, types.get(name))
            for name, cells in columns.items()
        }
    )


def join(session: Session, spine: pa.Table, *views: View) -> pa.Table:
    """The point-in-time join of *spine* and *views*."""
    joins = [
        ViewJoin(
            name=f"view {number}",
            table=session.offer(view.rows),
            keys=view.keys,
            ttl=view.ttl,
            values=view.values,
            created=view.created,
        )
        for number, view in enumerate(views)
    ]
    return session.batches(session.point_in_time(session.offer(spine), joins)).read_all()


def by_id(joined: pa.Table, column: str = "v") -> list[Any]:
    """The cells of *column* in the order of the spine's ``id``: the order of rows is not promised."""
    return [row[column] for row in sorted(joined.to_pylist(), key=lambda row: int(row["id"]))]


def one(session: Session, asked: datetime, *known: tuple[datetime, Any], ttl: timedelta | None = None) -> Any:
    """What is joined to one spine row at *asked*, of values *known* since a moment."""
    spine = table(id=[0], k=["a"], event_timestamp=[asked])
    rows = table(k=["a"] * len(known), event_timestamp=[t for t, _ in known], v=[v for _, v in known])
    return by_id(join(session, spine, View(rows, ttl=ttl)))[0]


class PointInTimePack:
    """The cases. A subclass has a fixture ``engine``, best of class scope."""

    @pytest.fixture(scope="class")
    @classmethod
    def session(cls, engine: Engine) -> Iterator[Session]:
        """One session for all cases: nothing of one may show in another."""
        with engine.session(NoTables()) as session:
            yield session

    def test_takes_what_became_known_in_that_very_moment(self, session: Session) -> None:
        """Equal times match."""
        assert one(session, T0, (T0, 1)) == 1

    def test_never_reads_the_future(self, session: Session) -> None:
        """A value that becomes known one microsecond later is not joined, and the row stays."""
        assert one(session, T0, (T0 + US, 1)) is None

    def test_takes_the_latest_that_was_known(self, session: Session) -> None:
        """Neither an older value nor a future one wins."""
        assert one(session, T0, (T0 - 2 * SECOND, 1), (T0 - SECOND, 2), (T0 + SECOND, 3)) == 2

    @pytest.mark.parametrize("ttl", [DAY, 500_000 * US, US], ids=str)
    def test_ttl_includes_its_end(self, session: Session, ttl: timedelta) -> None:
        """A value counts at exactly its ttl and is gone one microsecond later, also below a second."""
        assert one(session, T0, (T0 - ttl, 1), ttl=ttl) == 1
        assert one(session, T0, (T0 - ttl - US, 1), ttl=ttl) is None

    @pytest.mark.parametrize("ttl", [None, timedelta(0)], ids=["none", "zero"])
    def test_no_ttl_means_any_age(self, session: Session, ttl: timedelta | None) -> None:
        """Without a ttl the oldest value counts."""
        assert one(session, T0, (datetime(1970, 1, 1, tzinfo=UTC), 1), ttl=ttl) == 1

    def test_the_row_created_last_wins_a_tie(self, session: Session) -> None:
        """Of rows with equal keys and time, the one created last counts, even where it was created after the cutoff."""
        created = [T0, T0 + DAY, T0 + SECOND, None]
        rows = table(k=["a"] * 4, event_timestamp=[T0] * 4, created=created, v=[9, 1, 8, 7])
        spine = table(id=[0], k=["a"], event_timestamp=[T0])
        assert by_id(join(session, spine, View(rows, created="created"))) == [1]

    @pytest.mark.parametrize("created", ["created", None], ids=["equal created", "no created"])
    def test_an_exact_tie_gives_one_row_whatever_the_order(self, session: Session, created: str | None) -> None:
        """Rows that differ in their values only do not multiply, and the same one wins in any order."""
        values: list[int | None] = [3, None, 7, 5]
        spine = table(id=[0, 1], k=["a", "a"], event_timestamp=[T0, T0])
        for seed in range(6):
            random.Random(seed).shuffle(values)
            rows = table(k=["a"] * 4, event_timestamp=[T0] * 4, created=[T0] * 4, v=values)
            assert by_id(join(session, spine, View(rows, created=created))) == [7, 7]

    def test_equal_spine_rows_are_kept_apart(self, session: Session) -> None:
        """Rows with equal key and time keep their own labels."""
        spine = table(id=[0, 1, 2], k=["a", "a", "a"], event_timestamp=[T0] * 3, label=[1, 0, 1])
        joined = join(session, spine, View(table(k=["a"], event_timestamp=[T0], v=[5])))
        assert by_id(joined, "label") == [1, 0, 1]
        assert by_id(joined) == [5, 5, 5]

    def test_null_equals_nothing(self, session: Session) -> None:
        """A spine row with a null key keeps its place with nulls, also where the view has a null key."""
        spine = table(id=[0, 1], k=[None, "a"], event_timestamp=[T0, T0])
        rows = table(k=[None, "a"], event_timestamp=[T0, T0], v=[1, 2])
        assert by_id(join(session, spine, View(rows))) == [None, 2]

    def test_an_unknown_time_matches_nothing(self, session: Session) -> None:
        """A null time is neither before nor after anything."""
        spine = table(id=[0, 1], k=["a", "a"], event_timestamp=[None, T0])
        rows = table(k=["a", "a"], event_timestamp=[None, T0], v=[1, 2])
        assert by_id(join(session, spine, View(rows))) == [None, 2]

    def test_an_unknown_entity_is_kept(self, session: Session) -> None:
        """A key that the view never had gives nulls."""
        spine = table(id=[0, 1], k=["a", "zz"], event_timestamp=[T0, T0])
        assert by_id(join(session, spine, View(table(k=["a"], event_timestamp=[T0], v=[5])))) == [5, None]

    def test_the_latest_row_speaks_even_when_it_says_null(self, session: Session) -> None:
        """A null in the latest row is not filled from an older one, also beside another value."""
        spine = table(id=[0], k=["a"], event_timestamp=[T0])
        rows = table(k=["a", "a"], event_timestamp=[T0 - SECOND, T0], v=[1, None], w=[2, 3])
        joined = join(session, spine, View(rows, values=("v", "w")))
        assert (by_id(joined), by_id(joined, "w")) == ([None], [3])

    @pytest.mark.parametrize("zone", [None, "America/New_York"])
    @pytest.mark.parametrize("unit", ["us", "ns", "s"])
    def test_times_are_compared_in_utc(self, session: Session, zone: str | None, unit: str) -> None:
        """A time without a zone is UTC, any other is converted; the zone and the unit of a column mean nothing."""
        times = pa.array([T0], TIME).cast(pa.timestamp(unit, zone))
        odd = table(id=[0], k=["a"], event_timestamp=times)
        plain = table(id=[0], k=["a"], event_timestamp=[T0])
        assert by_id(join(session, odd, View(plain.append_column("v", [[1]])))) == [1]
        assert by_id(join(session, plain, View(odd.append_column("v", [[1]]).drop("id")))) == [1]

    def test_composite_keys_do_not_run_together(self, session: Session) -> None:
        """The keys ("1", "11") and ("11", "1") are two entities."""
        spine = table(id=[0, 1], a=["1", "11"], b=["11", "1"], event_timestamp=[T0, T0])
        rows = table(a=["11", "1"], b=["1", "11"], event_timestamp=[T0, T0], v=[20, 10])
        assert by_id(join(session, spine, View(rows, keys=("a", "b")))) == [10, 20]

    def test_whole_numbers_of_any_width_are_one_kind_of_key(self, session: Session) -> None:
        """A key of 32 bits matches one of 64."""
        spine = table(id=[0], k=pa.array([7], pa.int64()), event_timestamp=[T0])
        rows = table(k=pa.array([7], pa.int32()), event_timestamp=[T0], v=[1])
        assert by_id(join(session, spine, View(rows))) == [1]

    @pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
    def test_text_of_any_arrow_type_is_one_kind_of_key(self, session: Session, kind: pa.DataType) -> None:
        """Text matches text, however Arrow stores it, and comes out as plain text."""
        spine = table(id=[0], k=pa.array(["a"]).cast(kind), event_timestamp=[T0])
        joined = join(session, spine, View(table(k=["a"], event_timestamp=[T0], v=[1])))
        assert by_id(joined) == [1]
        assert joined.schema.field("k").type == pa.string()

    def test_a_view_without_entity(self, session: Session) -> None:
        """Its latest row fits every spine row."""
        spine = table(id=[0, 1], k=["a", None], event_timestamp=[T0, T0 + DAY])
        rows = table(event_timestamp=[T0 - SECOND, T0 + SECOND], v=[1, 2])
        assert by_id(join(session, spine, View(rows, keys=()))) == [1, 2]

    def test_one_view_under_two_aliases(self, session: Session) -> None:
        """Renamed keys and values let a view be joined twice: weather at the origin and at the destination."""
        spine = table(id=[0], origin=["a"], dest=["b"], event_timestamp=[T0])
        rows = table(airport=["a", "b"], event_timestamp=[T0, T0], temp=[1, 2])
        at_origin = View(rows.rename_columns(["origin", "event_timestamp", "v"]), keys=("origin",))
        at_dest = View(rows.rename_columns(["dest", "event_timestamp", "w"]), keys=("dest",), values=("w",))
        joined = join(session, spine, at_origin, at_dest)
        assert joined.to_pylist() == [
            {"id": 0, "origin": "a", "dest": "b", "event_timestamp": T0, "v": 1, "w": 2},
        ]

    def test_columns_come_in_order_and_keep_their_types(self, session: Session) -> None:
        """The spine's columns, then each view's values; a whole number with nulls stays one, NaN is not null."""
        spine = table(id=[0, 1], k=["a", "b"], event_timestamp=[T0, T0], y=pa.array([1, 0], pa.int32()))
        whole = table(k=["a"], event_timestamp=[T0], small=pa.array([3], pa.int32()), big=pa.array([4], pa.int64()))
        real = table(k=["a", "b"], event_timestamp=[T0, T0], x=pa.array([float("nan"), None]), s=["t", None])
        joined = join(session, spine, View(real, values=("s", "x")), View(whole, values=("big", "small")))
        types = [pa.int64(), pa.string(), TIME, pa.int32(), pa.string(), pa.float64(), pa.int64(), pa.int32()]
        names = ["id", "k", "event_timestamp", "y", "s", "x", "big", "small"]
        assert joined.schema == pa.schema(zip(names, types, strict=True))
        assert [str(cell) for cell in by_id(joined, "x")] == ["nan", "None"]

    def test_no_rows(self, session: Session) -> None:
        """An empty spine gives an empty table of the same columns, an empty view gives nulls."""
        spine = table(id=[0], k=["a"], event_timestamp=[T0])
        rows = table(k=["a"], event_timestamp=[T0], v=[1])
        assert join(session, spine.slice(0, 0), View(rows)).schema == join(session, spine, View(rows)).schema
        assert join(session, spine.slice(0, 0), View(rows)).num_rows == 0
        assert by_id(join(session, spine, View(rows.slice(0, 0)))) == [None]

    def test_no_views_and_no_values(self, session: Session) -> None:
        """Without values to bring, the spine comes back."""
        spine = table(id=[0, 1], k=["a", "a"], event_timestamp=[T0, T0])
        view = View(table(k=["a"], event_timestamp=[T0], v=[1]), values=())
        assert join(session, spine).num_rows == join(session, spine, view).num_rows == 2
        assert join(session, spine, view).column_names == spine.column_names

    @pytest.mark.parametrize("name", ["id", "ID", "event_timestamp"])
    def test_a_value_named_like_a_spine_column_is_refused(self, session: Session, name: str) -> None:
        """Neither one wins silently; case does not count."""
        spine = table(id=[0], k=["a"], event_timestamp=[T0])
        rows = table(k=["a"], event_timestamp=[T0], id=[1]).rename_columns(["k", "event_timestamp", name or "id"])
        with pytest.raises(EngineError, match=f"(?i){name}"):
            join(session, spine, View(rows, values=(name,)))

    def test_two_views_with_one_value_name_are_refused(self, session: Session) -> None:
        """Neither one wins silently."""
        spine = table(id=[0], k=["a"], event_timestamp=[T0])
        view = View(table(k=["a"], event_timestamp=[T0], v=[1]))
        with pytest.raises(EngineError, match="more than one column v"):
            join(session, spine, view, view)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"values": ("w",)}, "view 0 has no column w"),
            ({"keys": ("id",)}, "view 0 has no column id"),
            ({"keys": ("v",)}, "the spine has no column v"),
            ({"created": "born"}, "view 0 has no column born"),
            ({"ttl": -SECOND}, "negative ttl"),
        ],
        ids=["value", "view key", "spine key", "created", "ttl"],
    )
    def test_what_cannot_be_joined_is_refused(self, session: Session, change: Mapping[str, Any], message: str) -> None:
        """The error names the view and the column."""
        spine = table(id=[0], k=["a"], event_timestamp=[T0])
        view = View(table(k=["a"], event_timestamp=[T0], v=[1]))._replace(**change)
        with pytest.raises(EngineError, match=message):
            join(session, spine, view)

    def test_keys_of_two_kinds_are_refused(self, session: Session) -> None:
        """Text is not compared with numbers."""
        spine = table(id=[0], k=["7"], event_timestamp=[T0])
        with pytest.raises(EngineError, match="key k is string in the spine and int64"):
            join(session, spine, View(table(k=[7], event_timestamp=[T0], v=[1])))

    def test_times_that_are_none_are_refused(self, session: Session) -> None:
        """A date or number in place of the timestamp is an error, not a guess."""
        spine = table(id=[0], k=["a"], event_timestamp=pa.array([1]))
        with pytest.raises(EngineError, match="event_timestamp of the spine is int64"):
            join(session, spine)

    def test_a_view_may_be_an_expression(self, session: Session) -> None:
        """What is joined need not be stored first."""
        rows = session.offer(table(k=["a", "a"], event_timestamp=[T0 - SECOND, T0], v=[1, -1]))
        view = ViewJoin(name="v", table=rows.filter(rows.v > 0), keys=("k",), ttl=None, values=("v",))
        spine = session.offer(table(id=[0], k=["a"], event_timestamp=[T0]))
        assert by_id(session.batches(session.point_in_time(spine, [view])).read_all()) == [1]

    @settings(suppress_health_check=[HealthCheck.differing_executors])  # a pack runs in each of its subclasses
    @given(data=st.data())
    def test_equals_a_join_that_is_too_simple_to_be_wrong(self, session: Session, data: st.DataObject) -> None:
        """Every spine row comes out once with what a scan of all view rows finds, two views at a time."""
        spine = data.draw(st.lists(_SPINE_ROW, max_size=12), label="spine")
        single = data.draw(st.lists(_VIEW_ROW, max_size=12), label="view by a")
        double = data.draw(st.lists(_VIEW_ROW, max_size=12), label="view by a and b")
        ttls = data.draw(st.tuples(_TTL, _TTL), label="ttls")
        joined = join(
            session,
            _spine_table(spine),
            View(_view_table(single, "1"), keys=("a",), ttl=ttls[0], values=("v1", "w1"), created="created"),
            View(_view_table(double, "2"), keys=("a", "b"), ttl=ttls[1], values=("v2", "w2"), created="created"),
        )
        expected = Counter(
            (*row, *_brute_force(row, single, ttls[0], keys=1), *_brute_force(row, double, ttls[1], keys=2))
            for row in spine
        )
        assert Counter(_as_rows(joined)) == expected


_STEP = st.integers(0, 5)
_KEY = st.sampled_from(["x", "y", None])
_VALUE = st.none() | st.integers(-2, 2)
_TTL = st.none() | st.integers(0, 3).map(lambda step: step * SECOND)
_SPINE_ROW = st.tuples(_KEY, _KEY, st.none() | _STEP, st.integers(0, 2))
_VIEW_ROW = st.tuples(_KEY, _KEY, _STEP, st.none() | _STEP, _VALUE, _VALUE)


def _moment(step: int | None) -> datetime | None:
    return None if step is None else T0 + step * SECOND


def _spine_table(rows: list[tuple[Any, ...]]) -> pa.Table:
    a, b, steps, labels = zip(*rows, strict=True) if rows else ((),) * 4
    text = pa.string()
    return table(
        a=pa.array(a, text),
        b=pa.array(b, text),
        event_timestamp=[_moment(step) for step in steps],
        label=pa.array(labels, pa.int64()),
    )


def _view_table(rows: list[tuple[Any, ...]], suffix: str) -> pa.Table:
    a, b, steps, created, v, w = zip(*rows, strict=True) if rows else ((),) * 6
    return table(
        a=pa.array(a, pa.string()),
        b=pa.array(b, pa.string()),
        event_timestamp=[_moment(step) for step in steps],
        created=[_moment(step) for step in created],
        **{f"v{suffix}": pa.array(v, pa.int64()), f"w{suffix}": pa.array(w, pa.int64())},
    )


def _as_rows(joined: pa.Table) -> list[tuple[Any, ...]]:
    """Rows in the terms in which they were drawn: times as steps."""
    return [
        tuple((cell - T0) // SECOND if isinstance(cell, datetime) else cell for cell in row.values())
        for row in joined.to_pylist()
    ]


def _brute_force(
    spine: tuple[Any, ...], view: list[tuple[Any, ...]], ttl: timedelta | None, *, keys: int
) -> tuple[int | None, int | None]:
    """The values of the latest matching row: by time, then created, then values, null being the least."""
    asked = spine[2]
    fitting = [
        row
        for row in view
        if asked is not None
        and all(ours is not None and ours == theirs for ours, theirs in zip(spine[:keys], row[:keys], strict=True))
        and row[2] <= asked
        and (not ttl or (asked - row[2]) * SECOND <= ttl)
    ]
    if not fitting:
        return None, None
    least = -(10**6)
    best = max(fitting, key=lambda row: tuple(least if cell is None else cell for cell in row[2:]))
    return best[4], best[5]
