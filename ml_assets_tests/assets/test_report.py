"""What Dagster records of a materialization: events, checks, metadata, siblings; and nothing of a refused one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets_tests.assets.conftest import Dagster
from ml_assets_tests.gate.world import CARS, FRAME, MODEL, SOURCE, VIEW, trips, write_trips


def events(result: dg.ExecuteInProcessResult, key: str) -> dict[str | None, dict[str, Any]]:
    """Metadata of an asset's materializations, by partition."""
    return {
        event.materialization.partition: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.materialization.asset_key == dg.AssetKey(key.split("/"))
    }


def checks(result: dg.ExecuteInProcessResult, key: str) -> dict[tuple[str, str | None], dg.AssetCheckEvaluation]:
    """Evaluations of an asset's checks, by name and partition."""
    return {
        (found.check_name, found.partition): found
        for found in result.get_asset_check_evaluations()
        if found.asset_key == dg.AssetKey(key.split("/"))
    }


def records(value: dg.MetadataValue[Any]) -> list[dict[str, Any]]:
    """The rows of a table in metadata."""
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def failure(result: dg.ExecuteInProcessResult, step: str) -> Any:
    """Why a step failed."""
    return next(e.step_failure_data for e in result.all_events if e.is_step_failure and e.step_key == step)


def grown(tmp_path: Path) -> str:
    """A file with more trips."""
    return str(write_trips(tmp_path / "grown.csv", trips(340)))


def poisoned(tmp_path: Path) -> str:
    """A file in which trips end before they start and one is there twice."""
    rows = trips()
    for row in rows[:3]:
        row["ended"] = "2020-05-01T00:00:00+00:00"
    return str(write_trips(tmp_path / "poisoned.csv", [*rows, rows[10]]))


def test_a_published_source_is_reported(dagster: Dagster, tmp_path: Path) -> None:
    """One materialization with commit, digest, rows, columns and files; its data version is the digest."""
    result = dagster.run("sources/trips", config={"path": grown(tmp_path)})
    assert result.success
    (facts,) = events(result, "sources/trips").values()
    publication = dagster.place.publication(SOURCE)
    assert facts["outcome"] == "published"
    assert facts["digest"] == publication.digest
    assert facts["lakefs_commit"] == dagster.place.head.id
    assert facts["lakefs_commit"] in facts["lakefs_commit_link"]
    assert facts["dagster/row_count"] == 340
    assert [file["name"] for file in records(facts["files"])] == ["grown.csv"]
    assert {"trip", "minutes"} <= {column.name for column in facts["dagster/column_schema"].columns}
    (event,) = result.asset_materializations_for_node("sources__trips")
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == publication.digest


def test_people_and_tickets_reach_the_lake(dagster: Dagster, tmp_path: Path) -> None:
    """Run tags author, ticket and approved_by are in commits and publication; other tags are not."""
    tags = {"author": "ada", "ticket": "DS-1", "approved_by": "grace", "color": "red"}
    assert dagster.run("sources/trips", config={"path": grown(tmp_path)}, tags=tags).success
    run = dagster.place.publication(SOURCE).run
    assert ("ada", "DS-1", "grace") == (run["author"], run["ticket"], run["approved_by"])
    assert "color" not in run
    (_, data) = dagster.place.lake.info(dagster.place.head).parents
    assert dagster.place.lake.info(data).metadata["ticket"] == "DS-1"


def test_an_unchanged_unit_is_materialized_green(dagster: Dagster) -> None:
    """Nothing is written, and Dagster learns of it all the same, with checks and the same data version."""
    head = dagster.place.head
    result = dagster.run("frames/late", partition="v1|hash-s42")
    assert result.success
    assert head == dagster.place.head
    (facts,) = events(result, "frames/late").values()
    assert facts["outcome"] == "unchanged"
    assert dagster.materialized("frames/late") == {"v1|hash-s42"}
    assert {True} == {found.passed for found in checks(result, "frames/late").values()}
    assert facts["digest"] == dagster.place.publication(FRAME).digest


def test_siblings_are_reported_with_their_checks(dagster: Dagster, tmp_path: Path) -> None:
    """Publishing what v1 means materializes v2 too, which means the same unit: same digest, same checks."""
    assert dagster.run("sources/trips", config={"path": grown(tmp_path)}).success
    result = dagster.run("features/longest", partition="v1")
    assert result.success
    found = events(result, "features/longest")
    assert {"v1", "v2"} == found.keys()
    assert found["v1"]["digest"] == found["v2"]["digest"] == dagster.place.publication(VIEW).digest
    assert found["v2"]["shared_with"] == "v1"
    assert {("contract", "v1"), ("contract", "v2")} <= checks(result, "features/longest").keys()
    assert dagster.materialized("features/longest") == {"v1", "v2"}


