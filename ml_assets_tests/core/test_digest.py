"""The digest ``tbl1``: its vectors, its properties, and a second implementation that follows the definition."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import math
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.core import digest as module
from ml_assets.lib.core.digest import RowSum, digest, digest_of, iceberg_type_name, row_sum, row_sums_by, schema_hash
from ml_assets.lib.core.errors import NotDigestible

TIME: Final = pa.timestamp("us", "UTC")

MIXED: Final = pa.table(
    {
        "b": pa.array([True, None, False]),
        "i": pa.array([1, -2, None], pa.int32()),
        "l": pa.array([2**40, None, -1], pa.int64()),
        "f": pa.array([0.1, -0.0, float("nan")], pa.float64()),
        "g": pa.array([None, float("inf"), 1e-310], pa.float64()),
        "d": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-0.01")], pa.decimal128(10, 2)),
        "day": pa.array([dt.date(2013, 1, 1), None, dt.date(1969, 12, 31)]),
        "ts": pa.array([1357027200000001, None, -1], TIME),
        "s": pa.array(["", "naïve 日本 🛫", None]),
    }
)


def replaced(column: str, cells: pa.Array | pa.ChunkedArray) -> pa.Table:
    """`MIXED` with other *cells* in *column*."""
    return MIXED.set_column(MIXED.column_names.index(column), column, cells)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            pa.table({"x": pa.array([1], pa.int64())}),
            "3ae7dbd75b910cd1f97a8612fb7f2394db7b16e0800271daafb5a960247cbe90",
        ),
        (
            pa.table({"x": pa.array([None], pa.string())}),
            "675bc4dad4d29bc66f4ce2c2537387ec8bafb2e7164f200f0272492dfa973bda",
        ),
        (MIXED, "262c9da69f97bc4d6fccfe3d511186d3b18ef444ab49fcfba62822c1fc657e1b"),
        (MIXED.slice(0, 0), "a18b59338fd25b20e886417a19d56de4ee25b136060e4d3fffc2f5a91186279c"),
    ],
    ids=["long", "null", "mixed", "empty"],
)
def test_vectors(table: pa.Table, expected: str) -> None:
    """The published vectors: they may never change, every stored digest rests on them."""
    assert digest(table) == f"tbl1:{expected}"


def test_the_sum_of_one_cell_is_the_hash_of_its_bytes() -> None:
    """The vector of a single long: flag, payload, row hash as a little-endian number."""
    row = bytes.fromhex("010100000000000000")
    expected = int.from_bytes(hashlib.blake2b(row, digest_size=16, person=b"tbl1").digest(), "little")
    assert expected == 0x9850989062425A37D0B6A1CDA202890C
    assert row_sum(pa.table({"x": pa.array([1], pa.int64())}).to_batches()) == RowSum(1, expected)


# A second implementation: row by row in plain Python, straight from the definition.

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _whole(value: int) -> bytes:
    return struct.pack("<q", value)


def _real(value: float) -> bytes:
    return _whole(0x7FF8000000000000) if math.isnan(value) else struct.pack("<d", value + 0.0)


def _text(value: str) -> bytes:
    return hashlib.blake2b(value.encode(), digest_size=16).digest()


KINDS: Final[dict[str, tuple[pa.DataType, st.SearchStrategy[Any], Callable[[Any], bytes]]]] = {
    "boolean": (pa.bool_(), st.booleans(), _whole),
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1), _whole),
    "long": (pa.int64(), st.integers(-(2**63), 2**63 - 1), _whole),
    "float": (pa.float32(), st.floats(width=32), _real),
    "double": (pa.float64(), st.floats(), _real),
    "decimal(20, 3)": (
        pa.decimal128(20, 3),
        st.integers(-(10**19), 10**19).map(lambda n: decimal.Decimal(n).scaleb(-3)),
        lambda value: int(value.scaleb(3)).to_bytes(16, "little", signed=True),
    ),
    "date": (pa.date32(), st.dates(), lambda value: _whole((value - EPOCH.date()).days)),
    "timestamptz": (
        TIME,
        st.datetimes(timezones=st.just(dt.UTC)),
        lambda value: _whole((value - EPOCH) // dt.timedelta(microseconds=1)),
    ),
    "string": (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5), _text),
    "binary": (pa.binary(), st.binary(max_size=5), lambda value: hashlib.blake2b(value, digest_size=16).digest()),
}


def reference(columns: dict[str, tuple[str, list[Any]]], rows: int) -> str:
    """The digest of columns of (Iceberg type, cells)."""
    total = 0
    for number in range(rows):
        row = b""
        for name in sorted(columns):
            kind, cells = columns[name]
            size = 16 if kind in ("string", "binary", "decimal(20, 3)") else 8
            cell = cells[number]
            row += b"\0" * (size + 1) if cell is None else b"\1" + KINDS[kind][2](cell)
        total += int.from_bytes(hashlib.blake2b(row, digest_size=16, person=b"tbl1").digest(), "little")
    content = {
        "columns": sorted([n, k] for n, (k, _) in columns.items()),
        "rows": rows,
        "sum": f"{total % 2**128:032x}",
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "tbl1:" + hashlib.sha256(text.encode()).hexdigest()


@st.composite
def contents(draw: st.DrawFn) -> tuple[dict[str, tuple[str, list[Any]]], int]:
    """Columns of any kind with any cells, and the number of rows."""
    rows = draw(st.integers(0, 6))
    names = draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), min_size=1, max_size=5, unique=True)
    )
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(sorted(KINDS)))
        columns[name] = kind, draw(st.lists(st.none() | KINDS[kind][1], min_size=rows, max_size=rows))
    return columns, rows


def as_table(columns: dict[str, tuple[str, list[Any]]]) -> pa.Table:
    """The columns as Arrow."""
    return pa.table({name: pa.array(cells, KINDS[kind][0]) for name, (kind, cells) in columns.items()})


@given(contents())
def test_follows_the_definition(content: tuple[dict[str, tuple[str, list[Any]]], int]) -> None:
    """Any table has the digest that the definition gives it, cell by cell."""
    columns, rows = content
    assert digest(as_table(columns)) == reference(columns, rows)


@given(contents(), st.randoms(use_true_random=False))
def test_order_and_chunks_mean_nothing(content: tuple[dict[str, tuple[str, list[Any]]], int], random: Any) -> None:
    """Rows and columns in another order, in slices of other chunks: the same digest."""
    table = as_table(content[0])
    order = list(range(table.num_rows))
    random.shuffle(order)
    names = list(table.column_names)
    random.shuffle(names)
    cut = random.randint(0, table.num_rows)
    shuffled = table.take(pa.array(order, pa.int64())).select(names)
    pieces = pa.concat_tables([shuffled.slice(cut), shuffled.slice(0, cut)])
    assert digest(pieces) == digest(table)
    assert digest(pieces.to_reader(max_chunksize=2)) == digest(table)


@given(contents(), st.integers(0, 6))
def test_sums_of_parts_add_up(content: tuple[dict[str, tuple[str, list[Any]]], int], cut: int) -> None:
    """The digest of an append needs no second reading of the old rows."""
    table = as_table(content[0])
    parts = row_sum(table.slice(0, cut).to_batches()) + row_sum(table.slice(cut).to_batches())
    assert digest_of(table.schema, parts) == digest(table)
    assert parts + RowSum.zero() == parts


@given(contents(), contents())
def test_different_tables_differ(
    one: tuple[dict[str, tuple[str, list[Any]]], int], other: tuple[dict[str, tuple[str, list[Any]]], int]
) -> None:
    """Two drawn tables have equal digests only where the definition says so."""
    assert (digest(as_table(one[0])) == digest(as_table(other[0]))) == (reference(*one) == reference(*other))


def test_steps_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch larger than one step is encoded piece by piece, nulls and text included."""
    table = pa.table({"n": [*range(10), None], "s": ["a", None, *"abcabcabc"]})
    whole = digest(table)
    monkeypatch.setattr(module, "_STEP", 3)
    assert digest(table) == whole


