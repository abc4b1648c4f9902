"""No error names a remedy that does not exist: commands, options, settings, parameters and files are looked up."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

import ml_assets.lib.declare as surface
from ml_assets.cli import main
from ml_assets.settings import Settings, environment_name

ROOT: Final = Path(__file__).parents[2]
VERBS: Final = {"test", "lint"}
"""Verbs of deploy/run that are not commands of ml-assets."""

FOREIGN: Final = {"JAVA_HOME"}
"""Environment variables of other programs that a remedy may name."""

WRITTEN: Final = {"complete_lineage.json"}
"""Files that the product writes, and so are not in the repository."""


def _texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """Every text that *node* may be, with ``{}`` where a value is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _texts(part.value, constants)
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _texts(child, constants)


def _remedies(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of everything that *source* advises."""
    tree = ast.parse(source)
    constants = {
        target.id: statement.value.value
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        advice: list[ast.expr] = []
        if isinstance(node, ast.Call):
            advice += [word.value for word in node.keywords if word.arg == "remedy"]
            if isinstance(node.func, ast.Attribute) and node.func.attr in {
                "BadParameter",
                "ClickException",
                "UsageError",
            }:
                advice += node.args
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "remedy" for t in node.targets):
            advice.append(node.value)
        for expression in advice:
            yield from ((expression.lineno, text) for text in _texts(expression, constants))


def _all() -> dict[str, str]:
    """Each remedy of the product by where it is written."""
    found = {}
    for path in sorted((ROOT / "ml_assets").rglob("*.py")):
        for number, (line, text) in enumerate(_remedies(path.read_text(encoding="utf-8"))):
            found[f"{path.relative_to(ROOT)}:{line}:{number}"] = text
    return found


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")


COMMANDS: Final = dict(_commands(main))
OPTIONS: Final = {word for found in (main, *COMMANDS.values()) for given in found.params for word in given.opts}
SETTINGS: Final = {environment_name(field) for field in Settings.model_fields} | FOREIGN


def _parameters() -> set[str]:
    """Names of the parameters of everything that a declaration may call, and what Config may say."""
    named = {"unique"}
    for module in (surface, importlib.import_module("ml_assets.lib.declare.rules")):
        for thing in vars(module).values():
            if callable(thing) and getattr(thing, "__module__", "").startswith("ml_assets.lib.declare"):
                named |= set(inspect.signature(thing).parameters)
    return named


def unknown(text: str) -> list[str]:
    """What *text* names and is not there."""
    wrong = []
    for words in re.findall(r"(?:ml-assets|deploy/run) ([a-z]+(?: [a-z]+)?)", text):
        first, _, second = words.partition(" ")
        command = COMMANDS.get(first)
        inner = isinstance(command, click.Group) and second and words not in COMMANDS
        if (command is None and first not in VERBS) or inner:
            wrong.append(f"command {words}")
    wrong += [f"option {o}" for o in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text) if o not in OPTIONS]
    names = re.findall(r"\b(?:ML_ASSETS|LAKECTL|LAKEFSACTION|MLFLOW|DAGSTER|JAVA)_[A-Z_]+", text)
    wrong += [f"setting {name}" for name in names if name not in SETTINGS]
    parameters = re.findall(r"(?<![\w.{-])([a-z_]+) ?=(?!=) ?(?=[\[({'\"A-Z0-9….])", text)
    wrong += [f"parameter {name}" for name in parameters if name not in _parameters()]
    files = re.findall(r"(?<![\w/.])[\w/-]+\.(?:py|lock|toml|md|json)\b", text)
    wrong += [f"file {name}" for name in files if name not in WRITTEN and not list(ROOT.glob(f"**/{name}"))]
    return wrong


REMEDIES: Final = _all()


def test_there_are_remedies() -> None:
    """The walk finds what people are told."""
    assert len(REMEDIES) > 200


@pytest.mark.parametrize("where", REMEDIES)
def test_a_remedy_names_what_exists(where: str) -> None:
    """Whoever follows it finds the command, option, setting, parameter or file."""
    assert [] == unknown(REMEDIES[where])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("use `ml-assets materialise`", ["command materialise"]),
        ("use `deploy/run lake chekc`", ["command lake chekc"]),
        ("say --recompute-all", ["option --recompute-all"]),
        ("set ML_ASSETS_ENGIN", ["setting ML_ASSETS_ENGIN"]),
        ("declare it: @model(trust=('a',))", ["parameter trust"]),
        ("see nothing.toml", ["file nothing.toml"]),
        ("name it in trusted=('a.B',), as in `ml-assets materialize sources/x --path F`", []),
    ],
)
def test_the_look_up_finds_mistakes(text: str, told: list[str]) -> None:
    """A test that could not fail would say nothing."""
    assert unknown(text) == told


def test_remedies_are_found_in_source() -> None:
    """Also in what is put together: constants, alternatives and values that are put in."""
    source = "AN = 'isin=(0, 1)'\nE('p', remedy=f'say {x} or {AN}' if x else 'b' + AN)\nclick.BadParameter('c')"
    assert {text for _, text in _remedies(source)} == {"say {} or {}", "isin=(0, 1)", "b", "c"}
