"""From a model version back to everything it rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.errors import TrackingError
from ml_assets.lib.core.lineage import LAKEFS_TAG
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Publication
from ml_assets.lib.tracking import registry, reproduce, runs, trace
from ml_assets.lib.tracking.models import FILE
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.tracking.examples import EXAMPLE, publication, train, unit


def test_a_version_tells_what_it_was_made_from(tracking: Tracking, model: str) -> None:
    """Lineage, publications, run and tag: read from MLflow alone."""
    run_id, _ = train(tracking, model)
    version = registry.register(tracking, model, run_id)
    registry.tag_version(tracking, version, {LAKEFS_TAG: "a-tag"})
    found = trace.read(tracking, model, version.number)
    assert (model, 1, run_id, "FINISHED", "a-tag") == (
        found.model,
        found.version,
        found.run_id,
        found.status,
        found.lakefs_tag,
    )
    assert found.lineage == EXAMPLE
    assert sorted(found.publications) == ["frames/late_arrival@hash-s42__v1", "sources/flights"]
    source = publication(Unit("sources", "flights"))
    assert source == Publication.from_bytes(json.dumps(found.publications["sources/flights"]).encode())
    assert found.tags["ml_assets/lakefs_branch"] == "run-0f3c"


def test_a_trace_is_json_and_says_how_to_reproduce(tracking: Tracking, model: str) -> None:
    """Nothing in it needs Python to be read."""
    version = registry.register(tracking, model, train(tracking, model)[0])
    found = json.loads(json.dumps(trace.read(tracking, model, version.number).as_json()))
    command = f"ml-assets frame late_arrival --split hash-s42 --features v1 --commit {EXAMPLE.lakefs_commit}"
    assert command == found["reproduce"]
    assert EXAMPLE.as_params() == found["lineage"]
    assert EXAMPLE.metrics() == found["metrics"]
    assert found["lakefs_tag"] is None


def test_a_trace_can_be_read_by_people(embedded: Tracking, model: str) -> None:
    """Every hash that a person may want to compare is in it, and what the checks said."""
    version = registry.register(embedded, model, train(embedded, model)[0])
    text = "\n".join(trace.read(embedded, model, version.number).lines())
    route = EXAMPLE.views["route"]
    wanted = [f"{model}/1", EXAMPLE.lakefs_commit, EXAMPLE.frame_digest, EXAMPLE.split_digest, route.definition]
    wanted += [EXAMPLE.git_commit or "", "train 7, val 2, test 1", "roc_auc 0.7500", "learning_rate=0.1", "seed 42"]
    wanted += ["checked   sources/flights", f"reproduce {reproduce.command(EXAMPLE, 'late_arrival')}"]
    assert [word for word in wanted if word not in text] == []


def test_an_unknown_version_is_an_error(tracking: Tracking, model: str) -> None:
    """The error names what was asked for."""
    with pytest.raises(TrackingError, match=f"{model}/7"):
        trace.read(tracking, model, 7)


def test_a_version_that_we_did_not_make_is_an_error(tracking: Tracking, model: str) -> None:
    """Registered by hand, without lineage: said so, not half traced."""
    with runs.begin(tracking, model, unit(model), owner={}, tags={}) as run:
        run.log_metrics({"loss": 1.0})
    tracking.client.create_registered_model(model)
    place = tracking.client.get_run(run.id).info.artifact_uri or ""
    tracking.client.create_model_version(model, place, run_id=run.id)
    with pytest.raises(TrackingError):
        trace.read(tracking, model, 1)


def test_a_later_format_is_refused(embedded: Tracking, model: str) -> None:
    """What this version cannot read it does not guess."""
    run_id, _ = train(embedded, model)
    later = json.loads(trace.complete_lineage([]))
    runs.Run(embedded, run_id, "").log_files({trace.PATH: json.dumps({**later, "format": 2}).encode()})
    version = registry.register(embedded, model, run_id)
    with pytest.raises(TrackingError, match="use a newer ml_assets"):
        trace.read(embedded, model, version.number)


def test_a_model_without_a_frame_cannot_say_how_to_reproduce(embedded: Tracking, model: str) -> None:
    """Rather than a command that cannot work."""
    version = registry.register(embedded, model, train(embedded, model)[0])
    found = replace(trace.read(embedded, model, version.number), publications={})
    with pytest.raises(TrackingError, match="rests on no frame"):
        _ = found.reproduce


def test_a_trace_tells_a_changed_file(embedded: Tracking, model: str) -> None:
    """The file is compared with its recorded hash, and nothing in it is read."""
    run_id, logged = train(embedded, model)
    version = registry.register(embedded, model, run_id)
    found = trace.read(embedded, model, version.number)
    assert (found.file, found.file_problem) == (logged.sha256, "")
    assert f"file      SHA-256 {logged.sha256}, as recorded" in list(found.lines())
    folder = Path(embedded.client.get_logged_model(logged.id).artifact_location.removeprefix("file://"))
    (folder / FILE).write_bytes(b"another file")
    changed = trace.read(embedded, model, version.number)
    assert "somebody changed it" in changed.file_problem
    assert changed.file_problem in "\n".join(changed.lines())
    assert changed.as_json()["file"] == {"sha256": logged.sha256, "problem": changed.file_problem}


def test_a_trace_tells_what_was_left_out_and_trusted(embedded: Tracking, model: str) -> None:
    """Rows without a label, metrics that labels of one class do not define, and the types that were declared."""
    lineage = replace(
        EXAMPLE,
        unlabelled={"train": 0, "val": 1, "test": 0},
        trusted=("a.B", "c.D"),
        scores={"test": {"roc_auc": 0.75}, "val": {"accuracy": 1.0}},
    )
    version = registry.register(embedded, model, train(embedded, model, lineage=lineage)[0])
    found = trace.read(embedded, model, version.number)
    assert found.lineage == lineage
    text = "\n".join(found.lines())
    assert "without label, and left out of training and scores: train 0, val 1, test 0" in text
    assert "trusted   a.B, c.D" in text
    assert "val   accuracy 1.0000  roc_auc undefined (labels of one class)" in text
