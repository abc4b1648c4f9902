"""Registered versions: one per trained model, however often and by however many it is registered."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import LAKEFS_TAG
from ml_assets.lib.tracking import registry, runs
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.tracking.examples import EXAMPLE, train, unit


def numbers(tracking: Tracking, model: str) -> list[int]:
    """The versions that MLflow lists."""
    return sorted(int(version.version) for version in tracking.client.search_model_versions(f"name = '{model}'"))


def test_registering_twice_makes_one_version(tracking: Tracking, model: str) -> None:
    """A settle that runs again finds what the first one made; its tags are the lineage."""
    run_id, _ = train(tracking, model)
    first, second = (registry.register(tracking, model, run_id) for _ in range(2))
    assert (1, run_id, True) == (first.number, first.run_id, first.created)
    assert (1, run_id, False) == (second.number, second.run_id, second.created)
    assert EXAMPLE.as_version_tags() == first.tags == second.tags
    assert numbers(tracking, model) == [1]


def test_a_new_run_is_a_new_version(tracking: Tracking, model: str) -> None:
    """Trained again, even by the same recipe, is another model."""
    versions = [registry.register(tracking, model, train(tracking, model)[0]).number for _ in range(2)]
    assert versions == [1, 2]


def test_two_settles_at_once_end_with_one(tracking: Tracking, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find nothing, both make a version, both say that the lower one is it; a number given up is not reused."""
    run_id, _ = train(tracking, model)
    together, create = threading.Barrier(2, timeout=60), registry._create

    def create_together(*arguments: object) -> None:
        together.wait()
        create(*arguments)  # type: ignore[arg-type]  # passed on as they came
        together.wait()

    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(registry, "_create", create_together)
        found = list(pool.map(lambda _: registry.register(tracking, model, run_id), range(2)))
    assert [version.number for version in found] == [1, 1]
    assert numbers(tracking, model) == [1]
    assert registry.register(tracking, model, train(tracking, model)[0]).number == 3


