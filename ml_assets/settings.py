"""Every environment variable there is, each with its doc. Read once, in ``definitions.py``, and handed down from there.

Unset means embedded, inside one state folder; set means that server, with the variables that its own clients use.
Secrets never show in ``repr``, logs or metadata.
"""

from __future__ import annotations

import difflib
import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_assets.lib.core.errors import BadRef, ConfigError
from ml_assets.lib.core.refs import Branch

PREFIX = "ML_ASSETS_"
_LOG = logging.getLogger(__name__)


class Settings(BaseSettings):
    """What the environment says. `load` is the way to get one: it also finds misspelt names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(
        Path(".ml_assets"),
        description="State folder: embedded lake, MLflow store, Dagster instance, caches. "
        "Unset: that of the current folder, else of the nearest folder above that has one.",
    )
    lake_branch: str = Field("main", description="The target: the branch that is published to.")
    lake_repository: str = Field(
        "ml-assets", description="lakeFS repository; can never change for a lake, it is in all metadata."
    )
    lake_storage_namespace: str | None = Field(
        None,
        description="Storage namespace, needed where the repository must be made on a real lakeFS (s3://bucket/prefix).",
    )
    lake_timeout_s: float = Field(
        60.0, gt=30, description="Limit for one lakeFS request, in seconds; merges may queue for 30."
    )
    lake_access_key_id: str | None = Field(None, description="Key id of the embedded lake; made once when unset.")
    lake_secret_access_key: SecretStr | None = Field(
        None, description="Secret of the embedded lake; made once when unset."
    )
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="Engine that runs expressions and point-in-time joins."
    )
    memory_limit: str | None = Field(
        None, description="DuckDB's memory limit (as in '4GB'); it spills beyond. Unset: DuckDB's own."
    )
    spark_jars: Path | None = Field(
        None, description="Folder of the jars that Spark needs; unset: `spark-jars` in the state folder."
    )
    frame_rows: int = Field(
        20_000_000,
        ge=0,
        description="A frame with more rows becomes a table in the lake, not only a recipe and a digest.",
    )
    sample_rows: int = Field(
        100,
        ge=0,
        description="Rows of each split that are kept as CSV with a model's MLflow run; 0 keeps none.",
    )
    code_commit: str | None = Field(
        None, description="Git commit of the code, where there is no .git folder (an image)."
    )
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of the MLflow server that `ml-assets dev` starts.")
    dagster_port: int = Field(
        3000, ge=1, le=65535, description="Port of the Dagster webserver that `ml-assets dev` starts."
    )

    endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("LAKECTL_SERVER_ENDPOINT_URL"),
        description="A real lakeFS; unset means embedded.",
    )
    endpoint_access_key_id: str | None = Field(
        None, validation_alias=AliasChoices("LAKECTL_CREDENTIALS_ACCESS_KEY_ID"), description="Key id for that lakeFS."
    )
    endpoint_secret_access_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"),
        description="Secret for that lakeFS.",
    )
    guard_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("LAKEFSACTION_ML_ASSETS_TOKEN"),
        description="Secret that a real lakeFS and `ml-assets lake guard` share; set it for both.",
    )
    mlflow_tracking_uri: str | None = Field(
        None,
        validation_alias=AliasChoices("MLFLOW_TRACKING_URI"),
        description="A real MLflow; unset means SQLite and files.",
    )
    dagster_home: Path | None = Field(
        None,
        validation_alias=AliasChoices("DAGSTER_HOME"),
        description="Dagster's own instance folder; unset: in the state folder.",
    )

    @classmethod
    def load(cls) -> Settings:
        """Read the environment.

        Raises:
            ConfigError: A value is malformed, an ``ML_ASSETS_*`` name is read by nobody, or an endpoint has no keys.
        """
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0] if first["loc"] else "settings"
            raise ConfigError(
                f"setting {environment_name(str(name))}: {first['msg']}", remedy="see README, Settings"
            ) from error
        settings._refuse_contradictions()
        return settings

    def _refuse_contradictions(self) -> None:
        known = {environment_name(name) for name in type(self).model_fields}
        for name in os.environ:
            if name.startswith(PREFIX) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise ConfigError(
                    f"{name} is not a setting",
                    remedy=f"did you mean {near[0]}?" if near else "see README, Settings, or unset it",
                )
        keys = (self.endpoint_access_key_id, self.endpoint_secret_access_key)
        if self.endpoint_url and not all(keys):
            raise ConfigError(
                "LAKECTL_SERVER_ENDPOINT_URL is set without its keys",
                remedy="set LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY too",
            )
        try:
            Branch(self.lake_branch)
        except BadRef as error:
            raise ConfigError(f"setting ML_ASSETS_LAKE_BRANCH: {error.problem}", remedy=error.remedy) from error
        if bool(self.lake_access_key_id) != bool(self.lake_secret_access_key):
            raise ConfigError(
                "only one of ML_ASSETS_LAKE_ACCESS_KEY_ID and ML_ASSETS_LAKE_SECRET_ACCESS_KEY is set",
                remedy="set both or none",
            )

    @cached_property
    def place(self) -> Path:
        """Where the state folder is or will be, absolute.

        Where no ``ML_ASSETS_HOME`` is set and the current folder has none, it is that of the nearest folder above that
        has one, as with git.
        """
        if "home" in self.model_fields_set:
            return _absolute(self.home)
        here = Path.cwd()
        found = next((folder for folder in (here, *here.parents) if (folder / self.home).is_dir()), here)
        return found / self.home

    @cached_property
    def state(self) -> Path:
        """The state folder, absolute; made when first asked for, which is said unless ``ML_ASSETS_HOME`` names it.

        Raises:
            ConfigError: It cannot be made, or is no folder.
        """
        path = self.place
        if "home" not in self.model_fields_set:
            if not path.exists():
                _LOG.warning("a new state folder is made: %s (ML_ASSETS_HOME names another)", path)
            elif path.parent != Path.cwd():
                _LOG.warning("the state folder is %s", path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the state folder {path} cannot be made: {error.strerror}",
                remedy="name a folder that can be written to with ML_ASSETS_HOME",
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise ConfigError(
                f"the state folder {path} cannot be written to", remedy="name another folder with ML_ASSETS_HOME"
            )
        return path

    @property
    def jars(self) -> Path:
        """Folder of the jars that Spark needs."""
        return self.spark_jars.expanduser().resolve() if self.spark_jars else self.state / "spark-jars"

    @property
    def target(self) -> Branch:
        """The branch that is published to."""
        return Branch(self.lake_branch)

    @property
    def dagster_folder(self) -> Path:
        """Dagster's instance folder, absolute."""
        return self.dagster_home.expanduser().resolve() if self.dagster_home else self.state / "dagster"

    @property
    def guarded(self) -> tuple[str, str, SecretStr, SecretStr]:
        """What a guard needs: a real lakeFS, its key id and secret, and the token.

        Raises:
            ConfigError: One of them is not set.
        """
        endpoint, key, secret = self.endpoint_url, self.endpoint_access_key_id, self.endpoint_secret_access_key
        if not endpoint or not key or not secret or not self.guard_token:
            raise ConfigError(
                "a guard needs a real lakeFS and the secret that they share",
                remedy="set LAKECTL_SERVER_ENDPOINT_URL, its keys, and LAKEFSACTION_ML_ASSETS_TOKEN (for lakeFS too); "
                "the embedded lake has a guard inside",
            )
        return endpoint, key, secret, self.guard_token

    @property
    def mlflow_ui(self) -> str:
        """Where a person looks at runs: the tracking server, or the one that `ml-assets dev` starts."""
        uri = self.mlflow_tracking_uri
        return uri if uri and uri.startswith("http") else f"http://127.0.0.1:{self.mlflow_port}"


def _absolute(path: Path) -> Path:
    """*path* from the root, links followed.

    Raises:
        ConfigError: There is no such user, or links lead in a circle.
    """
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{path} is no place for a folder: {error}", remedy="correct ML_ASSETS_HOME") from error


def environment_name(field: str) -> str:
    """The environment variable that a field is read from."""
    info = Settings.model_fields.get(field)
    alias = info.validation_alias if info else None
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{PREFIX}{field.upper()}"
