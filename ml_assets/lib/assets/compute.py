"""The function that Dagster calls. It reads annotations as objects, so this module does not postpone them."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

Evaluated = dg.MaterializeResult[Any] | dg.AssetCheckResult


def computed(body: Callable[[dg.AssetExecutionContext], Iterator[Evaluated]]) -> Callable[..., Iterator[Evaluated]]:
    """*body*, annotated for Dagster; what it needs is in ``context.resources``."""

    def compute(context: dg.AssetExecutionContext) -> Iterator[Evaluated]:
        yield from body(context)

    return compute
