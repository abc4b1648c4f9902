"""The resources: they lead to lake and MLflow, and show no secret."""

from __future__ import annotations

import logging
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.lib.assets.resources import LakeFSResource, mlflow_resource, tracking_store
from ml_assets.lib.core.errors import ConfigError
from ml_assets_tests.lakes import LakeEndpoint

SECRET = "do-not-show-me"


def resource(endpoint: LakeEndpoint, home: Path) -> LakeFSResource:
    """The resource for a server, as the environment would describe it."""
    return LakeFSResource(
        repository="test-resources",
        home=str(home),
        endpoint=endpoint.url,
        access_key_id=endpoint.access_key_id,
        secret_access_key=endpoint.secret_access_key.get_secret_value(),
    )


def test_it_leads_to_the_repository(lake_endpoint: LakeEndpoint, tmp_path: Path) -> None:
    """Which is made at the first use; a process has one client for it."""
    lake = resource(lake_endpoint, tmp_path).lake()
    assert lake.repository == "test-resources"
    assert [info.name for info in lake.branches()] == ["main"]
    assert resource(lake_endpoint, tmp_path).lake() is lake


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither by the resource nor by what Dagster keeps of it when it is given as a variable."""
    shown = LakeFSResource(home=str(tmp_path), endpoint="http://lake", access_key_id="key", secret_access_key=SECRET)
    assert SECRET not in f"{shown!r} {shown}"


def test_an_endpoint_without_keys_is_refused(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="needs keys"):
        LakeFSResource(home=str(tmp_path), endpoint="http://lake").lake()


def test_a_state_folder_that_meets_another_lake_says_so(
    lake_endpoint: LakeEndpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its records stay where they are and new ones begin here: once, as a warning."""
    first = resource(lake_endpoint, tmp_path)
    other = first.model_copy(update={"repository": "test-resources-2"})
    with caplog.at_level(logging.WARNING, logger="ml_assets"):
        first.lake()
        first.lake()
        assert not caplog.records
        other.lake()
        other.lake()
    (record,) = caplog.records
    assert "test-resources-2, with records of its own" in record.getMessage()


@pytest.mark.filterwarnings("ignore:Class `MlFlow` is currently in beta", "ignore:InitResourceContext")
def test_mlflow_is_connected_without_an_active_run(tmp_path: Path) -> None:
    """dagster-mlflow's one run per process would be shared by all partitions: it is not begun."""
    import mlflow

    seen: list[tuple[object, object]] = []

    @dg.op(required_resource_keys={"mlflow"})
    def look(context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  (Dagster reads annotations as objects)
        seen.append((context.resources.mlflow, mlflow.active_run()))

    @dg.job(resource_defs={"mlflow": mlflow_resource.configured({"home": str(tmp_path)})})
    def job() -> None:
        look()

    tracking = tracking_store(None, str(tmp_path))
    for _ in range(2):
        assert job.execute_in_process().success
    assert seen == [(tracking, None), (tracking, None)]
    assert tracking.client.search_runs([tracking.experiment("ml_assets")]) == []
