"""A small graph as Dagster assets, on a target of the test's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from ml_assets.lib.assets.build import Builder
from ml_assets.lib.assets.metadata import Links
from ml_assets_tests.gate.conftest import distribution, lake_endpoint, place, world
from ml_assets_tests.gate.world import Place

__all__ = ["dagster", "distribution", "lake_endpoint", "place", "world"]


@dataclass(frozen=True)
class Dagster:
    """The graph of a place, and a Dagster instance of its own.

    Attributes:
        place: Target and state folder.
        assets: The assets.
        instance: Where runs are recorded.
    """

    place: Place
    assets: Sequence[dg.AssetsDefinition]
    instance: dg.DagsterInstance

    def run(
        self,
        *keys: str,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        level: str = "CRITICAL",
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets by key, as the UI does: the partition is a plain string."""
        ops = {keys[0].replace("/", "__"): {"config": dict(config)}} if config else {}
        return dg.materialize(
            self.assets,
            selection=[dg.AssetKey(key.split("/")) for key in keys],
            partition_key=partition,
            instance=self.instance,
            resources={"lakefs": Lakefs(self.place), "mlflow": self.place.machinery.tracking},
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": level}}}},
            tags=dict(tags or {}),
            raise_on_error=False,
        )

    def materialized(self, key: str) -> set[str]:
        """Partitions that Dagster calls materialized."""
        return set(self.instance.get_materialized_partitions(dg.AssetKey(key.split("/"))))


@dataclass(frozen=True)
class Lakefs:
    """What stands in for the resource: it leads to the place's lake."""

    place: Place

    def lake(self) -> object:
        """The lake."""
        return self.place.lake


@pytest.fixture
def dagster(place: Place) -> Iterator[Dagster]:
    """The graph on a target where everything is published, unknown to Dagster so far."""
    builder = Builder(
        plan=place.machinery.plan,
        open=lambda *_resources: place.machinery,
        tracking=lambda: place.machinery.tracking,
        links=lambda lake: Links(lakefs=lake.endpoint, repository=lake.repository, mlflow="http://mlflow"),
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield Dagster(place, builder.assets(), instance)
