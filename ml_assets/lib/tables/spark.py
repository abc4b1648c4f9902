"""Spark's way to the tables of a lake: a Spark session, catalogs in it that are pinned to a ref, errors of the lake."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ml_assets.lib.core.errors import (
    AccessDenied,
    BrokenClosure,
    CommitRaced,
    ConfigError,
    LakeUnavailable,
    MLAssetsError,
    TableError,
)
from ml_assets.lib.core.refs import Branch, Commit, Ref
from ml_assets.lib.lake.connection import REGION
from ml_assets.lib.tables.errors import translated
from ml_assets.lib.tables.jars import check_jars, manifest, paths
from ml_assets.lib.tables.java import java
from ml_assets.lib.tables.maintain import SMALL_FILE_BYTES, SMALL_FILES
from ml_assets.lib.tables.spark_settings import (
    bucket_settings,
    catalog_settings,
    is_local,
    own_settings,
    pinned_settings,
    session_settings,
)
from ml_assets.lib.tables.tables import Tables

if TYPE_CHECKING:  # heavy, and only named in signatures
    from py4j.java_gateway import JavaObject
    from pyiceberg.schema import Schema
    from pyspark.sql import DataFrame, SparkSession

_PINNED: Final = "pinned"
"""The catalog of a session that sees one branch."""
_MERGE: Final = {
    "min-file-size-bytes": str(SMALL_FILE_BYTES),
    "min-input-files": str(SMALL_FILES),
    "delete-file-threshold": "1",
    "remove-dangling-deletes": "true",
}
"""The same rules as for tables that are maintained without Spark."""

SPARK: Final = "4.0"
"""The release of Spark that the jars are for."""


def spark_versions() -> dict[str, str]:
    """Versions of Spark and of Iceberg in it, without starting either."""
    iceberg = next(jar for jar in manifest() if jar.organisation == "org.apache.iceberg")
    return {"spark": version("pyspark"), "iceberg-spark": iceberg.version}


def check_pyspark() -> None:
    """Check that pyspark is installed, in the release that the jars are for.

    Raises:
        ConfigError: It is not.
    """
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        raise ConfigError("pyspark is not installed", remedy="set up with ML_ASSETS_ENGINE=spark deploy/run") from None
    if not found.startswith(f"{SPARK}."):
        raise ConfigError(
            f"pyspark {found} is installed, but the jars are for Spark {SPARK}",
            remedy="set up with ML_ASSETS_ENGINE=spark deploy/run",
        )


@cache
def check_machine(jars: Path) -> None:
    """Check that Spark can run here: pyspark, Java, every jar in the folder *jars*; once per process.

    Raises:
        ConfigError: Something is missing or wrong; says what to do.
    """
    check_pyspark()
    java()
    check_jars(jars)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers are whatever python3 is on PATH
    if is_local(own_settings()):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # else Spark's UI, if it is on, listens to everybody


def start(jars: Path, *, threads: int | None = None) -> SparkSession:
    """The Spark of this process, started at the first call; it ends with the process.

    Args:
        jars: Folder of the jars, checked already.
        threads: Threads to work with, where it runs in this process; ``None`` means one per core.
    """
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in session_settings(paths(jars), threads=threads).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


class SparkTables:
    """The tables of a lake as one Spark session sees them: a catalog per ref, made when it is first asked for.

    Args:
        spark: A session that nobody else uses: catalogs are settings of it.
        tables: The tables.

    Raises:
        ConfigError: The process already uses a repository of this name on another lake.
    """

    def __init__(self, spark: SparkSession, tables: Tables) -> None:
        self._spark, self._tables = spark, tables
        self._catalogs: dict[Ref, str] = {}
        self._numbers = count(1)
        _grant(spark, tables)

    def read(self, table: str, ref: Ref, columns: Sequence[str] | None = None) -> tuple[DataFrame, pa.Schema]:
        """Rows of *table* at *ref*, lazily, and what they are outside of Spark; of a branch, as its head is now.

        Raises:
            NoSuchTable: *ref* has no such table.
            TableError: A column that it does not have.
            LakeError: The lake refused, or could not be reached.
        """
        with translated(table, ref):
            snapshot = self._tables.catalog(ref).state(table).metadata.current_snapshot_id
        schema = self._tables.schema(table, ref)
        if columns is not None:
            if unknown := sorted(set(columns) - set(schema.names)):
                raise TableError(f"{table} at {ref} has no columns {unknown}", remedy=f"choose from {schema.names}")
            schema = pa.schema([schema.field(name) for name in columns])
        reader = self._spark.read
        if snapshot is not None and not isinstance(ref, Commit):
            reader = reader.option("snapshot-id", str(snapshot))
        return reader.table(self._name(table, ref)).select(*(f"`{name}`" for name in schema.names)), schema

    def write(
        self,
        rows: DataFrame,
        table: str,
        branch: Branch,
        *,
        schema: Schema,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Make the table, or replace its schema and all of its rows, as `Tables.write` does, but from the executors.

        The schema is PyIceberg's work, so that field ids are the same whoever writes; the rows come as one snapshot.
        """
        from pyspark.sql.functions import lit

        self._tables.prepare(table, branch, schema=schema, partition_by=partition_by)
        writer = rows.writeTo(self._name(table, branch))
        for name, value in properties.items():
            writer = writer.option(f"snapshot-property.{name}", value)
        writer.overwrite(lit(True))  # whatever rows there are

    def _name(self, table: str, ref: Ref) -> str:
        if ref not in self._catalogs:
            name = f"lake_{next(self._numbers)}"
            for setting, value in catalog_settings(name, self._tables.lake.repository, ref).items():
                self._spark.conf.set(setting, value)
            self._catalogs[ref] = name
        return ".".join(f"`{part}`" for part in (self._catalogs[ref], *table.split(".")))


