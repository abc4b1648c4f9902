"""A built-in check whose number is raised judges what is published again, and computes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare import checks
from ml_assets.lib.gate.explain import JUDGED_AGAIN, standings
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets_tests.gate.world import FRAME, MODEL, SOURCE, SPLIT, VIEW, Place


def raise_the_number(monkeypatch: pytest.MonkeyPatch, stage: str, name: str) -> None:
    """As after an edit of ``checks.py``: the check finds something else from now on."""
    raised = tuple(replace(c, number=c.number + 1) if c.name == name else c for c in checks.BUILTIN[stage])
    monkeypatch.setattr(checks, "BUILTIN", {**checks.BUILTIN, stage: raised})


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        (SOURCE, "contract"),
        (SOURCE, "known_in_time"),
        (SPLIT, "contract"),
        (VIEW, "contract"),
        (FRAME, "no_future"),
        (MODEL, "predictions"),
    ],
    ids=str,
)
def test_a_raised_number(place: Place, monkeypatch: pytest.MonkeyPatch, unit: Unit, name: str) -> None:
    """`check` names the check; only units of its stage are judged, and their rows and recipes stay."""
    before = place.publication(unit)
    raise_the_number(monkeypatch, unit.stage, name)
    machinery = place.new_machinery()
    found = {standing.unit: standing.reason for standing in standings(machinery)}
    assert found[unit] == f"{JUDGED_AGAIN} (built-in check {name})"
    assert {reason for other, reason in found.items() if other.stage != unit.stage} <= {None, "never materialized"}
    outcome = place.materialize(unit, machinery=machinery, keep=True)
    assert isinstance(outcome, Published)
    assert not outcome.recomputed
    assert (before.recipe, before.outputs) == (outcome.publication.recipe, outcome.publication.outputs)
    assert isinstance(place.materialize(unit, machinery=place.new_machinery(), keep=True), Unchanged)
