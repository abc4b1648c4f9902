"""From a model version alone, on another machine that shares only lake and MLflow: the same rows, proved by digest."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ml_assets_tests.scenarios.conftest import Demo
from ml_assets_tests.scenarios.user import User, commit_all, edit, git

MODEL = "late_arrival/9"

ZLIB = (b"x\x01", b"x\x9c", b"x\xda")
"""What compressed data begin with."""

STAND_IN = """\
#!/bin/sh
# Stands in for a Python that makes environments: in those it makes everything is installed, and pip has nothing to do.
case "$1 $2" in
    "-m venv")
        for folder; do :; done
        mkdir -p "$folder/bin"
        cp "$0" "$folder/bin/python"
        command=$folder/bin/ml-assets
        printf '#!/bin/sh\\nPYTHONPATH="%s" exec "INTERPRETER" -m ml_assets.cli "$@"\\n' "${folder%/*}" >"$command"
        chmod +x "$command"
        ;;
    "-m pip") ;;
    *) exec "INTERPRETER" "$@" ;;
esac
"""


@pytest.fixture
def other(demo: Demo, tmp_path: Path) -> User:
    """Someone with a clone and an empty state folder, told where lake and MLflow of the demo are."""
    settings = demo.user.lake_variables
    (tmp_path / "elsewhere").mkdir()
    return User(project=demo.user.project, home=tmp_path / "elsewhere" / "state", data=None, settings=settings)


def test_a_model_leads_back_to_its_rows(other: User, tmp_path: Path) -> None:
    """`trace` says everything, also as JSON; the frame at its data commit has the recorded digest, row by row."""
    found = json.loads(other.runs("trace", MODEL, "--json").out)
    facts = found["lineage"]
    told = other.runs("trace", MODEL).out
    assert all(facts[key] in told for key in ("data/lakefs_commit", "data/frame_digest", "code/git_commit"))
    assert found["lakefs_tag"] in told

    versions = ("--split", facts["data/split_version"], "--features", facts["features/version"])
    rows = tmp_path / "rows.parquet"
    done = other.runs("frame", "late_arrival", *versions, "--commit", facts["data/lakefs_commit"], "--to", str(rows))

    assert f"digest  {facts['data/frame_digest']}\n" in done.out
    splits = pq.read_table(rows, columns=["split"])["split"].to_pylist()
    assert {part: splits.count(part) for part in set(splits)} == {
        part: found["metrics"][f"data/{part}_samples"] for part in ("train", "val", "test")
    }
    assert "equal to the published digest" in other.runs("frame", "late_arrival", *versions).out
    command = found["reproduce"].split()
    assert command[0] == "ml-assets"
    assert f"digest  {facts['data/frame_digest']}\n" in other.runs(*command[1:]).out


@pytest.fixture
def script(demo: Demo, tmp_path: Path) -> Path:
    """``reproduce.sh`` as it is logged with the model."""
    version = next(v for v in demo.versions if f"{v.name}/{v.number}" == MODEL)
    found = demo.user.tracking.client.download_artifacts(version.run_id, "lineage/reproduce.sh", str(tmp_path))
    return Path(found)


def reproduce(user: User, script: Path, code: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with the code of *code*; `deploy/run` is the real one, installing is left out."""
    python = tmp_path / "python3"
    python.write_text(STAND_IN.replace("INTERPRETER", sys.executable))
    python.chmod(0o755)
    environment = {name: value for name, value in user.environment.items() if name != "PYTHONPATH"}
    return subprocess.run(
        ["/bin/sh", str(script), str(code)],
        cwd=user.home.parent,
        env=environment | {"PYTHON": str(python), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_logged_script_proves_the_frame(other: User, script: Path, tmp_path: Path) -> None:
    """It takes the code as it was, though that has moved on since, and ends well only if the digests are equal."""
    code = tmp_path / "code"
    git(other.project, "clone", "--quiet", str(other.project), str(code))
    edit(code / "ml_assets/defs/frames/late_arrival.py", "HOURS_AHEAD = 2", "HOURS_AHEAD = 3")
    commit_all(code, "Ask earlier")

    done = reproduce(other, script, code, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "reproduce: equal, tbl1:" in done.stdout
    assert not list(tmp_path.glob("tmp.*"))


def test_the_logged_script_fails_for_other_rows(other: User, script: Path, tmp_path: Path) -> None:
    """A digest that is not that of the rows is told, and the exit status says so too."""
    lines = script.read_text().splitlines(keepends=True)
    wrong = [f"digest=tbl1:{64 * '0'}\n" if line.startswith("digest=") else line for line in lines]
    assert wrong != lines
    script.write_text("".join(wrong))
    done = reproduce(other, script, other.project, tmp_path)
    assert done.returncode == 1
    assert "NOT EQUAL" in done.stderr


def test_the_demo_finds_everything_done(other: User, demo: Demo) -> None:
    """Nothing is computed again here; this Dagster instance learns what stands published."""
    other = replace(other, data=demo.user.data)
    versions = len(demo.user.versions)
    done = other.runs("demo")
    assert set(done.results().values()) == {"unchanged"}
    assert demo.user.head == demo.head
    assert len(demo.user.versions) == versions
    with other.instance as instance:
        assert len(instance.all_asset_keys()) == 15
    assert_no_secret(other.home, other.settings["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"])


def test_no_secret_is_kept_anywhere(demo: Demo) -> None:
    """Lake objects, MLflow, Dagster's files and the logs do not hold the lake's secret; its own file alone does."""
    secret = demo.user.lake_variables["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"]
    assert secret in (demo.user.home / "lake-credentials.json").read_text()
    assert_no_secret(demo.user.home, secret)
    assert secret not in demo.done.out + demo.done.err


def assert_no_secret(home: Path, secret: str) -> None:
    """Assert that no file below *home* holds *secret*, but the one that is for it."""
    searched = 0
    for path in home.rglob("*"):
        if path.is_file() and path.name != "lake-credentials.json":
            for text in contents(path):
                searched += 1
                assert secret.encode() not in text, path
    assert searched > 50


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what a SQLite file holds compressed, as Dagster's snapshots of jobs and their config."""
    data = path.read_bytes()
    yield data
    if not data.startswith(b"SQLite format 3"):
        return
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    if isinstance(cell, bytes) and cell[:2] in ZLIB:
                        with suppress(zlib.error):
                            yield zlib.decompress(cell)


def test_what_is_missing_is_told(other: User) -> None:
    """Versions and models that are not there, and an MLflow that does not answer, are one line each."""
    assert "late_arrival/" in other.runs("trace", "late_arrival/99", code=1).err
    assert "late_arrival/" in other.runs("trace", "nothing/1", code=1).err
    away = other.having(MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert "MLFLOW_TRACKING_URI" in away.runs("trace", MODEL, code=1).err


def test_a_missing_cache_is_made_again(apart: User) -> None:
    """The rows of frames may be deleted at any time: a model learns from rows that are built again and compared."""
    shutil.rmtree(apart.home / "rows")
    words = ("models/late_arrival", "--split", "group-tail", "--features", "v2", "--recompute")
    assert apart.runs("materialize", *words).results() == {("models/late_arrival", "v2|group-tail"): "confirmed"}
    assert list((apart.home / "rows").iterdir())