def rewrite(spark: SparkSession, tables: Tables, table: str, branch: Branch, properties: Mapping[str, str]) -> None:
    """Merge the small files and the manifests of *table* on *branch* in the executors, uncommitted; rows stay the same.

    Files with deleted rows are written anew without them. It is Iceberg's own maintenance, which looks at the session's
    file system: *spark* must be a session that nobody else uses (mode A).

    Args:
        spark: The session, which sees the branch from now on.
        tables: The tables.
        table: Which.
        branch: Where; nobody else may write there.
        properties: Recorded with the snapshots.
    """
    _grant(spark, tables)
    for setting, value in pinned_settings(_PINNED, tables.lake.repository, branch).items():
        spark.conf.set(setting, value)
    jvm, session = spark._jvm.org.apache, spark._jsparkSession  # type: ignore[union-attr]  # noqa: SLF001 - no other way
    sessions, iceberg = jvm.spark.sql.classic.SparkSession, jvm.iceberg.spark
    sessions.setActiveSession(session)  # whose catalogs Iceberg looks a table up in
    try:
        for action, options in (("rewriteDataFiles", _MERGE), ("rewriteManifests", {})):
            loaded = iceberg.Spark3Util.loadIcebergTable(session, f"{_PINNED}.{table}")
            doing = getattr(iceberg.actions.SparkActions.get(session), action)(loaded)
            for name, value in options.items():
                doing.option(name, value)
            for name, value in properties.items():
                doing.snapshotProperty(name, value)
            doing.execute()
    finally:
        sessions.clearActiveSession()


def _grant(spark: SparkSession, tables: Tables) -> None:
    """Let the process read and write the repository.

    The key goes into Hadoop's configuration, which travels to the executors with each task, and into none of Spark's
    settings. Clients are kept per repository, for as long as the process lives.
    """
    lake = tables.lake
    connection = lake.connection
    wanted = bucket_settings(
        lake.repository,
        connection.endpoint,
        access_key_id=connection.access_key_id,
        secret_access_key=connection.secret_access_key.get_secret_value(),
        region=REGION,
        timeout_s=connection.timeout_s,
    )
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()  # type: ignore[union-attr]  # noqa: SLF001 - no other way
    endpoint = f"fs.s3a.bucket.{lake.repository}.endpoint"
    if (known := hadoop.get(endpoint)) not in {None, wanted[endpoint]}:
        raise ConfigError(
            f"repository {lake.repository!r} at {connection.endpoint}: this process reads one of that name at {known}",
            remedy="use one process for each lake",
        )
    for name, value in wanted.items():
        hadoop.set(name, value)


_KINDS: Final = (
    (r"org\.apache\.iceberg\.exceptions\.CommitFailedException", CommitRaced, "start again on a new branch"),
    (r"java\.nio\.file\.AccessDeniedException", AccessDenied, "ask for the permission, or write on a run branch"),
    (r"java\.io\.FileNotFoundException|NotFoundException: File does not exist", BrokenClosure, "publish it anew"),
    (r"fs\.s3a\.AWS\w+Exception|awssdk\.\S+Exception|java\.net\.\w+Exception", LakeUnavailable, "check the lake"),
)
"""Which words in an error of Spark tell of an error of the lake, in the order in which they are looked for."""


def lake_error(error: BaseException) -> MLAssetsError | None:
    """What an error of Spark says about the lake; ``None`` if it is about something else."""
    told = "\n".join([str(error), *_causes(getattr(error, "_origin", None) or getattr(error, "java_exception", None))])
    for pattern, kind, remedy in _KINDS:
        if found := re.search(rf".*(?:{pattern}).*", told):
            return kind(f"Spark: {found[0].strip()}", remedy=remedy)
    return None


def _causes(thrown: JavaObject | None) -> Iterator[str]:
    """What a Java exception and those behind it say."""
    while thrown is not None:
        yield str(thrown.toString())
        thrown = thrown.getCause()