@pytest.mark.slow
@pytest.mark.timeout(400)  # four times the imports of MLflow and scikit-learn at once
def test_four_first_runs_at_once(tmp_path: Path, model: str) -> None:
    """Four processes on a state folder without a store: each writes a run, all settle one, and one version is left."""
    script = f"""
        import sys, time
        from pathlib import Path
        from ml_assets.lib.core.process import Process
        from ml_assets.lib.tracking import registry, runs
        from ml_assets.lib.tracking.store import Tracking
        from ml_assets_tests.tracking.examples import EXAMPLE, files, train, unit
        first, folder = Path({str(tmp_path)!r}, "first"), Path({str(tmp_path)!r})
        tracking = Tracking.embedded(folder / "home")
        if sys.argv[1] == "0":
            run_id, _ = train(tracking, {model!r})
            Path(folder, "written").write_text(run_id)
            Path(folder, "written").rename(first)
        else:
            with runs.begin(tracking, {model!r}, unit({model!r}), owner=Process.here().as_text(), tags={{}}) as run:
                run.log_lineage(EXAMPLE)
                run.log_files(files(EXAMPLE))
        while not first.exists():
            time.sleep(0.01)
        print(registry.register(tracking, {model!r}, first.read_text()).number)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    processes = [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    answers = [process.communicate(timeout=380) for process in processes]
    assert answers == [answers[0]] * 4
    tracking = Tracking.embedded(tmp_path / "home")
    assert answers[0] == (f"{numbers(tracking, model)[0]}\n", "")
    assert len(numbers(tracking, model)) == 1
    found = tracking.client.search_runs([tracking.experiment(model)])
    assert [run.info.status for run in found] == ["FINISHED"] * 4


def test_a_lost_answer_makes_no_second_version(tracking: Tracking, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version was made but nobody heard of it: the settle fails, and the next one finds it."""
    from mlflow.exceptions import MlflowException

    run_id, _ = train(tracking, model)
    create = tracking.client.create_model_version

    def lose_the_answer(*arguments: object, **named: object) -> None:
        create(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came
        raise MlflowException("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(tracking.client, "create_model_version", lose_the_answer)
        with pytest.raises(TrackingError, match="connection reset"):
            registry.register(tracking, model, run_id)
    found = registry.register(tracking, model, run_id)
    assert (found.number, found.created) == (1, False)
    assert numbers(tracking, model) == [1]


def test_a_run_without_a_model_is_not_registered(tracking: Tracking, model: str) -> None:
    """Training that broke off leaves nothing to register."""
    with runs.begin(tracking, model, unit(model), owner={}, tags={}) as run:
        run.log_lineage(EXAMPLE)
    with pytest.raises(TrackingError, match="has no model"):
        registry.register(tracking, model, run.id)
    assert not registry.exists(tracking, run.id)


def test_tags_of_a_version_are_set(tracking: Tracking, model: str) -> None:
    """What exists only after registration is added, and may be set again."""
    version = registry.register(tracking, model, train(tracking, model)[0])
    for _ in range(2):
        registry.tag_version(tracking, version, {LAKEFS_TAG: "late_arrival-v1-0f3c-data"})
    (found,) = registry.versions_by(tracking, model)
    assert {**version.tags, LAKEFS_TAG: "late_arrival-v1-0f3c-data"} == found.tags


def test_versions_are_found_by_what_they_rest_on(tracking: Tracking, model: str) -> None:
    """From data to models: by commit, recipe or digest, of one model or of all."""
    other = replace(EXAMPLE, lakefs_commit="b" * 64, frame_digest=f"tbl1:{model}", recipe=f"r-{model}")
    for lineage in (EXAMPLE, other):
        registry.register(tracking, model, train(tracking, model, lineage=lineage)[0])
    assert [v.number for v in registry.versions_by(tracking, model, commit=EXAMPLE.lakefs_commit)] == [1]
    assert [v.number for v in registry.versions_by(tracking, model, recipe=other.recipe)] == [2]
    assert [(model, 2)] == [(v.name, v.number) for v in registry.versions_by(tracking, frame_digest=other.frame_digest)]
    assert [v.number for v in registry.versions_by(tracking, model)] == [1, 2]
    assert registry.versions_by(tracking, model, commit=other.lakefs_commit, recipe=EXAMPLE.recipe) == ()


def test_a_model_exists_until_somebody_removes_it(tracking: Tracking, model: str) -> None:
    """A deleted run, a deleted model and an unknown run are all the same to the gate: there is no model."""
    deleted_run, deleted_model = (train(tracking, model) for _ in range(2))
    assert registry.exists(tracking, deleted_run[0])
    assert registry.exists(tracking, deleted_model[0])
    tracking.client.delete_run(deleted_run[0])
    tracking.client.delete_logged_model(deleted_model[1].id)
    assert not registry.exists(tracking, deleted_run[0])
    assert not registry.exists(tracking, deleted_model[0])
    assert not registry.exists(tracking, "0" * 32)


def test_a_model_without_its_file_does_not_exist(tracking: Tracking, model: str) -> None:
    """MLflow's tables alone are no model."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run_id, logged = train(tracking, model)
    place = tracking.client.get_logged_model(logged.id).artifact_location
    get_artifact_repository(place, tracking_uri=tracking.uri).delete_artifacts()  # type: ignore[no-untyped-call]  # MLflow's
    assert not registry.exists(tracking, run_id)


def test_only_dead_losers_are_ended(tracking: Tracking, model: str) -> None:
    """Published runs, failed ones, the one being published and those whose process may live are left alone."""
    dead = {"host": "here", "pid": "1", "started": "0.0"}
    known: Mapping[str, bool | None] = {"here": False, "busy": True, "elsewhere": None}
    earlier, loser, current = (train(tracking, model, owner=dead)[0] for _ in range(3))
    registry.mark_published(tracking, earlier, registry.register(tracking, model, earlier))
    live, foreign = (train(tracking, model, owner={**dead, "host": host})[0] for host in ("busy", "elsewhere"))
    failed = train(tracking, model, owner=dead)[0]
    runs.end(tracking, failed, "FAILED")
    before = tracking.client.get_run(loser).info.end_time

    assert (loser,) == registry.end_losers(tracking, model, unit(model), current, lambda owner: known[owner["host"]])
    assert registry.end_losers(tracking, model, unit(model), current, lambda owner: known[owner["host"]]) == ()

    status = {
        run_id: tracking.client.get_run(run_id).info.status for run_id in (earlier, current, live, foreign, failed)
    }
    assert {"FINISHED"} == {status[run_id] for run_id in (earlier, current, live, foreign)}
    assert status[failed] == "FAILED"
    assert ("KILLED", before) == (
        tracking.client.get_run(loser).info.status,
        tracking.client.get_run(loser).info.end_time,
    )


def test_a_published_run_says_so(tracking: Tracking, model: str) -> None:
    """As which version, beside the unit that it was for."""
    run_id, _ = train(tracking, model)
    registry.mark_published(tracking, run_id, registry.register(tracking, model, run_id))
    tags = tracking.client.get_run(run_id).data.tags
    assert (f"{model}/1", str(unit(model))) == (tags["ml_assets/published"], tags["ml_assets/unit"])
