"""A PyIceberg catalog in the layout of Java's HadoopCatalog, pinned to one ref of the lake.

    warehouse/<namespace>/<table>/metadata/vN.metadata.json     state of the table; the highest N is its head
    warehouse/<namespace>/<table>/metadata/version-hint.text    N, for readers that do not list; may be behind
    warehouse/<namespace>/<table>/data/…                        rows

The commit of a table is "create v(N+1) if there is none", decided by lakeFS in one step. The names matter: only names
that collide make lakeFS report a conflict when two branches that changed the same table are merged; with Iceberg's
usual random names an update would be lost. A namespace is a folder: it is there while a table is in it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.io import FileIO
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableResponse, StagedTable, Table
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate, update_table_metadata
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from ml_assets.lib.core.errors import (
    AccessDenied,
    BrokenClosure,
    ForbiddenProperty,
    LakeError,
    LakeUnavailable,
    ObjectExists,
)
from ml_assets.lib.core.names import WAREHOUSE
from ml_assets.lib.core.refs import Branch, Commit, Ref
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.lake.types import Stat
from ml_assets.lib.tables.file_io import PinnedFileIO, location_of
from ml_assets.lib.tables.layout import refuse_foreign, refuse_properties

if TYPE_CHECKING:
    import pyarrow as pa

_LOG: Final = logging.getLogger(__name__)
_VERSION: Final = re.compile(r".*/metadata/v(\d+)\.metadata\.json")
_PUBLISH_TRIES: Final = 3
_REMEMBERED: Final = 256
"""Tables of a commit whose state is kept in memory."""


class State(NamedTuple):
    """The head of a table at a ref: its version, the object that holds it, and what that says."""

    version: int
    stat: Stat
    metadata: TableMetadata


class LakeCatalog(MetastoreCatalog):
    """Tables at one ref of the lake: writable at a branch, for ever the same at a commit.

    Its properties hold no credentials: those stay inside the `Lake`.

    Args:
        lake: Where.
        ref: What is read and written.
    """

    def __init__(self, lake: Lake, ref: Ref) -> None:
        super().__init__("lake", warehouse=location_of(WAREHOUSE, lake.repository))
        self._lake = lake
        self._ref = ref
        self._state = lru_cache(_REMEMBERED)(self._read_state) if isinstance(ref, Commit) else self._read_state

    def __repr__(self) -> str:
        return f"LakeCatalog({self._lake!r}, {str(self._ref)!r})"

    # Tables

    def state(self, identifier: str | Identifier) -> State:
        """The head of the table at the ref, with what is uncommitted on a branch.

        Raises:
            NoSuchTableError: The ref has none of this name.
        """
        return self._state(table_path(identifier))

    def load_table(self, identifier: str | Identifier) -> Table:
        """The table at the ref, with what is uncommitted on a branch.

        Raises:
            NoSuchTableError: The ref has none of this name.
        """
        path = table_path(identifier)
        state = self._state(path)
        return self._table(path, state.version, state.metadata)

    def table_exists(self, identifier: str | Identifier) -> bool:
        """Whether the ref has a table of this name."""
        return bool(self._versions(table_path(identifier)))

    def create_table(  # noqa: PLR0917 - PyIceberg's signature
        self,
        identifier: str | Identifier,
        schema: Schema | pa.Schema,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        """Make an empty table.

        Raises:
            TableAlreadyExistsError: There is one.
            ForbiddenProperty: *location* or *properties* would break the layout.
        """
        path = table_path(identifier)
        staged = self._create_staged_table(identifier, schema, location, partition_spec, sort_order, properties)
        if self._versions(path):
            raise TableAlreadyExistsError(f"{path} exists at {self._ref}")
        try:
            self._publish(path, 1, staged.metadata)
        except CommitFailedException as error:
            raise TableAlreadyExistsError(f"{path} exists at {self._ref}") from error
        return self._table(path, 1, staged.metadata)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Create the next version of the table.

        Raises:
            CommitFailedException: A requirement is not met, or somebody else created that version first.
            ForbiddenProperty: The new state would break the layout.
        """
        path = table_path(table.name())
        try:
            version, _, metadata = self._read_state(path)
            current = self._table(path, version, metadata)
        except NoSuchTableError:
            version, current = 0, None
        for requirement in requirements:
            requirement.validate(current.metadata if current else None)
        new = update_table_metadata(
            base_metadata=current.metadata if current else self._empty_table_metadata(),
            updates=updates,
            enforce_validation=current is None,
            metadata_location=current.metadata_location if current else None,
        )
        if current is None or new != current.metadata:
            version += 1
            self._publish(path, version, new)
        return CommitTableResponse(metadata=new, metadata_location=self._location(path, version))

    def drop_table(self, identifier: str | Identifier) -> None:
        """Remove every object of the table on the branch; earlier commits keep theirs.

        Raises:
            NoSuchTableError: The branch has none of this name.
        """
        path, branch = table_path(identifier), self._writable()
        if not self._versions(path):
            raise NoSuchTableError(f"{path} does not exist at {branch}")
        self._lake.delete(branch, [stat.path for stat in self._lake.ls(branch, f"{path}/")])

    def purge_table(self, identifier: str | Identifier) -> None:
        """As `drop_table`: earlier commits keep their files whatever is removed here."""
        self.drop_table(identifier)

    # Namespaces

    def create_namespace(self, namespace: str | Identifier, properties: Properties = EMPTY_DICT) -> None:
        """Nothing to do: a folder needs no making."""

    def drop_namespace(self, namespace: str | Identifier) -> None:
        """Nothing to do: a namespace without tables is not there.

        Raises:
            NamespaceNotEmptyError: A table is in it.
        """
        if self.list_tables(namespace):
            raise NamespaceNotEmptyError(f"{namespace} has tables at {self._ref}")

    def list_tables(self, namespace: str | Identifier) -> list[Identifier]:
        """Tables of the namespace at the ref, in order of name."""
        (name,) = self.identifier_to_tuple(namespace)
        folders = self._lake.folders(self._ref, f"{WAREHOUSE}/{name}/")
        return [(name, table) for table in folders if self._versions(f"{WAREHOUSE}/{name}/{table}")]

    def list_namespaces(self, namespace: str | Identifier = ()) -> list[Identifier]:
        """Namespaces at the ref, in order of name; there are none inside others."""
        return [] if namespace else [(name,) for name in self._lake.folders(self._ref, f"{WAREHOUSE}/")]

    def load_namespace_properties(self, namespace: str | Identifier) -> Properties:
        """Where the namespace is.

        Raises:
            NoSuchNamespaceError: No table is in it at the ref.
        """
        (name,) = self.identifier_to_tuple(namespace)
        if not self.list_tables(name):
            raise NoSuchNamespaceError(f"{name} has no table at {self._ref}")
        return {"location": self._home(f"{WAREHOUSE}/{name}")}

    # What tables in the lake cannot do

    def _refused(self, *_: object, **__: object) -> NoReturn:
        raise ForbiddenProperty(
            "tables in the lake cannot be renamed or registered, namespaces have no properties, and there are no views",
            remedy="write a new table and drop the old one",
        )

    rename_table = register_table = update_namespace_properties = _refused
    create_view = load_view = register_view = drop_view = list_views = _refused

    def view_exists(self, identifier: str | Identifier) -> bool:
        """There are no views."""
        return False

    # Versions

    def _versions(self, path: str) -> Mapping[int, Stat]:
        """The versions that are there, in order: one listing, so that it does not matter whether the hint is behind."""
        listed = self._lake.ls(self._ref, f"{path}/metadata/v")
        found = {int(match[1]): stat for stat in listed if (match := _VERSION.fullmatch(stat.path))}
        versions = sorted(found)
        if versions and versions[-1] - versions[0] != len(versions) - 1:
            raise BrokenClosure(
                f"{path} at {self._ref} has the versions {versions}: readers disagree which one is its head",
                remedy="publish the unit anew with --recompute",
            )
        return {version: found[version] for version in versions}

    def _read_state(self, path: str) -> State:
        versions = self._versions(path)
        if not versions:
            raise NoSuchTableError(f"{path} does not exist at {self._ref}")
        version = max(versions)
        data = self._lake.read(self._ref, versions[version].path)
        if data is None:
            raise NoSuchTableError(f"{path} was dropped at {self._ref} while it was read")
        return State(version, versions[version], TableMetadataUtil.parse_raw(data.decode()))

    def _publish(self, path: str, version: int, metadata: TableMetadata) -> None:
        """Create *version*: the commit of a table. Whether a call without an answer landed is found out by reading."""
        refuse_foreign(metadata, location=self._home(path))
        branch, target = self._writable(), _version_path(path, version)
        data = metadata.model_dump_json().encode()
        for attempt in range(1, _PUBLISH_TRIES + 1):
            try:
                self._lake.put(branch, target, data, if_absent=True)
                break
            except (ObjectExists, LakeUnavailable) as error:
                present = self._lake.read(branch, target)
                if present == data:
                    break
                if present is not None:
                    raise CommitFailedException(f"{target} on {branch} was created by somebody else") from error
                if attempt == _PUBLISH_TRIES:
                    raise
        try:
            self._lake.put(branch, f"{path}/metadata/version-hint.text", str(version).encode())
        except LakeError as error:
            _LOG.warning("the version hint of %s on %s stays behind: %s", path, branch, error)

    def _writable(self) -> Branch:
        if isinstance(self._ref, Branch):
            return self._ref
        raise AccessDenied(f"{self._ref} is not a branch and cannot be written", remedy="write on a run branch")

    # What PyIceberg asks of a catalog

    def _table(self, path: str, version: int, metadata: TableMetadata) -> Table:
        location = self._location(path, version)
        _, namespace, name = path.split("/")
        return Table((namespace, name), metadata, location, self._load_file_io(metadata.properties, location), self)

    def _home(self, path: str) -> str:
        return location_of(path, self._lake.repository)

    def _location(self, path: str, version: int) -> str:
        return location_of(_version_path(path, version), self._lake.repository)

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return PinnedFileIO(self._lake, self._ref, properties)

    def _create_staged_table(  # noqa: PLR0917 - PyIceberg's signature
        self,
        identifier: str | Identifier,
        schema: Schema | pa.Schema,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> StagedTable:
        refuse_properties(properties, location=self._home(table_path(identifier)))
        return super()._create_staged_table(identifier, schema, location, partition_spec, sort_order, properties)

    def _resolve_table_location(self, location: str | None, database_name: str, table_name: str) -> str:
        own = self._home(table_path((database_name, table_name)))
        if location is not None and location.rstrip("/") != own:
            raise ForbiddenProperty(f"location {location!r}: the table lies at {own!r}", remedy="give no location")
        return own


def table_path(identifier: str | Identifier) -> str:
    """Folder of a table inside a ref, without a slash behind it.

    Raises:
        NoSuchTableError: Not ``<namespace>.<table>``.
    """
    parts = LakeCatalog.identifier_to_tuple(identifier)
    if len(parts) != 2 or not all(parts) or any("/" in part for part in parts):  # noqa: PLR2004 - namespace and table
        raise NoSuchTableError(f"{identifier!r} is not <namespace>.<table>")
    return "/".join((WAREHOUSE, *parts))


def _version_path(path: str, version: int) -> str:
    return f"{path}/metadata/v{version}.metadata.json"
