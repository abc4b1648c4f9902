"""The snapshots that are made here: rows in place of all old ones or beside them, and the same rows in other files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.typedef import EMPTY_DICT


class ReplaceRows(_OverwriteFiles):
    """Takes all files out of a table and puts others in, as one snapshot, when it is committed.

    PyIceberg's own overwrite keeps manifests that list nothing but removed files: one more with every rewrite, and each
    is read at every scan.

    Args:
        transaction: Of the table.
        io: Of the table.
        removed: All files that are in the table.
        added: The files that take their place.
        properties: Recorded with the snapshot.
    """

    def __init__(
        self,
        transaction: Transaction,
        io: FileIO,
        *,
        removed: Iterable[DataFile],
        added: Iterable[DataFile],
        properties: Mapping[str, str],
    ) -> None:
        first = transaction.table_metadata.current_snapshot() is None
        operation = Operation.APPEND if first else Operation.OVERWRITE
        super().__init__(operation, transaction, io, snapshot_properties=dict(properties))
        for file in removed:
            self.delete_data_file(file)
        for file in added:
            self.append_data_file(file)

    def _existing_manifests(self) -> list[ManifestFile]:
        return []

    def _build_delete_files_partition_predicate(self) -> None:
        """All files go: no need to find their manifests by an expression that names each partition."""
        self._predicate = AlwaysTrue()


class RewriteFiles(_OverwriteFiles):
    """Holds the same rows in other files and one manifest, as one snapshot, when it is committed.

    Args:
        transaction: Of an unpartitioned table.
        io: Of the table.
        kept: Files that stay, as its manifests name them.
        removed: The other data files of the table.
        added: The files that hold their rows now.
        properties: Recorded with the snapshot.
    """

    def __init__(
        self,
        transaction: Transaction,
        io: FileIO,
        *,
        kept: Iterable[ManifestEntry],
        removed: Iterable[DataFile],
        added: Iterable[DataFile],
        properties: Mapping[str, str],
    ) -> None:
        super().__init__(Operation.OVERWRITE, transaction, io, snapshot_properties=dict(properties))
        self._kept = list(kept)
        for file in removed:
            self.delete_data_file(file)
        for file in added:
            self.append_data_file(file)

    def _existing_manifests(self) -> list[ManifestFile]:
        if not self._kept:
            return []
        with self.new_manifest_writer(self._transaction.table_metadata.spec()) as writer:
            for entry in self._kept:
                writer.add_entry(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.EXISTING,
                        snapshot_id=entry.snapshot_id,
                        sequence_number=entry.sequence_number,
                        file_sequence_number=entry.file_sequence_number,
                        data_file=entry.data_file,
                    )
                )
        return [writer.to_manifest_file()]

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        """Totals as of an overwrite, which is all that PyIceberg counts, under the word that promises the same rows."""
        counted = super()._summary(snapshot_properties).additional_properties
        return Summary(Operation.REPLACE, **counted)


def append_files(transaction: Transaction, added: Iterable[DataFile], properties: Mapping[str, str]) -> None:
    """Put files into a table beside those that are in it, as one snapshot, even if there are none."""
    with transaction.update_snapshot(snapshot_properties=dict(properties)).fast_append() as snapshot:
        for file in added:
            snapshot.append_data_file(file)
