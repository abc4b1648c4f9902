"""What would be recomputed, and why; and what stands published, as a table for people."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import MLAssetsError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.gate.causes import of_recipe, of_rules
from ml_assets.lib.gate.pin import Pinned

if TYPE_CHECKING:
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.gate.records import RecordsAt
    from ml_assets.lib.gate.work import Work

JUDGED_AGAIN: Final = "rules changed: judged again, not recomputed"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a unit stands.

    Attributes:
        unit: The unit.
        reason: Why it would be computed or judged again, or cannot be; ``None`` where the target holds it as declared.
        moves: Whether what rests on it changes too.
    """

    unit: Unit
    reason: str | None
    moves: bool = False


def standings(machinery: Machinery) -> Iterator[Standing]:
    """Every unit that is declared, in the order in which data flows, each once: what ``materialize --changed`` does."""
    records = machinery.systems.records.at(machinery.lake.head(machinery.target))
    seen: set[Unit] = set()
    changed: set[Unit] = set()
    for asset in machinery.plan.assets.values():
        for partition in machinery.plan.partitions(asset):
            unit = machinery.plan.unit(asset, partition)
            if unit is None or unit in seen:
                continue
            seen.add(unit)
            try:
                work = machinery.plan.work(machinery.systems, asset, partition, keep=True)
                assert work is not None  # it has a unit
                found = standing(work, records, changed)
            except MLAssetsError as error:
                found = Standing(unit=unit, reason=str(error))
            if found.moves:
                changed.add(unit)
            yield found


def standing(work: Work, records: RecordsAt, changed: Collection[Unit] = ()) -> Standing:
    """How *work* stands at *records*, when the units in *changed* are about to change.

    Raises:
        MLAssetsError: It cannot be materialized.
    """
    old = records.get(work.unit)
    work.admit(old)
    if old is None:
        return Standing(unit=work.unit, reason="never materialized", moves=True)
    if not records.valid(old):
        return Standing(unit=work.unit, reason="changed behind the gate", moves=True)
    for name, unit in work.inputs.items():
        now = records.get(unit)
        taken = old.inputs.get(name)
        if unit in changed or (taken and (now is None or now.as_input().essence != taken.essence)):
            return Standing(unit=work.unit, reason=f"input {unit} changed", moves=True)
    pinned = Pinned.at(records, work)
    if pinned.is_fresh(work):
        return Standing(unit=work.unit, reason=None)
    if pinned.published_by_same_recipe():
        return Standing(unit=work.unit, reason=f"{JUDGED_AGAIN} ({', '.join(of_rules(work, old))})")
    return Standing(unit=work.unit, reason=f"recipe changed: {', '.join(of_recipe(work, old))}", moves=True)


def overview(machinery: Machinery) -> list[dict[str, str]]:
    """What stands published of frames and models: rows, AUC, frame digest, data commit, seconds, bytes stored."""
    head = machinery.lake.head(machinery.target)
    records = machinery.systems.records
    rows = []
    for name, model in machinery.declarations.models.items():
        for feature_version in machinery.declarations.feature_versions:
            for split_version in machinery.declarations.split_versions:
                unit = Unit.of_both("models", name, split_version, feature_version)
                frame = records.get(Unit.of_both("frames", model.frame, split_version, feature_version), head)
                published = records.get(unit, head)
                if published is None or frame is None:
                    continue
                scores = json.loads(machinery.lake.read(head, unit.object_path) or b"{}").get("scores", {})
                rows.append(
                    {
                        "split": split_version,
                        "features": feature_version,
                        "rows": f"{frame.outputs[0].rows:,}",
                        "AUC val": _figure(scores, "val"),
                        "AUC test": _figure(scores, "test"),
                        "frame digest": frame.digest[:21],
                        "data commit": frame.pin.short,
                        "seconds": f"{_seconds(frame) + _seconds(published):.1f}",
                        "bytes stored": f"{frame.outputs[0].bytes + published.outputs[0].bytes:,}",
                    }
                )
    return rows


def _figure(scores: dict[str, dict[str, float]], split: str) -> str:
    value = scores.get(split, {}).get("roc_auc")
    return "" if value is None else f"{value:.4f}"


def _seconds(publication: Publication) -> float:
    end, start = (datetime.fromisoformat(publication.run[key]) for key in ("end", "start"))
    return (end - start).total_seconds()
