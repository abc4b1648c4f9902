"""README tells the truth: its commands, settings and folders exist, and nothing is missing from its tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ml_assets.cli import main
from ml_assets.lib.core.names import STAGES
from ml_assets.settings import Settings, environment_name

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OWN_VERBS = {"test", "lint"}
"""Verbs of deploy/run that are not commands of ml-assets."""


def _words(pattern: str) -> list[str]:
    return sorted(set(re.findall(pattern, README, re.MULTILINE)))


@pytest.mark.parametrize("verb", _words(r"deploy/run ([a-z]+)"))
def test_every_verb_exists(verb: str) -> None:
    """What README tells people to type is a command."""
    assert verb in OWN_VERBS | main.commands.keys()


def test_every_command_is_told() -> None:
    """No command is hidden."""
    assert [] == [name for name in main.commands if not re.search(rf"(deploy/run|ml-assets) {name}\b", README)]


def test_every_setting_is_told() -> None:
    """The table of settings has every environment variable that is read, and no other."""
    read = {environment_name(field) for field in Settings.model_fields}
    table = README[README.index("## Settings") : README.index("## Decisions")]
    assert read == set(re.findall(r"`((?:ML_ASSETS|LAKECTL|LAKEFSACTION|MLFLOW|DAGSTER)_[A-Z_]+)`", table))


@pytest.mark.parametrize("folder", _words(r"^        ([a-z_]+)/ "))
def test_every_package_exists(folder: str) -> None:
    """The tree names folders that are there."""
    assert (ROOT / "ml_assets" / "lib" / folder / "__init__.py").is_file()


def test_every_package_is_told() -> None:
    """The tree leaves no package of the machinery out."""
    there = {path.parent.name for path in (ROOT / "ml_assets" / "lib").glob("*/__init__.py")}
    assert there == set(_words(r"^        ([a-z_]+)/ "))


def test_the_way_of_the_data_names_the_stages() -> None:
    """The diagram has the stages, in the order in which data flows."""
    diagram = README[README.index("## The way of the data") :]
    declared = [stage for stage in STAGES if (ROOT / "ml_assets" / "defs" / stage).is_dir()]
    places = [diagram.index(stage) for stage in declared]
    assert places == sorted(places)


def test_nothing_is_left_to_fill_in() -> None:
    """No mark of a draft is left."""
    assert not re.search(r"@@|TODO|FIXME|XXX", README)
