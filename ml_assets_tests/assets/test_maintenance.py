"""The maintenance job: each table's page shows what was done; a table that fails makes the run fail at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.lib.assets.maintenance import maintenance_job
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets_tests.assets.conftest import Dagster, Lakefs
from ml_assets_tests.gate.world import SOURCE, SPLIT, TRIPS, Place, trips, write_trips


def run(dagster: Dagster, **config: Any) -> dg.ExecuteInProcessResult:
    """Run the job, as a schedule does."""
    machinery = dagster.place.machinery
    job = maintenance_job(lambda *_resources: machinery, lambda: machinery.tracking)
    return job.execute_in_process(
        instance=dagster.instance,
        resources={"lakefs": Lakefs(dagster.place)},
        run_config={
            "ops": {"maintain_tables": {"config": {"keep_days": -1, **config}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )


def observed(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """What the run said of each unit."""
    found = [
        event.asset_observation_data.asset_observation for event in result.all_events if event.is_asset_observation
    ]
    return {
        str(seen.metadata["unit"].value): {name: value.value for name, value in seen.metadata.items()} for seen in found
    }


@pytest.fixture
def twice(place: Place, tmp_path: Path) -> None:
    """The source was published a second time."""
    assert isinstance(place.materialize(SOURCE, path=write_trips(tmp_path / "b.csv", trips(TRIPS + 20))), Published)


def test_tables_are_maintained(dagster: Dagster, twice: None) -> None:
    """Sizes before and after, and the commit, are in the asset's timeline."""
    result = run(dagster)
    assert result.success
    seen = observed(result)[str(SOURCE)]
    assert "maintained" == seen["maintenance"]
    assert seen["objects_after"] < seen["objects_before"]
    assert (2, 1) == (seen["snapshots_before"], seen["snapshots_after"])
    assert dagster.place.head.id == seen["lakefs_commit"]
    assert "in order" == observed(result)[str(SPLIT)]["maintenance"]
    dagster.place.check_whole()


def test_a_dry_run_of_one_table(dagster: Dagster, twice: None) -> None:
    """Nothing is published."""
    head = dagster.place.head
    result = run(dagster, tables=["sources/trips"], dry_run=True)
    assert ["planned"] == [seen["maintenance"] for seen in observed(result).values()]
    assert head == dagster.place.head


def test_a_table_that_fails(dagster: Dagster, twice: None) -> None:
    """All others are maintained, then the run fails and says why."""
    place = dagster.place
    place.machinery.systems.tables.catalog(place.target).load_table(SPLIT.table).delete("split = 'val'")
    place.lake.commit(place.target, "behind the gate", {})
    result = run(dagster)
    assert not result.success
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    assert "splits/trips@hash-s42" in str(failure.user_failure_data.description)
    assert "maintained" == observed(result)[str(SOURCE)]["maintenance"]
    assert isinstance(place.materialize(SPLIT, recompute=True), Published | Unchanged)
