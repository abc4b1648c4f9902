"""A backfill of all views, frames and models, through Dagster's own daemon: its runs go in parallel, some fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from ml_assets.lib.assets.instance import open_instance
from ml_assets.lib.devlake import server
from ml_assets_tests.gate.world import write_distribution
from ml_assets_tests.scenarios.graphql import Graphql

ROOT: Final = Path(__file__).parents[2]
LOCATION: Final = "ml_assets_tests.scenarios.backfill_location"
LAUNCH: Final = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS: Final = (
    """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""
)
PARTITIONS: Final = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetPartitionStatuses { ... on MultiPartitionStatuses { ranges { primaryDimStartKey primaryDimEndKey
    secondaryDim { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } } } } }"""
RUNS: Final = """query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results {
  startTime endTime } } } }"""
CHECK: Final = """query($key: AssetKeyInput!, $p: String!) { assetCheckExecutions(assetKey: $key,
  checkName: "mixed_in_time", limit: 1, partition: $p) { status } }"""

OUTCOMES: Final = {"hash-s42": "materialized", "june": "failed"}
"""Of a frame, by split version."""


@pytest.fixture
def graphql(tmp_path: Path) -> Iterator[Graphql]:
    """Webserver and daemon on the test's code location, with sources and splits published."""
    home, data = tmp_path / "home", tmp_path / "data"
    write_distribution(data)
    paths = os.pathsep.join((str(data), str(ROOT)))
    environment = {**os.environ, "ML_ASSETS_HOME": str(home), "PYTHONPATH": paths}
    environment["DAGSTER_HOME"] = str(home / "dagster")
    open_instance(home / "dagster").dispose()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        with ExitStack() as stack:
            _materialize(environment, "sources/trips")
            for version in ("hash-s42", "june"):
                _materialize(environment, "splits/trips", version)
            for command in (["dagster_webserver", "-h", "127.0.0.1", "-p", str(port)], ["dagster._daemon", "run"]):
                log = stack.enter_context((tmp_path / f"{command[0]}.log").open("wb"))
                process = subprocess.Popen(
                    [sys.executable, "-m", *command, "-m", LOCATION, "-d", str(ROOT)],
                    env=environment,
                    stdout=log,
                    stderr=log,
                )
                stack.callback(process.wait, 30)
                stack.callback(process.terminate)
            found = Graphql(port)
            found.wait_until_loaded()
            yield found
    finally:
        server.stop(home)


def _materialize(environment: Mapping[str, str], key: str, partition: str | None = None) -> None:
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", LOCATION, "--select", f"key:{key}"]
    done = subprocess.run(
        [*command, *(["--partition", partition] if partition else [])],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_partition_fails_the_others_complete(graphql: Graphql) -> None:
    """Of all feature and split versions; a refused frame stops its own model only."""
    versions = {"features/longest": "v1..v2", **dict.fromkeys(("features/cars", "features/shortest"), "v2..v2")}
    both = dict.fromkeys(("frames/late", "models/late"), "v1|hash-s42..v2|june")
    ranges = {key: text.split("..") for key, text in (versions | both).items()}
    launched = graphql.ask(
        LAUNCH,
        p={
            "partitionsByAssets": [
                {"assetKey": {"path": key.split("/")}, "partitions": {"ranges": [{"start": start, "end": end}]}}
                for key, (start, end) in ranges.items()
            ]
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    ended = graphql.wait(
        "the backfill",
        STATUS,
        lambda data: data["partitionBackfillOrError"]["status"] not in {"REQUESTED", "FAILING"},
        id=launched["backfillId"],
    )
    assert ended["partitionBackfillOrError"]["status"] == "COMPLETED_FAILED"
    assert _most_at_once(graphql, launched["backfillId"]) > 1
    expected = {f"{version}|{split}": status for version in ("v1", "v2") for split, status in OUTCOMES.items()}
    assert _statuses(graphql, "frames/late") == expected
    # It never ran, but the run that it was to be part of failed: Dagster calls that failed too.
    assert _statuses(graphql, "models/late") == expected
    for partition, status in expected.items():
        found = graphql.ask(CHECK, key={"path": ["frames", "late"]}, p=partition)
        told = "SUCCEEDED" if status == "materialized" else "FAILED"
        assert [told] == [row["status"] for row in found["assetCheckExecutions"]]


def _most_at_once(graphql: Graphql, backfill: str) -> int:
    """How many runs of the backfill went on at the same time, at most."""
    tags = {"tags": [{"key": "dagster/backfill", "value": backfill}]}
    runs = graphql.ask(RUNS, filter=tags)["runsOrError"]["results"]
    spans: list[tuple[float, float]] = [(run["startTime"], run["endTime"]) for run in runs]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def _statuses(graphql: Graphql, key: str) -> dict[str, str]:
    """What Dagster calls each partition that it has something to say of."""
    data = graphql.ask(PARTITIONS, key={"path": key.split("/")})
    found: dict[str, str] = {}
    for part in data["assetNodeOrError"]["assetPartitionStatuses"]["ranges"]:
        first, last, dimension = part["primaryDimStartKey"], part["primaryDimEndKey"], part["secondaryDim"]
        for version in sorted({first, last}):
            for status in ("materialized", "failed"):
                found |= {f"{version}|{split}": status for split in dimension[f"{status}Partitions"]}
    return found
