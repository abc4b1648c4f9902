"""Dagster resources: the lake over lakeFS's clients, MLflow through dagster-mlflow, Spark through dagster-pyspark."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import SecretStr

from ml_assets.lib.core.errors import ConfigError

if TYPE_CHECKING:
    from dagster_pyspark import LazyPySparkResource

    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.tracking.store import Tracking


_LOG: Final = logging.getLogger(__name__)


class LakeFSResource(dg.ConfigurableResource[Any]):
    """A repository of a lakeFS server; the embedded one is started at the first use.

    Attributes:
        repository: Name of the repository.
        home: State folder of the embedded lake, used where *endpoint* is not set.
        endpoint: Root of a real lakeFS.
        access_key_id: Names the user there; give it as ``dg.EnvVar``.
        secret_access_key: Proves it; give it as ``dg.EnvVar``, so that Dagster shows the variable's name only.
        storage_namespace: Where the repository's bytes go, if it must be made.
        timeout_s: Limit for one request, in seconds.
    """

    repository: str = "ml-assets"
    home: str = ".ml_assets"
    endpoint: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    storage_namespace: str | None = None
    timeout_s: float = 60.0

    def __repr__(self) -> str:
        return f"LakeFSResource(repository={self.repository!r}, endpoint={self.endpoint!r})"

    __str__ = __repr__

    def lake(self) -> Lake:
        """The repository, made if it is not there. One client per process and server.

        Raises:
            ConfigError: An endpoint without keys.
            LakeError: The server refused, or could not be reached or started.
        """
        lake = self._open()
        self._note_endpoint()  # only one that has answered
        return lake

    def _open(self) -> Lake:
        if self.endpoint is None:
            from ml_assets.lib.devlake.server import ensure
            from ml_assets.lib.gate.embedded import MODULE

            found = ensure(Path(self.home), MODULE)
            return self._connected(found.url, found.access_key_id, found.secret_access_key)
        if not self.access_key_id or not self.secret_access_key:
            raise ConfigError(
                f"lakeFS at {self.endpoint} needs keys",
                remedy="set LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY",
            )
        return self._connected(self.endpoint, self.access_key_id, self.secret_access_key)

    def _note_endpoint(self) -> None:
        """Say so when this state folder was used with another lake: its records stay there, new ones begin here."""
        note = Path(self.home) / "lake-endpoint"
        now = f"{self.endpoint or 'the embedded lake'}, repository {self.repository}"
        before = note.read_text().strip() if note.exists() else now
        if before != now:
            _LOG.warning("%s was used with %s; from now on it is %s, with records of its own", self.home, before, now)
        if before != now or not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{now}\n")

    def _connected(self, endpoint: str, key: str, secret: str | SecretStr) -> Lake:
        return _connect(
            endpoint,
            self.repository,
            key=key,
            secret=secret,
            timeout_s=self.timeout_s,
            namespace=self.storage_namespace,
        )


@cache
def _connect(
    endpoint: str, repository: str, *, key: str, secret: str | SecretStr, timeout_s: float, namespace: str | None
) -> Lake:
    from ml_assets.lib.lake.client import Lake

    lake = Lake(endpoint, repository, key, secret, timeout_s=timeout_s)
    lake.ensure_repository(namespace)
    return lake


@cache
def tracking_store(uri: str | None, home: str) -> Tracking:
    """MLflow at *uri*, or the SQLite store in the state folder *home*; nothing is opened before its first use."""
    from ml_assets.lib.tracking.store import Tracking

    return Tracking.embedded(Path(home)) if uri is None else Tracking(uri)


@dg.resource(
    config_schema={
        "mlflow_tracking_uri": dg.Field(dg.Noneable(str), default_value=None, is_required=False),
        "home": dg.Field(str, default_value=".ml_assets", is_required=False),
        "experiment_name": dg.Field(str, default_value="ml_assets", is_required=False),
    },
    description="MLflow: one run per materialized partition of a model, one experiment per model.",
)
def mlflow_resource(context: dg.InitResourceContext) -> Iterator[Tracking]:
    """The connection of dagster-mlflow, without its run: that one would be shared by all partitions of a process.

    The store is prepared first, so that dagster-mlflow finds an experiment whose artifacts have a place of their own.
    """
    from ml_assets.lib.tracking.store import set_environment

    set_environment()
    from dagster_mlflow.resources import MlFlow

    class Connection(MlFlow):
        def _setup(self) -> None:
            """No active run."""

    config = context.resource_config
    tracking = tracking_store(config["mlflow_tracking_uri"], config["home"])
    tracking.experiment(config["experiment_name"])
    context.resource_config["mlflow_tracking_uri"] = tracking.uri
    connection = Connection(context)  # type: ignore[no-untyped-call]  # dagster-mlflow has no annotations
    yield tracking
    connection.cleanup_on_error()  # type: ignore[no-untyped-call]  # as above


def spark_resource(jars: Path) -> LazyPySparkResource:
    """Spark through dagster-pyspark: it starts when an asset first asks for its session, and lives as the process does.

    Its settings show in the UI; the key to the lake is in none of them.

    Args:
        jars: Folder of the jars.

    Raises:
        ConfigError: pyspark is not installed, or in another release than the jars are for.
    """
    from ml_assets.lib.tables.jars import paths
    from ml_assets.lib.tables.spark import check_pyspark
    from ml_assets.lib.tables.spark_settings import session_settings

    check_pyspark()
    from dagster_pyspark import LazyPySparkResource

    return LazyPySparkResource(spark_config=session_settings(paths(jars)))


@dataclass(frozen=True, slots=True)
class SparkSessionOf:
    """Gives the Spark session of this process, which *resource* starts if it does not run.

    All are equal: whichever resource is asked first, a process has one Spark.
    """

    resource: LazyPySparkResource = field(compare=False)

    def __call__(self) -> Any:
        """The ``SparkSession``."""
        return self.resource.spark_session
