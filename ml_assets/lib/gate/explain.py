"""What would be recomputed, and why; and what stands published, as a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import MLAssetsError
from ml_assets.lib.core.names import Unit

if TYPE_CHECKING:
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.gate.machinery import Machinery
    from ml_assets.lib.gate.records import RecordsAt
    from ml_assets.lib.gate.work import Work

JUDGED_AGAIN: Final = "rules changed: judged again, not recomputed"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a unit stands: ``None`` as reason means that the target holds it as declared."""

    unit: Unit
    reason: str | None


def standings(machinery: Machinery) -> Iterator[Standing]:
    """Every unit that is declared, in the order in which data flows, each once."""
    records = machinery.systems.records.at(machinery.lake.head(machinery.target))
    seen: set[Unit] = set()
    changed: set[Unit] = set()
    for asset in machinery.plan.assets.values():
        for partition in machinery.plan.partitions(asset):
            work = machinery.plan.work(machinery.systems, asset, partition)
            if work is None or work.unit in seen:
                continue
            seen.add(work.unit)
            reason = _reason(work, records, changed)
            if reason not in (None, JUDGED_AGAIN):
                changed.add(work.unit)
            yield Standing(unit=work.unit, reason=reason)


def _reason(work: Work, records: RecordsAt, changed: set[Unit]) -> str | None:
    old = records.get(work.unit)
    if old is None:
        return "never materialized"
    if not records.valid(old):
        return "changed behind the gate"
    for name, unit in work.inputs.items():
        now = records.get(unit)
        if (
            unit in changed
            or now is None
            or name not in old.inputs
            or now.as_input().essence != old.inputs[name].essence
        ):
            return f"input {unit} changed"
    try:
        refs = {
            name: records.require(unit, work.unit, allow_stale=work.allow_stale).as_input()
            for name, unit in work.inputs.items()
        }
    except MLAssetsError as error:
        return str(error)
    if work.recipe(refs, old) != old.recipe:
        return f"recipe changed: {_part(work, old)}"
    return JUDGED_AGAIN if work.rules != old.rules else None


def _part(work: Work, old: Publication) -> str:
    if work.definition.identity != old.definition.identity:
        return "definition"
    if (work.definition.keys, work.definition.ttl) != (old.definition.keys, old.definition.ttl):
        return "keys or ttl"
    if set(work.inputs) != set(old.inputs):
        return "inputs"
    return "parameters, files, seed or libraries"


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
