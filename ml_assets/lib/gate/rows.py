"""Rows of frames on this machine, by digest. May be deleted at any time: rows are rebuilt and compared.

A small JSON file per digest names a Parquet file by its checksum, taken when the digest was computed from the file
itself. What does not check out counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.digest import RowSum, digest_of, row_sums_by, schema_hash
from ml_assets.lib.core.names import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

    from ml_assets.lib.core.recipe import Json

BATCH_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """What describes the rows of one frame, wherever they lie.

    Attributes:
        digest: Digest of all rows.
        digests: Digest of each split's rows.
        counts: Rows of each split.
        schema_hash: Hash of names and types.
        columns: Name and Arrow type of each column, in order.
    """

    digest: str
    digests: Mapping[str, str]
    counts: Mapping[str, int]
    schema_hash: str
    columns: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, schema: pa.Schema, whole: RowSum, groups: Mapping[str, RowSum]) -> RowFacts:
        """Of rows with *schema*, whose sums are *whole* and, by split, *groups*."""
        by_split = {split: groups.get(split, RowSum.zero()) for split in SPLITS}
        return cls(
            digest=digest_of(schema, whole),
            digests={split: digest_of(schema, sums) for split, sums in by_split.items()},
            counts={split: sums.rows for split, sums in by_split.items()},
            schema_hash=schema_hash(schema),
            columns=tuple((field.name, str(field.type)) for field in schema),
        )

    @property
    def count(self) -> int:
        """Rows of all splits."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Json]:
        """All but the digest of all rows, by which these facts are found."""
        return {
            "digests": dict(self.digests),
            "counts": dict(self.counts),
            "schema_hash": self.schema_hash,
            "columns": [list(column) for column in self.columns],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(RowFacts):
    """The rows of one frame in a file.

    Attributes:
        path: The Parquet file.
    """

    path: Path

    def reader(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows, streamed; in no promised order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.path)
        names = list(columns) if columns is not None else [name for name, _ in self.columns]
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        return pa.RecordBatchReader.from_batches(schema, file.iter_batches(batch_size=BATCH_ROWS, columns=names))


class RowCache:
    """The folder of such files. Safe for any number of processes: files appear whole, by rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, digest: str) -> Rows | None:
        """The rows of *digest*, if they are here and unharmed."""
        try:
            facts = json.loads(self._facts(digest).read_bytes())
            path = self._folder / f"{facts['checksum']}.parquet"
            if _checksum(path) != facts["checksum"]:
                return None
            return Rows(
                path=path,
                digest=digest,
                digests=facts["digests"],
                counts=facts["counts"],
                schema_hash=facts["schema_hash"],
                columns=tuple((name, kind) for name, kind in facts["columns"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, rows: pa.RecordBatchReader) -> Rows:
        """Write *rows* (with a ``split`` column), then digest what the file really holds."""
        import pyarrow.parquet as pq

        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", suffix=".part", delete=False) as part:
            temporary = Path(part.name)
        try:
            with pq.ParquetWriter(temporary, rows.schema, compression="zstd") as writer:
                for batch in rows:
                    writer.write_batch(batch)
            return self._store(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def drop(self, digest: str) -> None:
        """Forget the rows of *digest*."""
        if rows := self.get(digest):
            rows.path.unlink(missing_ok=True)
        self._facts(digest).unlink(missing_ok=True)

    def _facts(self, digest: str) -> Path:
        return self._folder / f"{digest.replace(':', '-')}.json"

    def _store(self, temporary: Path) -> Rows:
        """Give the file its place, and tell of it last: a file that no facts name counts as absent."""
        import pyarrow.parquet as pq

        whole, groups = row_sums_by(_batches(temporary))
        schema = pq.read_schema(temporary)
        facts = RowFacts.of(schema, whole, groups)
        if present := self.get(facts.digest):
            return present
        told = {"checksum": _checksum(temporary), **facts.as_json()}
        path = self._folder / f"{told['checksum']}.parquet"
        temporary.replace(path)
        temporary.write_text(json.dumps(told))
        temporary.replace(self._facts(facts.digest))
        return Rows(
            path=path,
            digest=facts.digest,
            digests=facts.digests,
            counts=facts.counts,
            schema_hash=facts.schema_hash,
            columns=facts.columns,
        )


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
