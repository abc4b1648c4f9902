"""One MLflow, spoken to through an explicit client: no active run, no global tracking URI, no autologging.

MLflow takes more than a second to import, so it is imported inside functions.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from filelock import FileLock

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import public_remote

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",  # true, the default, cuts long params and tags without a word
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # 7, the default, takes minutes to say that a server is down
}
"""What MLflow reads from the environment, set before its import unless somebody set it already."""

_SQLITE: Final = "sqlite:///"
_LOCK_TIMEOUT_S: Final = 120
_MESSAGE_LIMIT: Final = 500


class Tracking:
    """One MLflow: the place of runs, models and lineage.

    Making one is cheap: at the first use of `client` MLflow is imported and a SQLite store made. Threads may share it.

    Args:
        uri: Tracking URI: ``http(s)://…`` of a server, or a database.
        artifact_root: URI of the folder in which experiments keep their artifacts; ``None`` leaves it to the server.
    """

    def __init__(self, uri: str, *, artifact_root: str | None = None) -> None:
        set_environment()
        self.uri, self.artifact_root = uri, artifact_root
        self._client: MlflowClient | None = None
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"Tracking({public_remote(self.uri)!r})"

    @classmethod
    def embedded(cls, home: Path) -> Self:
        """The default: a SQLite store and an artifact folder inside the state folder *home*."""
        folder = home.resolve() / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(f"{_SQLITE}{folder / 'mlflow.db'}", artifact_root=(folder / "artifacts").as_uri())

    @property
    def client(self) -> MlflowClient:
        """MLflow's client of this store. The first use prepares the store.

        Raises:
            TrackingError: The store cannot be opened.
        """
        with self._mutex:
            if self._client is None:
                with translated(f"open the store {public_remote(self.uri)}"), self._alone():
                    self._client = self._open()
            return self._client

    def prepare(self) -> None:
        """Make the store and its tables, if there are none: one process at a time, so that nobody sees half of them."""
        _ = self.client

    def experiment(self, name: str) -> str:
        """The id of the experiment *name*, which is made if there is none; several processes may ask at once.

        Raises:
            TrackingError: MLflow refused, or the experiment was deleted.
        """
        location = None if self.artifact_root is None else f"{self.artifact_root}/{name}"
        with translated(f"make the experiment {name!r}", passing={"RESOURCE_ALREADY_EXISTS"}):
            if (found := self.client.get_experiment_by_name(name)) is None:
                self.client.create_experiment(name, artifact_location=location)
        with translated(f"read the experiment {name!r}"):
            found = found or self.client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {name!r} is deleted",
                remedy="restore it (mlflow experiments restore) or rename it",
            )
        return str(found.experiment_id)

    def _open(self) -> MlflowClient:
        with warnings.catch_warnings():
            # MLflow's tables still use a loader strategy that SQLAlchemy 2.1 deprecates.
            warnings.filterwarnings("ignore", message="The ``noload`` loader strategy", category=DeprecationWarning)
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            client.search_registered_models(max_results=1)  # opens the registry too, while the lock is held
        return client

    def _alone(self) -> FileLock | nullcontext[None]:
        """A lock beside a SQLite file: two processes that create its tables at once break each other."""
        if not self.uri.startswith(_SQLITE):
            return nullcontext()
        path = Path(self.uri.removeprefix(_SQLITE))
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{path}.lock", timeout=_LOCK_TIMEOUT_S)


def set_environment() -> None:
    """Turn off MLflow's telemetry, chatter and silent cutting of long values; before anybody imports MLflow."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def translated(doing: str, *, passing: Collection[str] = ()) -> Iterator[None]:
    """The one place that names MLflow's exceptions: they become `TrackingError`.

    Args:
        doing: What is being tried, to complete "MLflow could not …".
        passing: MLflow's error codes that are fine here: the body ends, nothing is raised.

    Raises:
        TrackingError: MLflow refused, could not be reached, or an artifact could not be read or written.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in passing:
            _raise(doing, f"{error.error_code}: {error.message}", error)
    except OSError as error:  # of the disk, and those of requests, which MLflow lets through for artifacts
        _raise(doing, f"{type(error).__name__}: {error}", error)


def _raise(doing: str, reason: str, cause: Exception) -> NoReturn:
    """Raise the translation, without the user name and password that a URL in *reason* may contain."""
    public = re.sub(r"(\w+://)[^/\s]*@", r"\1", reason)
    raise TrackingError(
        f"MLflow could not {doing}: {public[:_MESSAGE_LIMIT].rstrip('.; ')}",
        remedy="see that it runs and that MLFLOW_TRACKING_URI is right, then try again",
    ) from (cause if public == reason else None)
