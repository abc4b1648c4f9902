"""What a session must do beside joining, for every engine. Subclass `SessionPack` and give it an ``engine``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import ibis
import pyarrow as pa
import pytest

from ml_assets.lib.core.digest import RowSum, digest, digest_of, row_sum
from ml_assets.lib.core.errors import EngineError, LakeUnavailable, NotDigestible
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.engines import Engine
from ml_assets_tests.engines.stores import BrokenTables, MemoryTables, NoTables

HEAD: Final = Commit("0" * 64)
TIME: Final = pa.timestamp("us", "UTC")
FLIGHTS: Final = pa.table(
    {
        "key": pa.array(["a", "b", "c", None]),
        "delay": pa.array([1, 2, None, 4], pa.int32()),
        "count": pa.array([2**40, 2, 3, 4], pa.int64()),
        "share": pa.array([0.1, float("nan"), None, -0.0]),
        "at": pa.array([1, 2, 3, None], TIME),
        "split": pa.array(["train", "test", "train", None]),
    }
)
UNBOUND: Final = ibis.table(ibis.Schema.from_pyarrow(FLIGHTS.schema), name="flights")


class SessionPack:
    """The cases. A subclass has a fixture ``engine``, best of class scope."""

    def test_what_is_read_comes_out_as_it_was(self, engine: Engine) -> None:
        """Rows and types survive the way through the engine, and a table can be read twice."""
        with engine.session(MemoryTables(flights=FLIGHTS)) as session:
            table = session.read("flights", HEAD)
            first, second = session.batches(table).read_all(), session.batches(table).read_all()
        assert first.schema == FLIGHTS.schema
        assert digest(first) == digest(second) == digest(FLIGHTS)

    def test_only_the_columns_asked_for_are_read(self, engine: Engine) -> None:
        """The choice of columns reaches the table."""
        tables = MemoryTables(flights=FLIGHTS)
        with engine.session(tables) as session:
            assert session.read("flights", HEAD, columns=["key", "at"]).columns == ("key", "at")
        assert tables.asked == [("flights", ("key", "at"))]

    def test_an_error_of_the_lake_stays_what_it_is(self, engine: Engine) -> None:
        """A lake that goes away while rows stream is told as such, not as an error of the engine."""
        gone = LakeUnavailable("no answer", remedy="try again")
        with engine.session(BrokenTables(gone, flights=FLIGHTS)) as session, pytest.raises(LakeUnavailable) as caught:
            session.read("flights", HEAD)
        assert caught.value is gone

    def test_large_and_coded_text_becomes_plain(self, engine: Engine) -> None:
        """However Arrow stores text, it comes out as the contract has it."""
        odd = pa.table(
            {
                "large": pa.array(["x", None], pa.large_string()),
                "coded": pa.array(["x", "y"]).dictionary_encode(),
            }
        )
        with engine.session(NoTables()) as session:
            out = session.batches(session.offer(odd)).read_all()
        assert out.schema == pa.schema({"large": pa.string(), "coded": pa.string()})
        assert sorted(out["coded"].to_pylist()) == ["x", "y"]

    @pytest.mark.parametrize("zone", [None, "America/New_York"])
    def test_offered_times_become_utc(self, engine: Engine, zone: str | None) -> None:
        """A time without a zone is UTC, another is the same moment; nanoseconds become microseconds."""
        rows = pa.table({"at": pa.array([1_000], pa.timestamp("ns", zone))})
        with engine.session(NoTables()) as session:
            out = session.batches(session.offer(rows)).read_all()
        assert out.schema.field("at").type == TIME
        assert out["at"].to_pylist() == [datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]

    def test_a_time_finer_than_microseconds_is_refused(self, engine: Engine) -> None:
        """Nothing is rounded silently."""
        rows = pa.table({"at": pa.array([1], pa.timestamp("ns", "UTC"))})
        with engine.session(NoTables()) as session, pytest.raises(EngineError, match="microseconds"):
            session.offer(rows)

    def test_a_reader_can_be_offered(self, engine: Engine) -> None:
        """Rows may also come as a stream."""
        with engine.session(NoTables()) as session:
            assert digest(session.batches(session.offer(FLIGHTS.to_reader()))) == digest(FLIGHTS)

    def test_bind_puts_rows_under_an_expression(self, engine: Engine) -> None:
        """An unbound expression is computed on tables that hold no more than it needs."""
        asked = UNBOUND.filter(UNBOUND.delay > 1).select("key", twice=UNBOUND.delay * 2)
        with engine.session(MemoryTables(flights=FLIGHTS)) as session:
            table = session.read("flights", HEAD, columns=["key", "delay"])
            rows = session.batches(session.bind(asked, {"flights": table})).read_all().to_pylist()
        assert sorted(rows, key=str) == [{"key": "b", "twice": 4}, {"key": None, "twice": 8}]

    def test_sums_have_the_type_they_promise(self, engine: Engine) -> None:
        """A sum of whole numbers is 64 bits wide, streamed or kept, whatever the engine computes in."""
        window = ibis.window(group_by="split", order_by="at")
        summed = UNBOUND.select("key", total=UNBOUND["count"].sum().over(window), kept=UNBOUND.delay)
        expected = pa.schema({"key": pa.string(), "total": pa.int64(), "kept": pa.int32()})
        with engine.session(MemoryTables(flights=FLIGHTS)) as session:
            bound = session.bind(summed, {"flights": session.read("flights", HEAD)})
            kept = session.persist(bound)
            assert kept.schema() == bound.schema()
            assert session.batches(bound).schema == session.batches(kept).schema == expected
            assert digest(session.batches(bound)) == digest(session.batches(kept))

    def test_other_work_may_be_done_while_rows_stream(self, engine: Engine) -> None:
        """A stream is not cut short by another computation, nor by a second stream."""
        many = pa.table({"n": pa.array(range(300_000), pa.int64())})
        with engine.session(NoTables()) as session:
            table = session.offer(many)
            first = session.batches(table)
            seen = first.read_next_batch().num_rows
            assert session.batches(session.persist(table.limit(3))).read_all().num_rows == 3
            assert session.batches(table).read_all().num_rows == 300_000
            assert seen + sum(batch.num_rows for batch in first) == 300_000

    def test_write_streams_sorted_rows(self, engine: Engine) -> None:
        """Rows arrive in the order in which the expression sorts them, with the snapshot properties."""
        many = pa.table({"n": pa.array([(7919 * i) % 100_003 for i in range(100_003)], pa.int64())})
        tables = MemoryTables()
        with engine.session(tables) as session:
            table = session.offer(many)
            session.write(table.order_by("n"), "out", Branch("b"), schema=None, properties={"run": "1"})  # type: ignore[arg-type] # the tables here need none
        assert tables.tables["out"]["n"].to_pylist() == list(range(100_003))
        assert tables.properties["out"] == {"run": "1"}

    def test_digests_are_those_of_the_rows(self, engine: Engine) -> None:
        """The engine's sums, whole and per split, are those of the rows that it gives."""
        with engine.session(MemoryTables(flights=FLIGHTS)) as session:
            table = session.read("flights", HEAD)
            alone = session.row_sum(table)
            whole, groups = session.row_sums_by(table)
        assert digest_of(FLIGHTS.schema, alone) == digest(FLIGHTS)
        assert whole == alone
        assert groups == {
            "train": row_sum(FLIGHTS.take([0, 2]).to_batches()),
            "test": row_sum(FLIGHTS.take([1]).to_batches()),
        }

    def test_no_rows_have_a_digest_too(self, engine: Engine) -> None:
        """An empty result has its schema and a sum of nothing."""
        with engine.session(MemoryTables(flights=FLIGHTS.slice(0, 0))) as session:
            table = session.read("flights", HEAD)
            assert session.batches(table).read_all().schema == FLIGHTS.schema
            assert session.row_sum(table) == RowSum.zero()
            assert session.row_sums_by(table) == (RowSum.zero(), {})

    def test_what_a_digest_does_not_define_is_refused(self, engine: Engine) -> None:
        """A nested column has no digest."""
        with engine.session(NoTables()) as session, pytest.raises(NotDigestible, match="list"):
            session.row_sum(session.offer(pa.table({"x": [[1]]})))

    def test_an_expression_that_cannot_be_run_is_an_engine_error(self, engine: Engine) -> None:
        """Errors of the engine come as ours when an expression is kept and when it is streamed."""
        wrong = UNBOUND.select(n=UNBOUND.key.cast("int64"))
        with engine.session(MemoryTables(flights=FLIGHTS)) as session:
            bound = session.bind(wrong, {"flights": session.read("flights", HEAD)})
            with pytest.raises(EngineError):
                session.persist(bound)
            with pytest.raises(EngineError):
                session.batches(bound).read_all()

    def test_sessions_do_not_see_each_other(self, engine: Engine) -> None:
        """Tables of one session are not those of another."""
        with engine.session(NoTables()) as one, engine.session(NoTables()) as other:
            mine, yours = one.offer(FLIGHTS), other.offer(FLIGHTS.slice(0, 1))
            assert one.batches(mine).read_all().num_rows == 4
            assert other.batches(yours).read_all().num_rows == 1

    def test_the_time_zone_of_the_process_means_nothing(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """Times without a zone are UTC, hours are hours in UTC."""
        monkeypatch.setenv("TZ", "America/New_York")
        noon = pa.table({"at": pa.array([datetime(2013, 7, 1, 12)], pa.timestamp("us"))})  # noqa: DTZ001 (naive on purpose)
        with engine.session(NoTables()) as session:
            table = session.offer(noon)
            out = session.batches(table.select("at", hour=table["at"].hour())).read_all().to_pylist()
        assert out == [{"at": datetime(2013, 7, 1, 12, tzinfo=UTC), "hour": 12}]

    def test_an_engine_names_what_computes(self, engine: Engine) -> None:
        """The record of a run can say which libraries it was."""
        assert engine.name
        assert all(engine.versions.values())
        assert "ibis" in engine.versions
