"""Spark's settings, as text: for a session, for a catalog that is pinned to a ref, for a session that is.

    s3a://<repository>/main/…  is opened at the ref: Hadoop's view file system has a link from ``main`` to it

Mode B pins a *catalog*: one session reads any number of refs and writes one. The link leads to another scheme
(``s3://``), else each open would make an S3 client of its own. Mode A pins the *session*, plain files included, and is
what Iceberg's maintenance needs: its procedures look at the session's file system and not at the catalog's.

None of these settings holds a credential: they show in Spark's UI, in its event log and in the command line of its JVM.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from ml_assets.lib.core.names import CANONICAL, WAREHOUSE
from ml_assets.lib.core.refs import Ref

_VIEW_FS: Final = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
_S3A: Final = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_EXTENSIONS: Final = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
_CATALOG: Final = "org.apache.iceberg.spark.SparkCatalog"
_SETTING: Final = re.compile(r"\s*([^#!\s=:][^\s=:]*)\s*[\s=:]\s*(.*?)\s*")

ENGINE_SETTINGS: Final[Mapping[str, str]] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
    # What is persisted has no more partitions than its size asks for: streaming it takes a job for each.
    "spark.sql.optimizer.canChangeCachedPlanOutputPartitioning": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    # A sorted limit beyond this sorts in the cluster; below, it collects its rows in the driver.
    "spark.sql.execution.topKSortFallbackThreshold": "10000",
}
"""What results depend on: set in every session of the engine, whatever the cluster's own settings say."""


def own_settings() -> Mapping[str, str]:
    """The user's ``spark-defaults.conf``, from where Spark itself reads it: ``SPARK_CONF_DIR``, else ``SPARK_HOME``."""
    folder = os.environ.get("SPARK_CONF_DIR")
    if folder is None and (home := os.environ.get("SPARK_HOME")):
        folder = str(Path(home, "conf"))
    file = Path(folder, "spark-defaults.conf") if folder else None
    if file is None or not file.is_file():
        return {}
    matches = map(_SETTING.fullmatch, file.read_text("utf-8").splitlines())
    return {match[1]: match[2] for match in matches if match}


def is_local(own: Mapping[str, str]) -> bool:
    """Whether Spark runs in this process, by the user's *own* settings."""
    return own.get("spark.master", "local").startswith("local")


def session_settings(jars: Iterable[Path], *, threads: int | None = None) -> dict[str, str]:
    """Settings that a Spark must be started with; what `own_settings` says goes first, but for the jars.

    Args:
        jars: Files of `ml_assets.lib.tables.jars`.
        threads: Threads of a Spark in this process; ``None`` means one per core, or a cluster's own.
    """
    own = own_settings()
    log = files(__package__).joinpath("spark-log4j2.properties")
    settings = {
        "spark.app.name": "ml_assets",
        "spark.driver.extraJavaOptions": f'"-Dlog4j2.configurationFile={log}"',
        "spark.driver.memory": "2g",
        "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir(), "ml-assets-spark-warehouse")),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if is_local(own):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
        settings |= {"spark.sql.shuffle.partitions": "32"}  # each task opens a file for each
        settings |= {} if threads is None else {"spark.master": f"local[{threads}]"}
    settings |= own
    settings["spark.jars"] = _joined(own.get("spark.jars"), *map(str, jars))
    settings["spark.sql.extensions"] = _joined(own.get("spark.sql.extensions"), _EXTENSIONS)
    return settings


def catalog_settings(name: str, repository: str, ref: Ref) -> dict[str, str]:
    """Mode B: the catalog *name* of a session sees *ref*. May be set at run time."""
    catalog = f"spark.sql.catalog.{name}"
    hadoop = {f"{catalog}.hadoop.{key}": value for key, value in _view_of(repository, ref).items()}
    return {**_catalog(name, repository), **hadoop}


def pinned_settings(name: str, repository: str, ref: Ref) -> dict[str, str]:
    """Mode A: a whole session sees *ref*, in its catalog *name* and in plain files. May be set at run time."""
    return {**_catalog(name, repository), **_view_of(repository, ref)}


def _view_of(repository: str, ref: Ref) -> dict[str, str]:
    """Hadoop's file systems: what is recorded below ``main`` is read from *ref*."""
    return {
        "fs.s3a.impl": _VIEW_FS,
        "fs.s3a.impl.disable.cache": "true",
        "fs.s3.impl": _S3A,
        "fs.viewfs.enable.inner.cache": "false",
        f"fs.viewfs.mounttable.{repository}.link./{CANONICAL}": f"s3://{repository}/{ref}",
    }


def bucket_settings(
    repository: str, endpoint: str, *, access_key_id: str, secret_access_key: str, region: str, timeout_s: float
) -> dict[str, str]:
    """Hadoop's settings for the S3 side of one repository. They hold the secret: never for a Spark setting."""
    bucket = f"fs.s3a.bucket.{repository}"
    return {
        f"{bucket}.endpoint": endpoint,
        f"{bucket}.endpoint.region": region,
        f"{bucket}.path.style.access": "true",
        f"{bucket}.connection.ssl.enabled": str(endpoint.startswith("https://")).lower(),
        f"{bucket}.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        f"{bucket}.access.key": access_key_id,
        f"{bucket}.secret.key": secret_access_key,
        f"{bucket}.connection.timeout": f"{timeout_s:.0f}s",
    }


def _catalog(name: str, repository: str) -> dict[str, str]:
    catalog = f"spark.sql.catalog.{name}"
    return {
        catalog: _CATALOG,
        f"{catalog}.type": "hadoop",
        f"{catalog}.warehouse": f"s3a://{repository}/{CANONICAL}/{WAREHOUSE}",
        f"{catalog}.cache-enabled": "false",
    }


def _joined(*lists: str | None) -> str:
    return ",".join(filter(None, lists))
