"""Whatever is typed: an exit status of 0, 1 or 2, and no traceback; nothing is made where one only looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.cli import main
from ml_assets.cli_show import Shown, print_progress
from ml_assets.lib.assets.resources import LakeFSResource
from ml_assets.lib.assets.runner import Result as Outcome
from ml_assets.lib.core.errors import LakeError
from ml_assets.settings import Settings

ENDLESS = {("dev",), ("demo",), ("lake", "serve"), ("lake", "guard"), ("spark", "jars"), ("lake", "stop")}
"""They serve until Ctrl-C, run everything, fetch, or end a lake that other tests use."""


def leaves(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The commands below *group*, with their words."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, *words, name)
        else:
            yield (*words, name), command


ODD = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "-1",
            "1e9",
            "nan",
            "inf",
            "9" * 40,
            "²",
            "x/0",
            "late_arrival/-1",
            "late_arrival/" + "9" * 30,
            "..",
            "/",
            ".",
            "/dev/null/x",
            "x" * 300,
            "a=b",
            "=",
            "a=",
            "author=x",
            "main@",
            "main~9999999999",
            "é/1",
            "--",
            "features/route@x",
            "features/rout",
            "sources",
            "sources/fligths",
            "splits/flights",
            "hash-s42",
            "v1",
        ]
    ),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12),
)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """The words of a command with drawn options and arguments."""
    words, command = draw(st.sampled_from([leaf for leaf in leaves(main) if leaf[0] not in ENDLESS]))
    line = list(words)
    for param in command.params:
        if isinstance(param, click.Option) and draw(st.booleans()):
            line.append(param.opts[0])
            if not param.is_flag:
                line.append(draw(ODD))
        elif isinstance(param, click.Argument):
            line += draw(st.lists(ODD, max_size=2))
    return line


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with no state folder in it or above, as far as the tests' own place allows."""
    monkeypatch.delenv("ML_ASSETS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoked(words: list[str]) -> Result:
    """What came of a command in this process; no traceback."""
    done = CliRunner().invoke(main, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in {0, 1, 2}, words
    assert "Traceback" not in done.output
    return done


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=lines())
def test_no_input_makes_a_traceback(line: list[str], fresh: Path) -> None:
    """Every command with drawn options and arguments, where the lake cannot be reached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_assets.definitions.machinery", unreachable, raising=False)
        patch.setattr("ml_assets.definitions.builder.__class__.uses_spark", False)
        patch.setattr("ml_assets.lib.assets.runner.Runner._run_group", lambda *_given: iter(()))
        patch.setattr("ml_assets.lib.declare.lock.write", lambda *_given, **_named: [])
        invoked(line)


def unreachable() -> Any:
    """In place of the machinery."""
    raise LakeError("the lake is away", remedy="wait")


@pytest.mark.parametrize(
    "words",
    [
        ["preview", "features/route", "--limit", "-1"],
        ["preview", "features/route", "--limit", "0"],
        ["branches", "--older-than", "-1"],
        ["branches", "--older-than", "9999999999"],
        ["maintain", "--keep-days", "9999999999"],
        ["lake", "serve", "--port", "70000"],
        ["lake", "guard", "--port", "0"],
        ["lake", "gc", "--grace-hours", "nan"],
        ["lake", "gc", "--grace-hours", "-1"],
        ["trace", "late_arrival/0"],
        ["trace", "late_arrival/²"],
        ["trace", f"late_arrival/{'9' * 30}"],
        ["materialize", "--tag", "colour=red"],
        ["materialize", "--param", "x"],
        ["table", "x", "--to", "file/x.parquet"],
        ["table", "x", "--to", "folder"],
        ["table", "x", "--to", f"{'x' * 300}.parquet"],
    ],
    ids=" ".join,
)
def test_what_is_out_of_range_is_a_usage_error(fresh: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """Told before anything is started (case F37)."""
    monkeypatch.setenv("ML_ASSETS_HOME", str(fresh / "state"))
    (fresh / "file").touch()
    (fresh / "folder").mkdir()
    done = invoked(words)
    assert done.exit_code == 2
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    "verb", ["trace", "frame", "table", "branches", "preview", "lake status", "lake stop", "lake gc"]
)
def test_nothing_is_made_only_to_look_into_it(fresh: Path, verb: str) -> None:
    """Called in another folder, a command that looks says so and makes no state folder."""
    rest = {"trace": ["m/1"], "frame": ["x", "--split", "s", "--features", "v"], "table": ["x"], "preview": ["x"]}
    done = invoked([*verb.split(), *rest.get(verb, [])])
    assert done.exit_code == 1
    assert "there is no state folder .ml_assets" in done.stderr
    assert not (fresh / ".ml_assets").exists()


def test_a_new_state_folder_is_said(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, when it is made; that of a folder above is used, and named."""
    assert Settings.load().state == fresh / ".ml_assets"
    assert f"a new state folder is made: {fresh / '.ml_assets'}" in caplog.text
    caplog.clear()
    assert Settings.load().state == fresh / ".ml_assets"
    assert caplog.text == ""
    (fresh / "below").mkdir()
    os.chdir(fresh / "below")
    assert Settings.load().state == fresh / ".ml_assets"
    assert f"the state folder is {fresh / '.ml_assets'}" in caplog.text


def test_a_state_folder_that_cannot_be_is_told(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in its place, and below a file."""
    (fresh / "file").touch()
    for home in ("file", "file/below"):
        monkeypatch.setenv("ML_ASSETS_HOME", str(fresh / home))
        done = invoked(["lake", "status"])
        assert done.exit_code == 1
        assert "cannot be made" in done.stderr


def test_an_endpoint_that_does_not_answer_is_not_noted(tmp_path: Path) -> None:
    """It is no new home before it answered."""
    away = LakeFSResource(
        home=str(tmp_path), endpoint="http://127.0.0.1:9", access_key_id="key", secret_access_key="no", timeout_s=31
    )
    with pytest.raises(LakeError):
        away.lake()
    assert not (tmp_path / "lake-endpoint").exists()


def test_failing_rows_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A few of each check, below the line about the refusal; markup in them is text; the traceback only on demand."""
    refused = Outcome(
        asset="sources/flights",
        partition=None,
        outcome="refused",
        note="contract: unique(key) (7) (branch run-1)",
        failing={"contract": [{"key": f"[red]k{number}", "n": None} for number in range(7)]},
        traceback="Traceback: all of it",
    )
    print_progress([refused])
    err = capsys.readouterr().err
    assert "contract: unique(key) (7) (branch run-1)" in err
    assert "Rows that fail contract (the first 5" in err
    assert "[red]k4" in err
    assert "k5" not in err
    assert "all of it" not in err
    with click.Context(main, obj=Shown(traceback=True)):
        print_progress([refused])
    assert "Traceback: all of it" in capsys.readouterr().err


def test_a_full_or_read_only_disk_is_one_line(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system's own words, the path, a remedy; the traceback on demand."""

    def full(*_given: object, **_named: object) -> None:
        raise OSError(28, os.strerror(28), "/somewhere")

    monkeypatch.setattr(Settings, "load", full)
    done = invoked(["lake", "status"])
    assert done.exit_code == 1
    assert "No space left on device: /somewhere\n  -> make room" in done.stderr
    shown = CliRunner().invoke(main, ["--traceback", "lake", "status"])
    assert "Traceback (most recent call last)" in shown.stderr
    assert shown.exit_code == 1