def test_what_is_not_part_of_a_version_is_green_and_stores_nothing(dagster: Dagster) -> None:
    """A view that a feature version lacks says so."""
    head = dagster.place.head
    result = dagster.run("features/cars", partition="v1")
    assert result.success
    (facts,) = events(result, "features/cars").values()
    assert facts["outcome"] == "not part of v1"
    assert head == dagster.place.head
    assert CARS not in dagster.place.published()


def test_a_refused_unit_materializes_nothing(dagster: Dagster, tmp_path: Path) -> None:
    """The run fails by its checks, which show rules, counts and rows; the target has not moved, the branch stays."""
    head = dagster.place.head
    result = dagster.run("sources/trips", config={"path": poisoned(tmp_path)})
    assert not result.success
    assert head == dagster.place.head
    assert not events(result, "sources/trips")
    found = checks(result, "sources/trips")
    failed = {
        name for (name, _), check in found.items() if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    }
    assert failed == {"contract", "ends_after_it_starts"}
    rule = found["ends_after_it_starts", None].metadata
    assert [3] == [row["failed"] for row in records(rule["failed_per_rule"])]
    assert {"trip", "started", "ended"} <= records(rule["failing_rows"])[0].keys()
    branch = rule["lakefs_branch"].value
    assert branch in {info.name for info in dagster.place.lake.branches("run-")}
    assert "blocking asset check" in failure(result, "sources__trips").error.message


def test_nothing_runs_downstream_of_a_refused_unit(dagster: Dagster, tmp_path: Path) -> None:
    """In the same run, what needs the refused unit is not executed; with a good file it is."""
    keys = ("sources/trips", "features/longest")
    result = dagster.run(*keys, partition="v1", config={"path": poisoned(tmp_path)})
    assert not result.success
    assert not events(result, "features/longest")
    assert {e.step_key for e in result.all_events if e.is_step_start} == {"sources__trips"}
    result = dagster.run(*keys, partition="v1", config={"path": grown(tmp_path)})
    assert result.success
    assert events(result, "features/longest")["v1"]["outcome"] == "published"


def test_an_unreadable_file_fails_the_contract_check(dagster: Dagster, tmp_path: Path) -> None:
    """A missing column is said on the check, and nothing counts as judged."""
    path = write_trips(tmp_path / "short.csv", trips(), columns=("trip", "car"))
    result = dagster.run("sources/trips", config={"path": str(path)})
    assert not result.success
    found = checks(result, "sources/trips")
    assert not any(check.passed for check in found.values())
    assert "lacks the columns" in str(found["contract", None].metadata["problem"].value)


def test_a_stale_input_says_what_to_do(dagster: Dagster, tmp_path: Path) -> None:
    """A gate error fails the step with its kind and remedy, and is not tried again."""
    assert dagster.run("sources/trips", config={"path": grown(tmp_path)}).success
    result = dagster.run("frames/late", partition="v1|hash-s42")
    assert not result.success
    data = failure(result, "frames__late").user_failure_data
    assert data.metadata["kind"].value == "stale-input"
    assert "materialize" in data.metadata["remedy"].value
    assert data.description
    assert VIEW.name in data.description or "splits/trips" in data.description


def test_recompute_by_tag_confirms(dagster: Dagster) -> None:
    """With the tag the unit is computed although nothing changed; equal rows confirm it and nothing is published."""
    head = dagster.place.head
    result = dagster.run("features/longest", partition="v1", tags={"ml_assets/recompute": "true"})
    assert result.success
    assert events(result, "features/longest")["v1"]["outcome"] == "confirmed"
    assert head == dagster.place.head


def test_columns_lead_to_what_they_are_made_from(dagster: Dagster) -> None:
    """A view's column to its source, a frame's to view, source and split, with types and descriptions."""
    (view,) = events(dagster.run("features/longest", partition="v1"), "features/longest").values()
    lineage = view["dagster/column_lineage"].deps_by_column
    assert {(d.asset_key.to_user_string(), d.column_name) for d in lineage["longest"]} == {("sources/trips", "minutes")}
    (frame,) = events(dagster.run("frames/late", partition="v1|hash-s42"), "frames/late").values()
    assert [column.name for column in frame["dagster/column_schema"].columns] == [
        *("trip", "car", "event_timestamp", "label", "longest", "split")
    ]
    made_from = {
        name: {(d.asset_key.to_user_string(), d.column_name) for d in deps}
        for name, deps in frame["dagster/column_lineage"].deps_by_column.items()
    }
    assert made_from["longest"] == {("features/longest", "longest")}
    assert made_from["split"] == {("splits/trips", "split")}
    assert made_from["label"] == {("sources/trips", "minutes")}


