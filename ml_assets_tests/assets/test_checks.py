"""What Dagster shows of a check that was not evaluated, does not apply, or belongs to another version: never passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import dagster as dg
import pytest

from ml_assets.lib.assets.runner import Request, Runner
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import CheckResult, Verdict
from ml_assets_tests.assets.conftest import Dagster, Lakefs
from ml_assets_tests.assets.test_report import checks, events
from ml_assets_tests.gate.trips import contracts
from ml_assets_tests.gate.world import FRAME, MODEL, SOURCE, SPLIT, VIEW

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

Seen = Mapping[tuple[str, str | None], dg.AssetCheckEvaluation]
WHERE: Mapping[Unit, tuple[str, str | None]] = {
    SOURCE: ("sources/trips", None),
    SPLIT: ("splits/trips", "hash-s42"),
    VIEW: ("features/longest", "v1"),
    FRAME: ("frames/late", "v1|hash-s42"),
    MODEL: ("models/late", "v1|hash-s42"),
}


def judged_as(dagster: Dagster, unit: Unit, verdict: Verdict) -> Seen:
    """What Dagster shows of *unit*, unchanged, if its publication holds this verdict."""
    place, (key, partition) = dagster.place, WHERE[unit]
    forged = replace(place.publication(unit), verdict=verdict)
    place.lake.put(place.target, unit.publication_path, forged.to_bytes())
    place.lake.commit(place.target, "another verdict", {})
    result = dagster.run(key, partition=partition)
    assert events(result, key)[partition]["outcome"] == "unchanged"
    return checks(result, key)


@pytest.mark.parametrize(
    ("unit", "name", "severity"),
    [
        (SOURCE, "contract", ERROR),
        (SOURCE, "ends_after_it_starts", ERROR),
        (SOURCE, "is_short", WARN),
        (SPLIT, "complete", ERROR),
        (VIEW, "contract", ERROR),
        (FRAME, "no_future", ERROR),
        (MODEL, "floors", ERROR),
    ],
    ids=str,
)
def test_a_declared_check_that_the_verdict_lacks(
    dagster: Dagster, unit: Unit, name: str, severity: dg.AssetCheckSeverity
) -> None:
    """It is shown as failed, with as much weight as it is declared with; the others as they were."""
    partition = WHERE[unit][1]
    verdict = dagster.place.publication(unit).verdict
    assert name in {result.check for result in verdict}
    found = judged_as(dagster, unit, tuple(result for result in verdict if result.check != name))
    seen = found[name, partition]
    assert (seen.passed, seen.severity) == (False, severity)
    assert seen.description
    assert "not evaluated" in seen.description
    for result in verdict:
        if result.check != name:
            assert found[result.check, partition].passed == result.passed


def test_a_check_of_another_version(dagster: Dagster) -> None:
    """It does not apply: it has not passed, and stops nothing."""
    result = dagster.run("splits/trips", partition="hash-s42")
    assert result.success
    seen = checks(result, "splits/trips")["ordered_started", "hash-s42"]
    assert (seen.passed, seen.severity) == (False, WARN)
    assert seen.description == "not applicable: not part of this version"


def test_checks_where_the_version_lacks_the_dataset(dagster: Dagster) -> None:
    """The same for each check of the partition."""
    result = dagster.run("features/cars", partition="v1")
    assert result.success
    seen = checks(result, "features/cars")["contract", "v1"]
    assert (seen.passed, seen.severity) == (False, WARN)
    assert seen.description == "not applicable: not part of v1"


@pytest.mark.parametrize("unit", [SOURCE, FRAME, MODEL], ids=str)
def test_a_check_without_anything_to_judge(dagster: Dagster, unit: Unit) -> None:
    """It has not passed, says why, and stops nothing, whatever its severity."""
    partition = WHERE[unit][1]
    verdict = dagster.place.publication(unit).verdict
    nothing = CheckResult(check=verdict[-1].check, passed=False, not_applicable="there is no fact to falsify")
    seen = judged_as(dagster, unit, (*verdict[:-1], nothing))[nothing.check, partition]
    assert (seen.passed, seen.severity) == (False, WARN)
    assert seen.description == "not applicable: there is no fact to falsify"
    assert seen.metadata["not_applicable"].value == "there is no fact to falsify"


def test_a_passed_flag_does_not_make_it_pass(dagster: Dagster) -> None:
    """A result that says both is not applicable."""
    verdict = dagster.place.publication(FRAME).verdict
    both = CheckResult(check=verdict[-1].check, passed=True, not_applicable="nothing to judge")
    assert not judged_as(dagster, FRAME, (*verdict[:-1], both))[both.check, "v1|hash-s42"].passed


def test_siblings_show_the_same(dagster: Dagster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another partition that means the unit shows severity and reason as the first one does."""
    nothing = CheckResult(check="contract", passed=False, not_applicable="nothing to judge")
    monkeypatch.setattr(contracts.Longest, "audit", classmethod(lambda _contract, _table: nothing))
    place = dagster.place
    place.lake.delete(place.target, [VIEW.publication_path])
    place.lake.commit(place.target, "never published", {})
    result = dagster.run("features/longest", partition="v1")
    assert events(result, "features/longest")["v2"]["outcome"] == "published"
    for partition in ("v1", "v2"):
        seen = checks(result, "features/longest")["contract", partition]
        assert (seen.passed, seen.severity) == (False, WARN)
        assert seen.description == "not applicable: nothing to judge"


def test_the_command_line_says_it(dagster: Dagster) -> None:
    """What does not apply is noted beside the outcome, but for checks of other versions."""
    place = dagster.place
    nothing = CheckResult(check="no_future", passed=False, not_applicable="there is no fact to falsify")
    verdict = (*(r for r in place.publication(FRAME).verdict if r.check != "no_future"), nothing)
    forged = replace(place.publication(FRAME), verdict=verdict)
    place.lake.put(place.target, FRAME.publication_path, forged.to_bytes())
    place.lake.commit(place.target, "another verdict", {})
    runner = Runner(
        definitions=dg.Definitions(
            dagster.assets, resources={"lakefs": Lakefs(place), "mlflow": place.machinery.tracking}
        ),
        plan=place.machinery.plan,
        machinery=lambda: place.machinery,
        instance=dagster.instance,
    )
    asked = Request(assets=("frames/late", "splits/trips"), split_version="hash-s42", feature_version="v1")
    notes = {result.asset: result.note for result in runner.run(asked)}
    assert notes == {"splits/trips": "", "frames/late": "no_future: not applicable: there is no fact to falsify"}
