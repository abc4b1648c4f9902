"""A published split version or feature version means one thing for ever on ``main``, whether or not it is locked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from ml_assets.lib.core.errors import VersionNotBumped
from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare import Declarations, Field
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.gate.explain import standings
from ml_assets.lib.gate.outcome import Published, Unchanged
from ml_assets_tests.gate.trips import contracts
from ml_assets_tests.gate.world import FRAME, MODEL, SPLIT, Place, World, changed, declarations


def other_shares(trips: ir.Table) -> ir.Table:
    """Another definition of the split."""
    digit = trips.trip.hexdigest("md5").substr(0, 1)
    return trips.select("trip", split=ibis.cases((digit < "9", "train"), (digit < "c", "val"), else_="test"))


def edited_split(**parts: Any) -> Declarations:
    """The declarations with an edited split version."""
    return changed(splits={**declarations().splits, "hash-s42": replace(declarations().splits["hash-s42"], **parts)})


def edited_features(*refs: str) -> Declarations:
    """The declarations with other views in ``v1``."""
    return changed(feature_versions={**declarations().feature_versions, "v1": tuple(map(ViewRef.parse, refs))})


def is_refused(place: Place, unit: Unit, declared: Declarations, says: str) -> None:
    """Assert that the gate refuses *unit*, that `check` says the same, and that the target stays."""
    head, machinery = place.head, place.new_machinery(declared)
    with pytest.raises(VersionNotBumped, match=says) as told:
        place.materialize(unit, machinery=machinery)
    assert place.head == head
    assert str(told.value) in {standing.reason for standing in standings(machinery) if standing.unit == unit}


@pytest.mark.parametrize("edit", [{"function": other_shares}, {"seed": 43}], ids=["function", "seed"])
def test_an_edited_split_version(world: World, place: Place, edit: dict[str, Any]) -> None:
    """It is refused on ``main``; elsewhere it may be tried out."""
    declared = edited_split(**edit)
    is_refused(world.base, SPLIT, declared, "declare it as a new split version")
    assert isinstance(place.materialize(SPLIT, machinery=place.new_machinery(declared)), Published)


def test_rules_of_a_published_split(world: World) -> None:
    """They may change: nothing says that the split means something else."""
    work = world.base.work(SPLIT, world.base.new_machinery(edited_split(rules=())))
    work.admit(world.base.publication(SPLIT))


class WiderTrips(contracts.Trips):
    """As `Trips`, with a column that nothing uses."""

    note: str = Field(nullable=True, description="What the driver says")


def test_a_source_that_gains_a_column(world: World) -> None:
    """Its splits are made anew, under their version."""
    sources = {"trips": replace(declarations().sources["trips"], contract=WiderTrips)}
    work = world.base.work(SPLIT, world.base.new_machinery(changed(sources=sources)))
    assert work.definition.identity != world.base.publication(SPLIT).definition.identity
    work.admit(world.base.publication(SPLIT))


@pytest.mark.parametrize(
    ("refs", "how"),
    [
        (("longest@1", "cars@1"), r"now also cars@1\[seats\]"),
        (("cars@1",), r"without longest@1\[longest\]; now also cars@1\[seats\]"),
    ],
    ids=["another view", "one instead"],
)
def test_an_edited_feature_version(world: World, refs: tuple[str, ...], how: str) -> None:
    """Its frames are refused on ``main``, whatever is published of its views; also those of an earlier version."""
    place, declared = world.base, edited_features(*refs)
    work = place.work(FRAME, place.new_machinery(declared))
    published = place.publication(FRAME)
    older = replace(published, extra={})
    for found in (published, older):
        with pytest.raises(VersionNotBumped, match=rf"feature version v1 has now: {how}; .* a new feature version"):
            work.admit(found)
    place.work(FRAME).admit(older)


def test_fewer_columns_of_a_view(world: World) -> None:
    """A version that loses a column is found in what earlier versions published, too."""
    place = world.base
    published = place.publication(FRAME)
    older = replace(published, extra={})
    work = place.work(FRAME, place.new_machinery(edited_features("longest@1[longest]")))
    work.admit(published)
    work.admit(older)
    values = {"longest@1": ["longest", "shortest"]}
    had = replace(published, extra={"made_from": {**published.extra["made_from"], "parameters": {"values": values}}})
    with pytest.raises(VersionNotBumped, match=r"without longest@1\[shortest\]"):
        work.admit(had)


def test_the_lock_holds_for_frames_and_models(
    world: World, place: Place, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On ``main``, what versions.lock says of a feature or split version is asked before anything is read."""
    from ml_assets.lib.declare import lock

    monkeypatch.setattr(lock, "path_of", lambda _declarations: tmp_path / "versions.lock")
    lock.write(declarations())
    declared = edited_features("cars@1")
    for unit in (FRAME, MODEL):
        is_refused(world.base, unit, declared, r"feature version v1: views or columns changed")
    is_refused(world.base, SPLIT, edited_split(function=other_shares), "expression changed under a version")
    assert isinstance(place.materialize(SPLIT, machinery=place.new_machinery(edited_split(seed=43))), Published)
    assert isinstance(world.base.materialize(MODEL), Unchanged)
