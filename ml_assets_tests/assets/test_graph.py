"""The graph of the project, as data: keys, groups, partitions, checks, and that data only flows forward."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.lib.core.names import STAGES

KEYS = [
    *(f"sources/{name}" for name in ("airlines", "airports", "flights", "planes", "weather")),
    "splits/flights",
    *("features/carrier_origin_delay", "features/origin_weather", "features/plane", "features/route"),
    *("features/route_delay", "features/schedule", "features/tail_last_leg"),
    *("frames/late_arrival", "models/late_arrival"),
]

HEAVY = ("mlflow", "feast", "pyspark", "sklearn", "pyiceberg", "pandera", "duckdb", "pandas", "pyarrow", "lakefs_sdk")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """The code location."""
    os.environ.setdefault("ML_ASSETS_HOME", str(tmp_path_factory.mktemp("home")))
    from ml_assets.definitions import defs

    return defs


def test_the_assets_are_these(graph: dg.Definitions) -> None:
    """Every dataset is an asset: key and group say its stage."""
    specs = list(graph.resolve_all_asset_specs())
    assert sorted(KEYS) == sorted(spec.key.to_user_string() for spec in specs)
    assert all(spec.group_name == spec.key.path[0] for spec in specs)


def test_data_flows_forward_only(graph: dg.Definitions) -> None:
    """Nothing depends on a later stage, nor on its own."""
    for spec in graph.resolve_all_asset_specs():
        for dep in spec.deps:
            assert STAGES.index(dep.asset_key.path[0]) < STAGES.index(spec.key.path[0])


def test_whoever_looks_finds_words_and_owners(graph: dg.Definitions) -> None:
    """Each asset has a description, an owner, kinds, and all but models have columns."""
    for spec in graph.resolve_all_asset_specs():
        assert spec.description
        assert spec.owners
        assert "lakefs" in spec.kinds
        assert spec.group_name == "models" or "dagster/column_schema" in spec.metadata


@pytest.mark.parametrize(
    ("key", "dimensions"),
    [("sources/flights", 0), ("splits/flights", 1), ("features/route", 1), ("frames/late_arrival", 2)],
)
def test_partitions(graph: dg.Definitions, key: str, dimensions: int) -> None:
    """Sources have none, splits and views one dimension, frames and models both; checks are partitioned alike."""
    asset = graph.resolve_assets_def(key.split("/"))
    definition = asset.partitions_def
    found = 0 if definition is None else getattr(definition, "num_dimensions", 1)
    if isinstance(definition, dg.MultiPartitionsDefinition):
        found = len(definition.partitions_defs)
    assert dimensions == found
    assert all(spec.partitions_def == definition for spec in asset.check_specs)


def test_every_check_blocks(graph: dg.Definitions) -> None:
    """What is declared as an error stops everything downstream, and says what it asks."""
    for key in KEYS:
        specs = list(graph.resolve_assets_def(key.split("/")).check_specs)
        assert specs
        for spec in specs:
            assert spec.blocking
            assert spec.description


def test_loading_is_light(tmp_path: Path) -> None:
    """The code location loads without the libraries that only a run needs, and without lake or network."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "import ml_assets.definitions\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = {**os.environ, "ML_ASSETS_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
    assert not list((tmp_path / "home").iterdir())
