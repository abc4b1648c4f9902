"""``reproduce.sh``: it proves, and it cannot be fooled into saying so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.lib.core.lineage import Lineage
from ml_assets.lib.tracking import reproduce
from ml_assets_tests.tracking.examples import EXAMPLE

DIGEST = EXAMPLE.frame_digest
Outcome = subprocess.CompletedProcess[str]


@pytest.fixture
def code(tmp_path: Path) -> Callable[[str], Lineage]:
    """A repository whose ``deploy/run`` is the given shell text, and a lineage that names it and its commit."""

    def make(body: str) -> Lineage:
        remote = tmp_path / "a remote's $(place)"
        (remote / "deploy").mkdir(parents=True)
        run = remote / "deploy" / "run"
        run.write_text(f"#!/bin/sh\n{body}\n")
        run.chmod(0o755)
        git = ["git", "-C", str(remote), "-c", "user.name=x", "-c", "user.email=x@example.com"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "recorded"]):
            subprocess.run([*git, *words], check=True)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        run.write_text("#!/bin/sh\necho later\n")
        subprocess.run([*git, "commit", "-q", "-a", "-m", "later"], check=True)
        return replace(EXAMPLE, git_remote=str(remote), git_commit=commit)

    return make


def reproduced(lineage: Lineage, folder: Path, *arguments: str, **environment: str) -> Outcome:
    """The script as a person runs it, from the artifact, in an empty folder."""
    script, work = folder / "reproduce.sh", folder / "work"
    script.write_text(reproduce.script(lineage, "late_arrival"))
    work.mkdir(exist_ok=True)
    done = subprocess.run(
        ["sh", str(script), *arguments],
        check=False,
        cwd=work,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(work), **environment},
        capture_output=True,
        text=True,
    )
    assert list(work.iterdir()) == [], "something was left behind"
    return done


def test_equal_digests_are_success(code: Callable[[str], Lineage], tmp_path: Path) -> None:
    """The recorded code is checked out and asked for the recorded frame at the recorded commit of the recorded lake."""
    lineage = code(f'echo "$@ of $ML_ASSETS_LAKE_REPOSITORY"; echo "digest {DIGEST}"')
    done = reproduced(lineage, tmp_path)
    asked = f"ml-assets frame late_arrival --split hash-s42 --features v1 --commit {EXAMPLE.lakefs_commit} of ml-assets"
    assert (0, asked) == (done.returncode, done.stdout.splitlines()[0]), done.stderr
    assert done.stdout.endswith(f"reproduce: equal, {DIGEST}\n")


@pytest.mark.parametrize(
    "body",
    [
        "echo digest tbl1:" + "0" * 64,
        f"echo recorded {DIGEST}; echo digest tbl1:" + "0" * 64,
        f"echo digest {DIGEST}; echo digest tbl1:" + "0" * 64,
        "echo nothing",
        f"echo digest {DIGEST}; exit 3",
        f"echo digest {DIGEST}f",
    ],
    ids=["other", "recorded is not rebuilt", "two", "none", "failed", "longer"],
)
def test_anything_else_is_failure(code: Callable[[str], Lineage], tmp_path: Path, body: str) -> None:
    """Another digest, none, two, or a command that fails: never success."""
    done = reproduced(code(body), tmp_path)
    assert done.returncode != 0
    assert "equal," not in done.stdout


def test_the_code_may_be_given(code: Callable[[str], Lineage], tmp_path: Path) -> None:
    """Where the remote cannot be reached, a clone will do."""
    lineage = code(f"echo digest {DIGEST}")
    assert lineage.git_remote is not None
    clone = shutil.move(lineage.git_remote, tmp_path / "clone")
    assert reproduced(lineage, tmp_path, str(clone)).returncode == 0


@pytest.mark.parametrize("unknown", ["git_commit", "git_remote"])
def test_unknown_code_is_said(tmp_path: Path, unknown: str) -> None:
    """Without a commit or a place to get it from there is no proof; the command to run by hand is printed."""
    lineage = replace(EXAMPLE, git_commit=None) if unknown == "git_commit" else replace(EXAMPLE, git_remote=None)
    done = reproduced(lineage, tmp_path)
    assert done.returncode == 2
    assert reproduce.command(lineage, "late_arrival") in done.stderr


def test_changed_code_is_said(code: Callable[[str], Lineage], tmp_path: Path) -> None:
    """The commit may not hold the code that ran: a warning, the digest decides."""
    done = reproduced(replace(code(f"echo digest {DIGEST}"), dirty=True), tmp_path)
    assert (done.returncode, "uncommitted changes" in done.stderr) == (0, True)


def test_the_state_folder_may_be_given(code: Callable[[str], Lineage], tmp_path: Path) -> None:
    """Given, it is used and stays; unset, it is a new one inside the temporary folder."""
    lineage = code(f'echo "digest {DIGEST}"; echo "in $ML_ASSETS_HOME"')
    home = str(tmp_path / "home")
    assert f"in {home}\n" in reproduced(lineage, tmp_path, ML_ASSETS_HOME=home).stdout
    assert f"in {tmp_path / 'work'}" in reproduced(lineage, tmp_path).stdout
