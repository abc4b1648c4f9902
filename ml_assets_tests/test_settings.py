"""Settings: what the environment says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.lib.core.errors import ConfigError
from ml_assets.settings import Settings, environment_name

SECRET = "do-not-show-me"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state folder, and nothing else set."""
    for field in Settings.model_fields:
        monkeypatch.delenv(environment_name(field), raising=False)
    monkeypatch.setenv("ML_ASSETS_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_unset_means_embedded(home: Path) -> None:
    """Everything is inside the state folder, which is made when it is first needed."""
    settings = Settings.load()
    assert not home.exists()
    assert settings.state == home
    assert home.is_dir()
    assert settings.dagster_folder == home / "dagster"
    assert settings.endpoint_url is None
    assert settings.mlflow_tracking_uri is None
    assert settings.mlflow_ui == "http://127.0.0.1:5000"
    assert settings.target.name == "main"


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As shells and compose files leave them."""
    for name in ("LAKECTL_SERVER_ENDPOINT_URL", "MLFLOW_TRACKING_URI", "ML_ASSETS_LAKE_BRANCH", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    assert Settings.load().dagster_home is None
    assert Settings.load().endpoint_url is None
    assert Settings.load().target.name == "main"


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Processes that are started elsewhere must find the same folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_ASSETS_HOME", "here")
    monkeypatch.setenv("DAGSTER_HOME", "there")
    assert Settings.load().state == tmp_path / "here"
    assert Settings.load().dagster_folder == tmp_path / "there"


def test_the_tools_own_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """lakeFS, MLflow and Dagster are named by the variables of their own clients."""
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "http://lake:8000")
    monkeypatch.setenv("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("DAGSTER_HOME", "/somewhere/dagster")
    settings = Settings.load()
    assert settings.endpoint_url == "http://lake:8000"
    assert settings.mlflow_ui == "http://mlflow:5000"
    assert settings.dagster_folder == Path("/somewhere/dagster")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by ``repr`` nor ``str``."""
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "http://lake:8000")
    for prefix in ("ML_ASSETS_LAKE", "LAKECTL_CREDENTIALS"):
        monkeypatch.setenv(f"{prefix}_ACCESS_KEY_ID", "key")
        monkeypatch.setenv(f"{prefix}_SECRET_ACCESS_KEY", SECRET)
    settings = Settings.load()
    assert SECRET not in f"{settings!r} {settings!s} {settings.model_dump_json()}"


def test_a_misspelt_name_is_told_with_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be a setting that never has an effect."""
    monkeypatch.setenv("ML_ASSETS_HOEM", "x")
    with pytest.raises(ConfigError, match=r"ML_ASSETS_HOEM is not a setting.*did you mean ML_ASSETS_HOME"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ML_ASSETS_DAGSTER_PORT", "many"),
        ("ML_ASSETS_MLFLOW_PORT", "70000"),
        ("ML_ASSETS_LAKE_TIMEOUT_S", "5"),
        ("ML_ASSETS_ENGINE", "abacus"),
        ("ML_ASSETS_LAKE_BRANCH", "no good"),
    ],
)
def test_a_malformed_value_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """By the name under which the user knows it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        Settings.load()


def test_an_endpoint_needs_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a server is no server; there is no falling back to the embedded one."""
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "http://lake:8000")
    monkeypatch.setenv("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "key")
    with pytest.raises(ConfigError, match="LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"):
        Settings.load()


@pytest.mark.parametrize("name", ["ML_ASSETS_LAKE_ACCESS_KEY_ID", "ML_ASSETS_LAKE_SECRET_ACCESS_KEY"])
def test_the_embedded_lake_takes_both_keys_or_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One alone is a mistake."""
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match="set both or none"):
        Settings.load()


def test_every_setting_is_described() -> None:
    """`settings.py` is where people look."""
    assert all(field.description for field in Settings.model_fields.values())
