"""What was given on purpose, through Dagster and the runner behind the command line: who names something gets it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ml_assets.lib.assets.runner import Request, Result, Runner
from ml_assets_tests.assets.conftest import Dagster, Lakefs
from ml_assets_tests.assets.test_report import events, grown
from ml_assets_tests.gate.world import MODEL, SOURCE, TRIPS


def rows(dagster: Dagster) -> int:
    """How many trips are published."""
    return dagster.place.publication(SOURCE).outputs[0].rows


def asked(dagster: Dagster, **request: object) -> Result:
    """What the runner does with a request for the source or the model of ``hash-s42`` and ``v1``."""
    place = dagster.place
    runner = Runner(
        definitions=dg.Definitions(
            dagster.assets, resources={"lakefs": Lakefs(place), "mlflow": place.machinery.tracking}
        ),
        plan=place.machinery.plan,
        machinery=lambda: place.machinery,
        instance=dagster.instance,
    )
    versions = {"split_version": "hash-s42", "feature_version": "v1"}
    results = runner.run(Request(**{**versions, **request}))  # type: ignore[arg-type]  # its fields
    (result,) = (result for result in results if result.asset in ("sources/trips", "models/late"))
    return result


def test_a_file_stays_in_the_ui(dagster: Dagster, tmp_path: Path) -> None:
    """Materialize without config after an ingest by path leaves the table; an explicit null takes the declared file."""
    assert dagster.run("sources/trips", config={"path": grown(tmp_path)}).success
    result = dagster.run("sources/trips")
    assert events(result, "sources/trips")[None]["outcome"] == "unchanged"
    assert rows(dagster) == TRIPS + 40
    result = dagster.run("sources/trips", config={"path": None})
    assert events(result, "sources/trips")[None]["outcome"] == "published"
    assert rows(dagster) == TRIPS


def test_parameters_stay_in_the_ui(dagster: Dagster) -> None:
    """Materialize without config leaves the model; a named value is taken, also that of the declaration."""
    key, partition = "models/late", "v1|hash-s42"
    assert dagster.run(key, partition=partition, config={"max_iter": 6}).success
    result = dagster.run(key, partition=partition)
    assert events(result, key)[partition]["outcome"] == "unchanged"
    result = dagster.run(key, partition=partition, config={"max_iter": 5})
    assert events(result, key)[partition]["outcome"] == "published"
    assert "given" not in dagster.place.publication(MODEL).extra


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [
        ({"assets": ("sources/trips",), "changed": True}, "unchanged"),
        ({"assets": ("sources",), "changed": True}, "unchanged"),
        ({"assets": ("sources",)}, "unchanged"),
        ({"assets": ("sources/trips",), "recompute": True}, "confirmed"),
        ({"assets": ("sources/trips",)}, "published"),
    ],
    ids=["named, changed", "stage, changed", "stage", "recompute", "named"],
)
def test_the_runner_and_a_file(dagster: Dagster, tmp_path: Path, request_: dict[str, object], outcome: str) -> None:
    """Only who names the source, to be materialized from what is declared, replaces the given file."""
    assert dagster.run("sources/trips", config={"path": grown(tmp_path)}).success
    result = asked(dagster, **request_)
    assert result.outcome == outcome
    assert rows(dagster) == (TRIPS if outcome == "published" else TRIPS + 40)
    if "changed" in request_:
        assert result.note.endswith("grown.csv, given by --path")


def test_the_runner_and_parameters(dagster: Dagster) -> None:
    """The same for a model; a parameter that is given again is what it was."""
    given = {"assets": ("models/late",), "parameters": {"max_iter": 6}}
    assert asked(dagster, **given).outcome == "published"
    assert asked(dagster, **given, changed=True).outcome == "unchanged"
    kept = asked(dagster, assets=("models",), changed=True)
    assert (kept.outcome, kept.note) == ("unchanged", 'with parameters that were given: {"max_iter": 6}')
    assert asked(dagster, assets=("models/late",)).outcome == "published"
    assert dagster.place.publication(MODEL).extra["made_from"]["parameters"] == {"max_iter": 5}
