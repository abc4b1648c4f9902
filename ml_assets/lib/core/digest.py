"""The content digest ``tbl1`` of a table: the same for every engine, row order, column order and chunking.

    cell    one flag byte (0 null, 1 value), then the payload, little endian; the payload of a null is zero
            boolean, int8 to int64, uint8 to uint32, date (days), time and timestamp (microseconds): 8 bytes
            float, double: the bits of the double, -0.0 as 0.0, every NaN as 0x7ff8000000000000: 8 bytes
            decimal: the unscaled integer: 16 bytes
            string, binary: blake2b of the bytes as stored (no Unicode normalisation): 16 bytes
    row     its cells in order of column name; its hash is blake2b (16 bytes, person ``tbl1``)
    table   number of rows, and the sum of the row hashes as little-endian integers modulo 2**128
    digest  ``tbl1:`` + SHA-256 of canonical JSON {columns: sorted [name, Iceberg type] pairs, rows, sum: 32 hex digits}

Sums of parts add up, so the digest of an append, of a split or of many workers costs no second reading. Nullability
and Iceberg field ids are outside on purpose. It guards against accident, not against somebody who can choose the rows:
a sum of hashes can be forged. Digest Arrow data, never a pandas frame, where a null becomes NaN and an integer a float.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml_assets.lib.core.errors import NotDigestible
from ml_assets.lib.core.names import SPLIT
from ml_assets.lib.core.recipe import canonical_json, hash_of

Bytes = npt.NDArray[np.uint8]

_STEP: Final = 1 << 16
"""Rows encoded at a time: large enough for NumPy, small enough for the cache."""

_MODULUS: Final = 1 << 128
_NAN: Final = 0x7FF8000000000000
_PERSON: Final = b"tbl1"

_EXACT_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.bool_(): "boolean",
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()), "int"),
    **dict.fromkeys((pa.int64(), pa.uint32()), "long"),
    **dict.fromkeys((pa.float16(), pa.float32()), "float"),
    pa.float64(): "double",
    **dict.fromkeys((pa.date32(), pa.date64()), "date"),
    **dict.fromkeys((pa.string(), pa.large_string(), pa.string_view()), "string"),
    **dict.fromkeys((pa.binary(), pa.large_binary(), pa.binary_view()), "binary"),
}


@dataclass(frozen=True, slots=True)
class RowSum:
    """What a digest needs to know of some rows. The sum of two parts is that of the whole.

    Attributes:
        rows: Number of rows.
        total: Sum of the row hashes, modulo 2**128.
    """

    rows: int
    total: int

    def __add__(self, other: RowSum) -> RowSum:
        return RowSum(self.rows + other.rows, (self.total + other.total) % _MODULUS)

    @classmethod
    def zero(cls) -> RowSum:
        """No rows."""
        return cls(0, 0)


def digest(data: pa.Table | pa.RecordBatchReader) -> str:
    """The digest of all rows: ``tbl1:`` and 64 hexadecimal digits. A reader is used up.

    Raises:
        NotDigestible: A type that ``tbl1`` does not define, or a time finer than microseconds.
    """
    batches = data.to_batches() if isinstance(data, pa.Table) else data
    return digest_of(data.schema, row_sum(batches))


def digest_of(schema: pa.Schema, sums: RowSum) -> str:
    """The digest of a table of *schema* whose rows add up to *sums*.

    Raises:
        NotDigestible: A type that ``tbl1`` does not define, or no column, or two of one name.
    """
    content = {"columns": _columns(schema), "rows": sums.rows, "sum": f"{sums.total:032x}"}
    return "tbl1:" + hashlib.sha256(canonical_json(content)).hexdigest()


def schema_hash(schema: pa.Schema) -> str:
    """SHA-256 over name and Iceberg type of the columns in order of name, as 64 hexadecimal digits.

    Raises:
        NotDigestible: A type that ``tbl1`` does not define, or no column, or two of one name.
    """
    return hash_of(_columns(schema))


def row_sum(batches: Iterable[pa.RecordBatch]) -> RowSum:
    """The sum over all rows of *batches*, in one pass and constant memory.

    Raises:
        NotDigestible: A type that ``tbl1`` does not define, or a time finer than microseconds.
    """
    sums = RowSum.zero()
    for batch in _steps(batches):
        sums += _sum_of(_row_hashes(batch))
    return sums


def row_sums_by(batches: Iterable[pa.RecordBatch], column: str = SPLIT) -> tuple[RowSum, dict[str, RowSum]]:
    """The sum over all rows, and that of each group of rows with one value of *column*, in the same pass.

    Args:
        batches: The rows; *column* is text.
        column: What the rows are grouped by; a row that holds null there is in the whole and in no group.

    Raises:
        NotDigestible: A type that ``tbl1`` does not define, or a time finer than microseconds.
    """
    whole, groups = RowSum.zero(), dict[str, RowSum]()
    for batch in _steps(batches):
        hashes = _row_hashes(batch)
        whole += _sum_of(hashes)
        coded = _dictionary(batch.column(column))
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        for code, name in enumerate(coded.dictionary.to_pylist()):
            groups[name] = groups.get(name, RowSum.zero()) + _sum_of(hashes[codes == code])
    return whole, groups


def iceberg_type_name(data_type: pa.DataType) -> str:
    """The Iceberg name of an Arrow type, as digests and schema hashes spell it: ``long``, ``timestamptz``.

    Raises:
        NotDigestible: A type that ``tbl1`` does not define: nested, uint64, null, an extension.
    """
    kinds = pa.types
    if kinds.is_dictionary(data_type):
        return iceberg_type_name(data_type.value_type)
    if kinds.is_decimal128(data_type):
        return f"decimal({data_type.precision}, {data_type.scale})"
    if kinds.is_time(data_type):
        return "time"
    if kinds.is_timestamp(data_type):
        return "timestamptz" if data_type.tz else "timestamp"
    if kinds.is_fixed_size_binary(data_type):
        return "binary"
    if data_type in _EXACT_TYPES:
        return _EXACT_TYPES[data_type]
    raise NotDigestible(
        f"the digest tbl1 does not define the type {data_type}",
        remedy="cast it to boolean, int32, int64, double, decimal128, date, time, timestamp, string or binary",
    )


def _columns(schema: pa.Schema) -> list[list[str]]:
    """Sorted pairs of name and Iceberg type."""
    if not schema.names:
        raise NotDigestible("a table without columns has no digest", remedy="select at least one column")
    if len(set(schema.names)) < len(schema.names):
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        raise NotDigestible(f"two columns share the name {', '.join(twice)}", remedy="rename one of them")
    return sorted([field.name, iceberg_type_name(field.type)] for field in schema)


def _steps(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most `_STEP`."""
    for batch in batches:
        for start in range(0, batch.num_rows, _STEP):
            yield batch.slice(start, _STEP)