def test_a_model_links_to_mlflow(dagster: Dagster) -> None:
    """To the run that trained it and to its registered version."""
    result = dagster.run("models/late", partition="v1|hash-s42")
    assert result.success
    (facts,) = events(result, "models/late").values()
    run = dagster.place.publication(MODEL).extra["mlflow"]["run"]
    assert facts["mlflow_run_link"].endswith(f"/runs/{run}")
    assert facts["mlflow_model_link"].endswith(f"/models/late/versions/{facts['model_version']}")
    assert facts["lakefs_tag"].startswith(f"late-v{facts['model_version']}-")


def test_figures_of_frames_and_models(dagster: Dagster) -> None:
    """Rows per part, scores and parameters are shown as numbers, so that they can be compared over runs."""
    (frame,) = events(dagster.run("frames/late", partition="v1|hash-s42"), "frames/late").values()
    (model,) = events(dagster.run("models/late", partition="v1|hash-s42"), "models/late").values()
    parts = [f"rows/{part}" for part in ("train", "val", "test")]
    assert sum(frame[part] for part in parts) == frame["dagster/row_count"]
    assert [frame[part] for part in parts] == [model[part] for part in parts]
    assert 0.6 < model["test/roc_auc"] <= 1.0
    assert model["parameter/max_iter"] == 5


def test_a_parameter_in_run_config_trains_another_model(dagster: Dagster) -> None:
    """It enters the recipe; what Dagster's own check of the config lets through is checked again."""
    result = dagster.run("models/late", partition="v1|hash-s42", config={"max_iter": 6})
    assert result.success
    (facts,) = events(result, "models/late").values()
    assert facts["outcome"] == "published"
    run = dagster.place.machinery.tracking.client.get_run(facts["mlflow_run"])
    assert run.data.params["model/max_iter"] == "6"


def stands(facts: Mapping[str, Any]) -> dict[str, str]:
    """What the metadata of a failure say of what stands published."""
    return {name: value.value for name, value in facts.items() if name.startswith("still_published")}


def test_a_refused_run_says_what_still_stands(dagster: Dagster, tmp_path: Path) -> None:
    """Each failed check names time, commit and digest of what is published; the words are shown with it."""
    before, head = dagster.place.publication(SOURCE), dagster.place.head
    found = checks(dagster.run("sources/trips", config={"path": poisoned(tmp_path)}), "sources/trips")
    failed = found["ends_after_it_starts", None]
    told = stands(failed.metadata)
    assert told["still_published_digest"] == before.digest
    assert told["still_published_commit"] == head.id
    assert told["still_published_at"] == before.run["end"]
    assert "still stands on" in told["still_published"]
    assert failed.description == f"failed; {told['still_published']}"
    path = write_trips(tmp_path / "short.csv", trips(), columns=("trip", "car"))
    found = checks(dagster.run("sources/trips", config={"path": str(path)}), "sources/trips")
    assert stands(found["contract", None].metadata) == told
    assert "still stands on" in str(found["contract", None].description)


def test_a_failed_run_says_what_still_stands(dagster: Dagster, tmp_path: Path) -> None:
    """So does the failure of a step that the gate stopped."""
    before = dagster.place.publication(FRAME)
    assert dagster.run("sources/trips", config={"path": grown(tmp_path)}).success
    data = failure(dagster.run("frames/late", partition="v1|hash-s42"), "frames__late").user_failure_data
    assert stands(data.metadata)["still_published_digest"] == before.digest
    assert "still stands on" in data.description


def test_a_refused_run_of_what_was_never_published(dagster: Dagster, tmp_path: Path) -> None:
    """Nothing stands there, and that is said."""
    place = dagster.place
    place.lake.delete(place.target, [SOURCE.publication_path])
    place.lake.commit(place.target, "never published", {})
    found = checks(dagster.run("sources/trips", config={"path": poisoned(tmp_path)}), "sources/trips")
    told = stands(found["contract", None].metadata)
    assert told == {"still_published": f"nothing of {SOURCE} is published on {place.target} yet"}


def test_an_error_of_a_function_says_what_still_stands(
    dagster: Dagster, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Dagster shows the error as it is; the log of the step says the rest."""

    def broken(*_arguments: Any, **_options: Any) -> None:
        raise ZeroDivisionError("of somebody")

    monkeypatch.setattr("ml_assets.lib.gate.gate.Gate.materialize", broken)
    result = dagster.run("features/longest", partition="v1", level="ERROR")
    assert "ZeroDivisionError" in failure(result, "features__longest").error.to_string()
    assert f"the version of {VIEW} that was published at" in capfd.readouterr().err