SAME: Final = {
    "large text": replaced("s", MIXED["s"].cast(pa.large_string())),
    "text views": replaced("s", MIXED["s"].cast(pa.string_view())),
    "coded text": replaced("s", MIXED["s"].dictionary_encode()),
    "coded with a null word": replaced(
        "s", pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["", "naïve 日本 🛫", None]))
    ),
    "minus zero, other NaN": replaced("f", pa.array([0.1, 0.0, -float("nan")])),
    "payload NaN": replaced("f", pa.array(np.array([0.1, 0.0, np.uint64(0x7FF800000000BEEF).view(np.float64)]))),
    "nanoseconds": replaced("ts", MIXED["ts"].cast(pa.timestamp("ns", "UTC"))),
    "another zone": replaced("ts", MIXED["ts"].cast(pa.timestamp("us", "America/New_York"))),
    "narrow int": replaced("i", MIXED["i"].cast(pa.int8())),
    "date of milliseconds": replaced("day", MIXED["day"].cast(pa.date64())),
    "garbage under nulls": replaced(
        "l", pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x05"), pa.array([2**40, 99, -1]).buffers()[1]])
    ),
}


@pytest.mark.parametrize("table", SAME.values(), ids=SAME)
def test_same(table: pa.Table) -> None:
    """How Arrow stores a value means nothing."""
    assert digest(table) == digest(MIXED)