def _row_hashes(batch: pa.RecordBatch) -> Bytes:
    """Hash of each row, as a matrix of (rows, 16) bytes."""
    parts: list[Bytes] = []
    for name, _ in _columns(batch.schema):
        values = batch.column(name)
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        parts.append(values.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8).reshape(-1, 1))
        parts.append(_payload(name, values))
    matrix = np.concatenate(parts, axis=1)
    rows = matrix.view(f"V{matrix.shape[1]}").ravel().tolist()
    return _hashes(rows, _PERSON)


def _hashes(words: Iterable[bytes], person: bytes = b"") -> Bytes:
    """Hash of each word, personalized by *person*, as a matrix of (words, 16) bytes.

    A copy of a prepared hasher takes half the time of a new one; this loop is where a digest spends its time.
    """
    fresh = hashlib.blake2b(digest_size=16, person=person).copy
    hashes: list[bytes] = []
    for word in words:
        hasher = fresh()
        hasher.update(word)
        hashes.append(hasher.digest())
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)


def _sum_of(hashes: Bytes) -> RowSum:
    """The row sum of some row hashes. Added as four lanes of 32 bits, which cannot overflow 64 bits in one step."""
    lanes = np.ascontiguousarray(hashes).view("<u4").sum(axis=0, dtype=np.uint64)
    return RowSum(len(hashes), sum(int(lane) << (32 * place) for place, lane in enumerate(lanes)) % _MODULUS)


def _payload(name: str, values: pa.Array) -> Bytes:
    """Payloads of a column as (rows, 8) or (rows, 16) bytes, zero where null."""
    kind = iceberg_type_name(values.type)
    if kind in ("string", "binary"):
        return _text_payload(values)
    if kind.startswith("decimal"):
        return _decimal_payload(values)
    if kind in ("float", "double"):
        return _float_payload(values)
    try:
        if kind.startswith("timestamp"):
            values = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())
        elif kind == "date":
            values = values.cast(pa.date32()).cast(pa.int32())
        elif kind == "time":
            values = values.cast(pa.time64("us")).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise NotDigestible(
            f"column {name} of type {values.type} holds values that microseconds (of a date: days) cannot: {error}",
            remedy="round the column when it is made",
        ) from error
    return _little_endian(values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))


def _little_endian(numbers: npt.NDArray[np.int64]) -> Bytes:
    return np.ascontiguousarray(numbers, dtype="<i8").view(np.uint8).reshape(-1, 8)


def _float_payload(values: pa.Array) -> Bytes:
    numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0  # turns -0.0 into 0.0
    bits = numbers.view(np.int64)  # a new array, because of the addition
    bits[np.isnan(numbers)] = _NAN
    return _little_endian(bits)


def _decimal_payload(values: pa.Array) -> Bytes:
    stored = np.frombuffer(values.buffers()[1] or b"", np.uint8).reshape(-1, 16)
    payload = stored[values.offset : values.offset + len(values)].copy()
    payload[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return payload


def _text_payload(values: pa.Array) -> Bytes:
    """Each distinct text is hashed once per step."""
    coded = _dictionary(values)
    words = coded.dictionary.cast(pa.large_binary()).to_pylist()
    table = np.concatenate([_hashes(words), np.zeros((1, 16), np.uint8)])
    codes = coded.indices.cast(pa.int64()).fill_null(len(words)).to_numpy(zero_copy_only=False)
    payload: Bytes = table[codes]
    return payload


def _dictionary(values: pa.Array) -> pa.DictionaryArray:
    """*values* as distinct values and codes, a null as a null code."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if iceberg_type_name(values.type) == "binary":
        return values.cast(pa.large_binary()).dictionary_encode()
    return values.cast(pa.large_string()).dictionary_encode()
