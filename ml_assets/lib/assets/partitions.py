"""Dagster's partitions for split versions and feature versions: static, reviewed like code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.lib.core.names import FEATURE_VERSION, SPLIT_VERSION
from ml_assets.lib.gate.plan import Partition

if TYPE_CHECKING:
    from ml_assets.lib.declare.registry import Declarations
    from ml_assets.lib.gate.plan import Asset


@dataclass(frozen=True)
class Partitioning:
    """One object per dimension, shared by all assets, so that Dagster maps partitions between them by itself."""

    by_split: dg.StaticPartitionsDefinition
    by_feature: dg.StaticPartitionsDefinition
    by_both: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, declarations: Declarations) -> Partitioning:
        """The partitions of the declared versions."""
        by_split = dg.StaticPartitionsDefinition(list(declarations.split_versions))
        by_feature = dg.StaticPartitionsDefinition(list(declarations.feature_versions))
        both = dg.MultiPartitionsDefinition({SPLIT_VERSION: by_split, FEATURE_VERSION: by_feature})
        return cls(by_split, by_feature, both)

    def definition(self, asset: Asset) -> dg.PartitionsDefinition[str] | None:
        """How *asset* is partitioned."""
        if asset.by_split and asset.by_feature:
            return self.by_both
        if asset.by_split:
            return self.by_split
        return self.by_feature if asset.by_feature else None

    def partition(self, asset: Asset, key: str | None) -> Partition:
        """The partition that Dagster's key means; from the UI a key of two dimensions comes as a plain string."""
        if key is None:
            return Partition()
        if asset.by_split and asset.by_feature:
            parts = self.by_both.get_partition_key_from_str(str(key)).keys_by_dimension
            return Partition(split_version=parts[SPLIT_VERSION], feature_version=parts[FEATURE_VERSION])
        return Partition(split_version=key) if asset.by_split else Partition(feature_version=key)


def tags(partition: Partition) -> dict[str, str]:
    """Run tags that mean *partition*, as Dagster's own backfills set them."""
    key = partition.key
    if key is None:
        return {}
    found = {"dagster/partition": key}
    if partition.split_version is not None and partition.feature_version is not None:
        found |= {
            f"dagster/partition/{SPLIT_VERSION}": partition.split_version,
            f"dagster/partition/{FEATURE_VERSION}": partition.feature_version,
        }
    return found
