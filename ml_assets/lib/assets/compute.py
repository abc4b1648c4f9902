"""The functions that Dagster calls. It reads their annotations as objects, so this module does not postpone them."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

Evaluated = dg.MaterializeResult[Any] | dg.AssetCheckResult
Body = Callable[[dg.AssetExecutionContext, Any, Any], Iterator[Evaluated]]


def with_mlflow(body: Body) -> Callable[..., Iterator[Evaluated]]:
    """*body* with the resources ``lakefs`` and ``mlflow``."""

    def compute(
        context: dg.AssetExecutionContext, lakefs: dg.ResourceParam[Any], mlflow: dg.ResourceParam[Any]
    ) -> Iterator[Evaluated]:
        yield from body(context, lakefs, mlflow)

    return compute


def without_mlflow(body: Body) -> Callable[..., Iterator[Evaluated]]:
    """*body* with the resource ``lakefs`` alone: MLflow is not even imported for it."""

    def compute(context: dg.AssetExecutionContext, lakefs: dg.ResourceParam[Any]) -> Iterator[Evaluated]:
        yield from body(context, lakefs, None)

    return compute
