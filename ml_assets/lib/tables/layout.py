"""What a table in the lake may not be: whatever would lead out of its folder, or hide a conflict from lakeFS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH

from ml_assets.lib.core.errors import ForbiddenProperty, NonCanonicalPath

FORMAT_VERSION: Final = 2
_NEVER: Final = (
    "write.metadata.path",
    "write.data.path",
    "write.folder-storage.path",
    "write.object-storage.path",
    "write.py-location-provider.impl",
    "write.location-provider.impl",
    "py-io-impl",
    "io-impl",
)
"""Other places, or other code that picks places."""
_NEVER_PREFIXES: Final = ("lake.", "s3.", "client.")
"""They would configure the reader's connection, and may hold credentials."""
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "write.metadata.compression-codec": ("none",),
    "write.object-storage.enabled": ("false",),
}
"""Compressed metadata has other names, which do not collide; object storage layout leads out of the folder."""


def refuse_properties(properties: Mapping[str, str], *, location: str) -> None:
    """Check properties of a table before PyIceberg sees them: some name code that it would load.

    Args:
        properties: Of the table.
        location: Of the table, for errors.

    Raises:
        ForbiddenProperty: One that the layout does not allow.
    """
    for key, value in properties.items():
        foreign = key in _NEVER or key.startswith(_NEVER_PREFIXES)
        if foreign or str(value).lower() not in _ONLY.get(key, (str(value).lower(),)):
            raise ForbiddenProperty(f"{location}: table property {key!r}", remedy="leave it out")


def refuse_foreign(metadata: TableMetadata, *, location: str) -> None:
    """Check a state of a table before it is committed, or written to.

    Args:
        metadata: The state.
        location: Where the table must say that it is.

    Raises:
        ForbiddenProperty: A property, format version or Iceberg branch that the layout does not allow.
        NonCanonicalPath: The table, a snapshot or an old version lies elsewhere.
    """
    if metadata.format_version != FORMAT_VERSION:
        raise ForbiddenProperty(
            f"{location}: format version {metadata.format_version}", remedy=f"use format version {FORMAT_VERSION}"
        )
    refuse_properties(metadata.properties, location=location)
    if others := sorted(set(metadata.refs) - {MAIN_BRANCH}):
        raise ForbiddenProperty(
            f"{location}: Iceberg branches or tags {others}", remedy="branch and tag the lake instead"
        )
    recorded = [metadata.location]
    recorded += [snapshot.manifest_list for snapshot in metadata.snapshots]
    recorded += [entry.metadata_file for entry in metadata.metadata_log]
    for place in recorded:
        if place != location and not place.startswith(f"{location}/"):
            raise NonCanonicalPath(
                f"{place!r} is not below {location!r}", remedy="write the table through ml_assets.lib.tables only"
            )
