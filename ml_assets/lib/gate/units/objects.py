"""The output of a frame or a model: one small JSON object in the lake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import MissingCommit

if TYPE_CHECKING:
    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.core.refs import Commit
    from ml_assets.lib.lake.client import Lake
    from ml_assets.lib.lake.types import Stat


def read_object(lake: Lake, unit: Unit, at: Commit) -> tuple[dict[str, Json], Stat]:
    """The object of *unit* as it lies at *at*: what it says, and its checksum and size.

    Raises:
        MissingCommit: There is none.
    """
    data, stat = lake.read(at, unit.object_path), lake.stat(at, unit.object_path)
    if data is None or stat is None:
        raise MissingCommit(
            f"{unit.object_path} is not at {at.short}", remedy=f"materialize {unit.stage}/{unit.name} with --recompute"
        )
    return json.loads(data), stat
