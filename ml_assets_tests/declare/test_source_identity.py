"""``py1`` changes with the code that runs, and with nothing else."""

from __future__ import annotations

import importlib

import pytest

from ml_assets.lib.core.errors import NotIdentifiable
from ml_assets.lib.declare.source_identity import py1
from ml_assets_tests.declare.packages import Package

SOURCE = """
    \"""A source.\"""
    from __future__ import annotations

    import json
    from . import helpers
    from .parts.reading import read
    from ..contracts import Trips
    from ml_assets.lib.declare import PackageFile, source

    FACTOR = 2
    UNUSED = 3
    NAMES = ["a"]
    NAMES.append("b")

    def double(x: int) -> int:
        \"""Twice.\"""
        return x * FACTOR

    def unused(x):
        return x

    @source(files={"trips": PackageFile("x", "trips.csv")}, contract=Trips, event_time="started")
    def trips(trips: str) -> object:
        \"""Trips.\"""
        return double(read(trips)), Trips, NAMES, helpers.CONSTANT, json.dumps(1)
"""


@pytest.fixture
def code(package: Package) -> Package:
    """A package whose source uses helpers of its own module and of two others."""
    package.write("sources/trips.py", SOURCE)
    package.write("sources/helpers.py", "CONSTANT = 1\n")
    package.write("sources/parts/__init__.py", "")
    package.write("sources/parts/reading.py", "from ... import shared\n\ndef read(x):\n    return shared.clean(x)\n")
    package.write("shared.py", "def clean(x):\n    return x\n")
    return package


def identity(package: Package) -> str:
    """The identity of the source, its modules read anew."""
    package.forget()
    importlib.invalidate_caches()
    module = importlib.import_module(f"{package.name}.sources.trips")
    return py1(module.trips.function, package.name)


SAME = {
    "comment": ("sources/trips.py", "return double", "# why\n    return double"),
    "docstring": ("sources/trips.py", '"""Trips."""', '"""All trips."""'),
    "docstring of a helper": ("sources/trips.py", '"""Twice."""', '"""Two times."""'),
    "layout": ("sources/trips.py", "return x * FACTOR", "return (\n        x\n        * FACTOR\n    )"),
    "annotation": ("sources/trips.py", "x: int) -> int", "x: float) -> float"),
    "unused constant": ("sources/trips.py", "UNUSED = 3", "UNUSED = 4"),
    "unused function": ("sources/trips.py", "    return x\n", "    return x + 1\n"),
    "lines before": ("sources/trips.py", "FACTOR = 2", "\n\n\nFACTOR = 2"),
    "declaration": ("sources/trips.py", 'event_time="started"', "event_time=None"),
    "comment in another module": ("shared.py", "    return x", "    # as it is\n    return x"),
    "contract": ("contracts/__init__.py", "ge=0", "ge=1"),
    "module that is not imported": ("models/late.py", "depth", "height"),
}
OTHER = {
    "body": ("sources/trips.py", "json.dumps(1)", "json.dumps(2)"),
    "constant": ("sources/trips.py", "FACTOR = 2", "FACTOR = 3"),
    "type of a constant": ("sources/trips.py", "FACTOR = 2", "FACTOR = 2.0"),
    "helper": ("sources/trips.py", "x * FACTOR", "x + FACTOR"),
    "statement about a constant": ("sources/trips.py", '.append("b")', '.append("c")'),
    "import": ("sources/trips.py", "import json", "import html as json"),
    "module": ("sources/helpers.py", "CONSTANT = 1", "CONSTANT = 2"),
    "module of a module": ("shared.py", "return x", "return x.strip()"),
}


@pytest.mark.parametrize("name", SAME)
def test_same_code(name: str, code: Package) -> None:
    """What does not change the computation does not change the identity."""
    before = identity(code)
    code.edit(*SAME[name])
    assert identity(code) == before


@pytest.mark.parametrize("name", OTHER)
def test_other_code(name: str, code: Package) -> None:
    """Whatever the function runs is covered, wherever it is written."""
    before = identity(code)
    code.edit(*OTHER[name])
    assert identity(code) != before


def test_columns_asked_for(code: Package) -> None:
    """Names and types that the function must give belong to what it computes."""
    module = importlib.import_module(f"{code.name}.sources.trips")
    function = module.trips.function
    assert py1(function, code.name, columns=[("a", "int64")]) != py1(function, code.name, columns=[("a", "int32")])


def test_definition_of_a_source(package: Package) -> None:
    """A tightened check leaves the definition of a source as it is; another type does not."""
    before = package.load().definition(package.load().sources["trips"])
    package.edit("contracts/__init__.py", "ge=0", "ge=1")
    assert package.load().definition(package.load().sources["trips"]) == before
    package.edit("contracts/__init__.py", "km: float", "km: int")
    assert package.load().definition(package.load().sources["trips"]) != before


def test_function_in_a_function() -> None:
    """A function that is made elsewhere has no source of its own."""

    def inner() -> None:
        """Made here."""

    with pytest.raises(NotIdentifiable, match=r"test_source_identity.*inner is not written at the top"):
        py1(inner, "ml_assets_tests")
