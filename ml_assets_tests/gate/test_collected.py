"""After garbage collection with no retention at all, every registered model version still leads back to its rows."""

from __future__ import annotations

import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.lib.core.names import Unit
from ml_assets.lib.devlake import gc, server
from ml_assets.lib.devlake.check import check
from ml_assets.lib.gate import look
from ml_assets.lib.gate.branches import list_branches
from ml_assets.lib.gate.maintain import State, maintain
from ml_assets.lib.tracking import trace
from ml_assets_tests.gate.test_maintain import NOTHING_KEPT
from ml_assets_tests.gate.world import LOG, SOURCE, TRIPS, UNITS, Place, build, new_run, trips, write_trips
from ml_assets_tests.lakes import LakeEndpoint


@pytest.fixture
def place(distribution: Path, tmp_path: Path) -> Iterator[Place]:
    """A lake of the test's own, with a server of its own, in which everything was published on ``main``."""
    running = server.ensure(tmp_path / "lake")
    endpoint = LakeEndpoint(running.url, running.access_key_id, running.secret_access_key)
    yield build(endpoint, tmp_path / "home", distribution).base
    server.stop(tmp_path / "lake")


def retain_nothing(place: Place) -> None:
    """Let every commit expire at once that is the head of no branch."""
    key = f"{place.endpoint.access_key_id}:{place.endpoint.secret_access_key.get_secret_value()}"
    request = urllib.request.Request(
        f"{place.endpoint.url}/api/v1/repositories/{place.repository}/settings/gc_rules",
        b'{"default_retention_days": 0, "branches": []}',
        {"Authorization": f"Basic {b64encode(key.encode()).decode()}", "Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 204


def publish(place: Place, more: int, *, units: Sequence[Unit] = UNITS) -> None:
    """Publish *units* anew, over more trips."""
    place.materialize(SOURCE, path=write_trips(place.home / f"{more}.csv", trips(TRIPS + more)))
    for unit in units[1:]:
        place.materialize(unit)


@pytest.mark.slow
def test_every_model_version_rebuilds(place: Place, tmp_path: Path) -> None:
    """Three generations, the second without a model: its files go, and the frames of both models are proved."""
    publish(place, 20, units=UNITS[:-1])
    publish(place, 40)
    machinery = place.new_machinery()
    states = {table.unit: table.state for table in maintain(machinery, (), run=new_run(), keep=NOTHING_KEPT)}
    assert states.pop(LOG) in (State.MAINTAINED, State.IN_ORDER)  # nothing was appended meanwhile
    assert set(states.values()) == {State.MAINTAINED}
    list(list_branches(machinery, prune=True))
    retain_nothing(place)
    root = server.root_of(tmp_path / "lake")
    assert gc.collect(root, grace=timedelta(0)).expired > 0
    assert check(root, pytest.fail).problems == 0
    digests = set()
    for version in (1, 2):
        found = trace.read(machinery.tracking, "late", version).lineage
        rebuilt = look.frame(
            machinery,
            "late",
            split_version=found.split_version,
            feature_version=found.feature_version,
            commit=found.lakefs_commit,
        )
        assert rebuilt.digest == found.frame_digest
        digests.add(found.frame_digest)
    assert len(digests) == 2
    place.check_whole()
