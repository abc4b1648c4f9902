"""What people write: decorators, contracts, rules, expression identity, column lineage. Imports only ``lib.core``.

Importing this package imports neither Ibis nor pandera nor Dagster, so that a code location stays quick to load.
"""

from ml_assets.lib.declare.columns import Column, Field, Int32, Timestamp
from ml_assets.lib.declare.contracts import Contract, FeatureContract, FrameContract, SourceContract, SplitContract
from ml_assets.lib.declare.declarations import Declaration, Entity, FeatureView, Frame, Model, Params, Source, Split
from ml_assets.lib.declare.decorators import feature_view, frame, model, source, split
from ml_assets.lib.declare.determinism import exact_sum
from ml_assets.lib.declare.loading import load
from ml_assets.lib.declare.package_file import PackageFile
from ml_assets.lib.declare.parts import by_hash, by_time
from ml_assets.lib.declare.reading import as_table, read_csv
from ml_assets.lib.declare.registry import Declarations
from ml_assets.lib.declare.rules import Rule, complete, disjoint, label_rates, ordered, rule, shares
from ml_assets.lib.declare.versions import ViewRef

__all__ = [
    "Column",
    "Contract",
    "Declaration",
    "Declarations",
    "Entity",
    "FeatureContract",
    "FeatureView",
    "Field",
    "Frame",
    "FrameContract",
    "Int32",
    "Model",
    "PackageFile",
    "Params",
    "Rule",
    "Source",
    "SourceContract",
    "Split",
    "SplitContract",
    "Timestamp",
    "ViewRef",
    "as_table",
    "by_hash",
    "by_time",
    "complete",
    "disjoint",
    "exact_sum",
    "feature_view",
    "frame",
    "label_rates",
    "load",
    "model",
    "ordered",
    "read_csv",
    "rule",
    "shares",
    "source",
    "split",
]
