"""The outside systems that units are made with, handed down together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.core.refs import Branch
    from ml_assets.lib.declare.declarations import Declaration
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
        engine: What runs expressions and joins, unless a declaration names another one.
        engine_named: The engine of a name.
        tracking: MLflow.
        rows: Frame rows on this machine.
        target: The branch that is published to.
        code: Facts about the running code.
        frame_rows: Rows above which a frame has a table of its own.
        sample_rows: Rows of each split that are kept with a model's MLflow run.
    """

    declarations: Declarations
    lake: Lake
    tables: Tables
    records: Records
    engine: Engine
    engine_named: Callable[[str], Engine]
    tracking: Tracking
    rows: RowCache
    target: Branch
    code: Mapping[str, Json]
    frame_rows: int
    sample_rows: int

    def engine_of(self, declaration: Declaration) -> Engine:
        """What computes and judges *declaration*.

        Raises:
            ConfigError: It names an engine that cannot be used here.
        """
        name = declaration.engine
        return self.engine if name is None or name == self.engine.name else self.engine_named(name)
