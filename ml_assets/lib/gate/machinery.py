"""Puts the parts together: from declarations, a lake, an engine and MLflow to a gate and the systems behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_assets.lib.engines import engine as engine_named
from ml_assets.lib.gate.code import code_facts
from ml_assets.lib.gate.gate import Gate, Observer
from ml_assets.lib.gate.plan import Plan
from ml_assets.lib.gate.records import Records
from ml_assets.lib.gate.rows import RowCache
from ml_assets.lib.gate.systems import Systems
from ml_assets.lib.gate.units.models import model_exists

if TYPE_CHECKING:
    from ml_assets.lib.core.refs import Branch
    from ml_assets.lib.declare.registry import Declarations
    from ml_assets.lib.engines.protocol import Engine
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.tracking.store import Tracking

FRAME_ROWS: Final = 20_000_000
"""So many rows of a frame are still quickly rebuilt, and fit on the disk of whoever trains."""

SAMPLE_ROWS: Final = 100
"""Rows of each split that people find with a model's MLflow run."""


@dataclass(frozen=True, kw_only=True)
class Machinery:
    """Everything that materializing and looking back need, made once per process.

    Attributes:
        declarations: What people declared.
        lake: The repository.
        tracking: MLflow.
        engine: What runs expressions and joins, unless a declaration names another one.
        target: The branch that is published to.
        state: State folder of this machine.
        code_commit: Git commit to record where the code is in no repository.
        engine_named: Makes the engine of a name; always the same one.
        frame_rows: Rows above which a frame has a table of its own.
        sample_rows: Rows of each split that are kept with a model's MLflow run.
        observe: Told after each step of a materialization.
    """

    declarations: Declarations
    lake: Lake
    tracking: Tracking
    engine: Engine
    target: Branch
    state: Path
    code_commit: str | None = None
    engine_named: Callable[[str], Engine] = engine_named
    frame_rows: int = FRAME_ROWS
    sample_rows: int = SAMPLE_ROWS
    observe: Observer = lambda _step, _unit: None

    def __post_init__(self) -> None:
        """Make the target from the canonical branch if there is none: looking at it comes before publishing to it."""
        from ml_assets.lib.core.names import CANONICAL
        from ml_assets.lib.core.refs import Branch

        if self.target.name != CANONICAL:
            self.lake.branch(self.target, Branch(CANONICAL))

    @cached_property
    def plan(self) -> Plan:
        """Assets, partitions and units."""
        return Plan(declarations=self.declarations)

    @cached_property
    def systems(self) -> Systems:
        """What units are made with."""
        from ml_assets.lib.tables.tables import Tables

        return Systems(
            declarations=self.declarations,
            lake=self.lake,
            tables=Tables(self.lake),
            records=Records(self.lake, lambda publication: model_exists(self.tracking, publication)),
            engine=self.engine,
            engine_named=self.engine_named,
            tracking=self.tracking,
            rows=RowCache(self.state / "rows"),
            target=self.target,
            code=code_facts(Path(__file__).parent, self.code_commit),
            frame_rows=self.frame_rows,
            sample_rows=self.sample_rows,
        )

    @cached_property
    def gate(self) -> Gate:
        """The gate of the target."""
        systems = self.systems
        return Gate(
            lake=systems.lake,
            tables=systems.tables,
            records=systems.records,
            target=self.target,
            state=self.state,
            code=systems.code,
            observe=self.observe,
        )
