"""The command line as people meet it: help for every command, and mistakes told in a line with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.lib.devlake import server
from ml_assets_tests.scenarios.user import ROOT, User


def commands(group: click.Group, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command below *group*."""
    for name, command in group.commands.items():
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Someone with an empty state folder, in which the lake is stopped at the end."""
    found = User(project=ROOT, home=tmp_path / "state", data=None)
    yield found
    if found.home.exists():
        server.stop(found.home)


@pytest.mark.parametrize("words", [(), *commands(main)], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    """With a sentence of what it does, and a description of every option; nothing is started for it."""
    done = CliRunner().invoke(main, [*words, "--help"])
    assert done.exit_code == 0
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option)), words


def test_the_version_is_told() -> None:
    """For bug reports."""
    assert "0.1" in CliRunner().invoke(main, ["--version"]).output


def test_a_lake_that_was_never_started(user: User) -> None:
    """`status` and `stop` start nothing."""
    assert "never started" in user.runs("lake", "status").out
    assert "not running" in user.runs("lake", "stop").out
    assert not (user.home / "lake").exists()


def test_the_lake_starts_at_the_first_use_and_stays(user: User) -> None:
    """The next command finds it; once stopped, its data stay and it takes the same place again."""
    assert "Branches: none" in user.runs("branches").out
    status = user.runs("lake", "status").out
    assert "repositories  ml-assets" in status
    pid = next(line.split()[1] for line in status.splitlines() if line.startswith("pid"))
    assert f"stopped process {pid}" in user.runs("lake", "stop").out
    assert "not running" in user.runs("lake", "status").out
    head = user.head
    assert str(server.status(user.home).url) in status
    user.runs("lake", "stop")
    assert user.head == head


MISTAKES = {
    "a guard needs a real lakeFS": ["lake", "guard"],
    "there is no asset or stage 'nonsense'": ["materialize", "nonsense"],
    "there is no split version 'x'": ["materialize", "--split", "x"],
    "there is no feature version 'x'": ["materialize", "--features", "x"],
    "a file is for one source": ["materialize", "sources", "--path", "x"],
    "models/late_arrival has no parameter 'depth'": ["materialize", "models", "--param", "depth=1"],
    "max_iter of models/late_arrival is 'many'": ["materialize", "models", "--param", "max_iter=many"],
    "a parameter is for models": ["materialize", "sources", "--param", "max_iter=1"],
    "there is no model version late_arrival/1": ["trace", "late_arrival/1"],
    "there is no frame 'nonsense'": ["frame", "nonsense", "--split", "hash-s42", "--features", "v1"],
    "needs sources/flights, which is not published": ["preview", "features/route"],
    "there is no split or feature view 'nonsense'": ["preview", "nonsense"],
    "there is no table 'sources/flights'": ["table", "sources/flights"],
    "nowhere": ["table", "sources/flights", "--ref", "nowhere"],
}


EACH = """
import json, sys
from click.testing import CliRunner
from ml_assets.cli import main
for words in json.load(sys.stdin):
    done = CliRunner().invoke(main, words)
    print(json.dumps([done.exit_code, done.stderr]))
"""
"""Runs many commands in one process, as starting one takes longer than being told of a mistake."""


@pytest.mark.slow
def test_mistakes_are_told_with_their_remedy(user: User) -> None:
    """One problem, one remedy, exit status 1, no traceback; nothing is published by any of them."""
    user.home.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", EACH],
        input=json.dumps(list(MISTAKES.values())),
        env=user.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for problem, (code, err) in zip(MISTAKES, answers, strict=True):
        assert (problem, code) == (problem, 1), err
        assert problem in err
        assert "\n  -> " in err
    assert user.published() == {}


@pytest.mark.parametrize("words", [["trace", "late_arrival"], ["materialize", "--tag", "author"], ["frame", "x"]])
def test_what_click_can_tell_is_a_usage_error(user: User, words: list[str]) -> None:
    """Exit status 2, with the usage."""
    assert "Usage:" in user.runs(*words, code=2).err
    assert not user.home.exists()


@pytest.mark.parametrize(
    ("settings", "problem", "remedy"),
    [
        ({"ML_ASSETS_HOEM": "x"}, "ML_ASSETS_HOEM is not a setting", "did you mean ML_ASSETS_HOME?"),
        ({"LAKECTL_SERVER_ENDPOINT_URL": "http://127.0.0.1:9"}, "without its keys", "LAKECTL_CREDENTIALS"),
        ({"ML_ASSETS_LAKE_BRANCH": "no good"}, "'no good' is not a branch name", "letters, digits"),
        ({"ML_ASSETS_MLFLOW_PORT": "many"}, "ML_ASSETS_MLFLOW_PORT", "see README"),
    ],
)
def test_a_wrong_setting_is_told(user: User, settings: dict[str, str], problem: str, remedy: str) -> None:
    """By its name, before anything is started."""
    err = user.having(**settings).runs("check", code=1).err
    assert problem in err
    assert remedy in err
    assert not user.home.exists()


def test_a_lake_that_does_not_answer_is_told(user: User) -> None:
    """Its address, and no secret."""
    away = user.having(
        LAKECTL_SERVER_ENDPOINT_URL="http://127.0.0.1:9",
        LAKECTL_CREDENTIALS_ACCESS_KEY_ID="key",
        LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY="not-for-display",
    )
    err = away.runs("branches", code=1).err
    assert "127.0.0.1:9" in err
    assert "not-for-display" not in err
