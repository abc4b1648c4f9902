"""A source file that is wrong: stopped, shown, and without effect on what is published."""

from __future__ import annotations

import dagster as dg
import pytest

from ml_assets.lib.core.refs import Branch
from ml_assets_tests.scenarios.user import User
from ml_assets_tests.twin import POISONS, Twin

FLIGHTS = dg.AssetKey(["sources", "flights"])

WHY = {
    "duplicate_keys": "flight_key",
    "impossible_delay": "arr_delay",
    "missing_column": "distance",
    "late_timestamp": "known_in_time",
    "no_rows": "no rows",
    "empty_file": "cannot be read",
}
"""What must be said of each poison."""

UNREADABLE = ("missing_column", "empty_file")
"""Those that are found before there are rows to show."""


def test_every_poison_is_tried() -> None:
    """A kind that the twin learns is expected to be told from the others."""
    assert WHY.keys() == set(POISONS)


@pytest.mark.parametrize("kind", POISONS)
def test_a_poisoned_file_is_stopped(apart: User, twin: Twin, kind: str) -> None:
    """The command fails and says why, the check holds the failing rows, the target has not moved."""
    done = apart.runs("materialize", "sources/flights", "--path", str(twin.poisoned(kind)), code=1)
    assert done.results() == {("sources/flights", None): "refused"}
    assert WHY[kind] in done.err
    assert apart.head == apart.lake.head(Branch("main"))
    with apart.instance as found:
        assert found.get_latest_materialization_event(FLIGHTS) is None
        check = dg.AssetCheckKey(FLIGHTS, "known_in_time" if kind == "late_timestamp" else "contract")
        (record,) = found.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert record.status.value == "FAILED"
    event = record.event
    assert event is not None
    assert event.dagster_event is not None
    metadata = event.dagster_event.asset_check_evaluation_data.metadata
    if kind in UNREADABLE:
        assert WHY[kind] in str(metadata["problem"].value)
    elif kind != "no_rows":
        rows = metadata["failing_rows"]
        assert isinstance(rows, dg.TableMetadataValue)
        assert 0 < len(rows.records) <= 10


def test_the_next_good_file_is_published(apart: User, twin: Twin) -> None:
    """After a refusal nothing has to be cleaned up: more flights come in, and what depends on them is made anew."""
    apart.runs("materialize", "sources/flights", "--path", str(twin.poisoned("duplicate_keys")), code=1)
    refused = apart.runs("branches").out
    assert "refused" in refused
    assert "sources/flights" in refused

    done = apart.runs("materialize", "sources/flights", "--path", str(twin.grown()), "--tag", "ticket=OPS-7")

    assert done.results() == {("sources/flights", None): "published"}
    flights = apart.publication("sources/flights")
    assert flights.outputs[0].rows == 4_500
    assert flights.run["ticket"] == "OPS-7"
    with apart.instance as found:
        event = found.get_latest_materialization_event(FLIGHTS)
        assert event is not None
        checks = {
            name: found.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(FLIGHTS, name), limit=1)[0]
            for name in ("contract", "not_empty", "known_in_time", "arrives_after_departure")
        }
        warned = checks.pop("known_in_time").event
        assert {record.status.value for record in checks.values()} == {"SUCCEEDED"}
    # Flights are said to be known always, and yet there are more of them than before: no reason to stop.
    assert warned is not None
    assert warned.dagster_event is not None
    evaluation = warned.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    counts = evaluation.metadata["failed_per_rule"]
    assert isinstance(counts, dg.TableMetadataValue)
    assert [dict(row.data) for row in counts.records] == [
        {"rule": "always_known: new since the last publication", "failed": 500}
    ]
    stale = apart.runs("materialize", "frames", "--split", "hash-s42", "--features", "v1", code=1)
    assert "was made from an older sources/flights" in stale.err
    assert "--changed" in stale.err