def test_different() -> None:
    """Whatever changes the content of a table changes its digest: each of these differs from all others."""
    words = ["ab", "c"]
    tables = [
        MIXED,
        pa.concat_tables([MIXED, MIXED.slice(0, 1)]),
        MIXED.slice(0, 2),
        MIXED.drop(["b"]),
        MIXED.rename_columns(["B", *MIXED.column_names[1:]]),
        replaced("i", MIXED["i"].cast(pa.int64())),
        replaced("f", MIXED["f"].cast(pa.float32())),
        replaced("f", pa.array([0.1, -0.0, None])),
        replaced("f", pa.array([np.nextafter(0.1, 1), -0.0, float("nan")])),
        replaced("d", MIXED["d"].cast(pa.decimal128(10, 3))),
        replaced("d", MIXED["d"].cast(pa.decimal128(11, 2))),
        replaced("ts", MIXED["ts"].cast(pa.timestamp("us"))),
        replaced("ts", pa.array([1357027200000002, None, -1], TIME)),
        replaced("s", pa.array([None, "naïve 日本 🛫", None])),
        replaced("s", pa.array(["", "nai\u0308ve 日本 🛫", None])),
        replaced("s", MIXED["s"].cast(pa.binary())),
        pa.table({"x": words, "y": ["a", "bc"]}),
        pa.table({"x": ["a", "c"], "y": ["ba", "bc"]}),
        pa.table({"x": ["a", "c"], "y": ["1", "2"]}),
        pa.table({"x": ["a", "c"], "y": ["2", "1"]}),
        pa.table({"x": pa.array([0, 0])}),
        pa.table({"x": pa.array([0, None])}),
        pa.table({"x": pa.array([False, False])}),
    ]
    digests = [digest(table) for table in tables]
    assert len(set(digests)) == len(tables)


def test_duplicates_do_not_cancel() -> None:
    """A row that is there twice is not a row that is not there: sums, not exclusive or."""
    row = pa.table({"x": [7]})
    assert len({digest(pa.concat_tables([row] * times)) for times in (1, 2, 3, 4)}) == 4


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([1], pa.uint64()),
        pa.array([None], pa.null()),
        pa.array([decimal.Decimal(1)], pa.decimal256(50, 0)),
        pa.array([dt.timedelta(1)], pa.duration("us")),
    ],
    ids=lambda column: str(column.type),
)
def test_refused_types(column: pa.Array) -> None:
    """A type without a definition is refused by name, not approximated; also in a schema without rows."""
    table = pa.table({"x": column})
    with pytest.raises(NotDigestible, match=str(column.type)[:4]):
        digest(table)
    with pytest.raises(NotDigestible, match="cast it to"):
        digest_of(table.schema, RowSum.zero())
    with pytest.raises(TypeError):
        schema_hash(table.schema)


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.time64("ns")], ids=str)
def test_refused_precision(kind: pa.DataType) -> None:
    """A nanosecond that microseconds cannot hold is refused with the column's name; nothing is rounded."""
    with pytest.raises(NotDigestible, match="column x "):
        digest(pa.table({"x": pa.array([1], pa.int64()).cast(kind)}))


@pytest.mark.parametrize(
    "schema", [pa.schema([]), pa.schema([("x", pa.int64()), ("x", pa.int64())])], ids=["none", "twice"]
)
def test_refused_schemas(schema: pa.Schema) -> None:
    """A table needs columns, each of one name."""
    with pytest.raises(NotDigestible):
        digest_of(schema, RowSum.zero())


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["train", "val", None])), max_size=30))
def test_sums_by_group(rows: list[tuple[int, str | None]]) -> None:
    """Whole and groups come out of one pass as they would one by one; null is in no group."""
    table = pa.table(
        {"n": pa.array([n for n, _ in rows], pa.int64()), "split": pa.array([s for _, s in rows], pa.string())}
    )
    whole, groups = row_sums_by(table.to_batches(max_chunksize=7))
    assert whole == row_sum(table.to_batches())
    present = {split for _, split in rows if split is not None}
    assert set(groups) == present
    for split in present:
        mine = [i for i, (_, other) in enumerate(rows) if other == split]
        assert groups[split] == row_sum(table.take(mine).to_batches())


def test_schema_hash_is_of_names_and_types() -> None:
    """Order and nullability mean nothing; a name or a type does."""
    schema = pa.schema([pa.field("a", pa.int32()), pa.field("b", pa.string(), nullable=False)])
    same = pa.schema([("b", pa.large_string()), ("a", pa.int16())])
    others = [pa.schema([("a", pa.int64()), ("b", pa.string())]), pa.schema([("a", pa.int32()), ("c", pa.string())])]
    assert schema_hash(schema) == schema_hash(same)
    assert len({schema_hash(schema), *(schema_hash(other) for other in others)}) == 3
    expected = hashlib.sha256(b'[["a","int"],["b","string"]]').hexdigest()
    assert schema_hash(schema) == expected


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.bool_(), "boolean"),
        (pa.uint16(), "int"),
        (pa.uint32(), "long"),
        (pa.float16(), "float"),
        (pa.float64(), "double"),
        (pa.decimal128(9, 2), "decimal(9, 2)"),
        (pa.date64(), "date"),
        (pa.time32("ms"), "time"),
        (pa.timestamp("s"), "timestamp"),
        (pa.timestamp("us", "+05:00"), "timestamptz"),
        (pa.large_string(), "string"),
        (pa.binary(4), "binary"),
        (pa.dictionary(pa.int8(), pa.string()), "string"),
    ],
    ids=str,
)
def test_iceberg_type_names(kind: pa.DataType, name: str) -> None:
    """Arrow types have the names of the Iceberg types that hold them."""
    assert iceberg_type_name(kind) == name
