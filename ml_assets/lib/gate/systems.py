"""The outside systems that units are made with, handed down together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.core.refs import Branch
    from ml_assets.lib.declare.registry import Declarations
    from ml_assets.lib.engines.protocol import Engine
    from ml_assets.lib.gate.records import Records
    from ml_assets.lib.gate.rows import RowCache
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.tables.tables import Tables
    from ml_assets.lib.tracking.store import Tracking


@dataclass(frozen=True, kw_only=True)
class Systems:
    """Everything a unit may need.

    Attributes:
        declarations: What people declared.
        lake: lakeFS.
        tables: Iceberg on it.
        records: Publications in it.
        engine: What runs expressions and joins.
        tracking: MLflow.
        rows: Frame rows on this machine.
        target: The branch that is published to.
        code: Facts about the running code.
    """

    declarations: Declarations
    lake: Lake
    tables: Tables
    records: Records
    engine: Engine
    tracking: Tracking
    rows: RowCache
    target: Branch
    code: Mapping[str, Json]
