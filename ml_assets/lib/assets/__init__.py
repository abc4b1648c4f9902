"""Declarations as Dagster assets: keys, partitions, checks, metadata, resources. Only here does lib know Dagster."""

import warnings

import dagster as dg

# Partitioned checks are marked as preview and dagster-mlflow as beta: both are meant, and pinned to the patch.
for _category in (dg.PreviewWarning, dg.BetaWarning):
    warnings.filterwarnings("ignore", category=_category)
