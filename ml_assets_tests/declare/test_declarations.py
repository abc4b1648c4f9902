"""What declarations say about themselves and each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import ibis
import pytest

import ml_assets.lib.declare as surface
from ml_assets.lib.core.errors import ConfigError, DeclarationError
from ml_assets.lib.core.names import Unit
from ml_assets.lib.declare import PackageFile, ViewRef
from ml_assets_tests.declare.packages import Package

ROOT = Path(surface.__file__).parents[3]


def test_a_declaration_is_called_like_its_function(package: Package) -> None:
    """It can be tried on any table, without Dagster and without a lake."""
    view = package.load().views["speed", 1]
    table = ibis.table({"car": "string", "ended": "timestamp", "minutes": "int32"}, name="mine")
    assert view(table).equals(view.function(table))
    assert view.description == "Longest trip."


def test_place(package: Package) -> None:
    """Where it is written does not depend on the machine."""
    loaded = package.load()
    assert loaded.sources["trips"].where == f"{package.name}/sources/trips.py:5"
    assert loaded.views["speed", 1].place == f"{package.name}/features/speed.py:8: features/speed@1"


def test_units(package: Package) -> None:
    """Each declaration is published as its unit."""
    loaded = package.load()
    assert loaded.unit(loaded.sources["trips"]) == Unit("sources", "trips")
    assert loaded.unit(loaded.splits["hash-s42"]).table == "splits.trips__hash_s42"
    assert loaded.unit(loaded.views["speed", 1]).table == "features.speed_v1"
    assert str(loaded.unit(loaded.models["late"], "hash-s42", "v1")) == "models/late@hash-s42__v1"
    assert loaded.units_of_feature_version("v1") == (Unit("features", "speed", "1"),)
    with pytest.raises(TypeError, match="frames/late needs a split version"):
        loaded.unit(loaded.frames["late"])


def test_contract_of_a_split(package: Package) -> None:
    """It follows from the source: the key with its type, and the three parts."""
    loaded = package.load()
    contract = loaded.contract(loaded.splits["hash-s42"])
    assert [(column.name, column.type, column.nullable) for column in contract.columns()] == [
        ("trip", "string", False),
        ("split", "string", False),
    ]
    assert contract.columns()[1].constraints == {"isin": ("train", "val", "test")}
    assert contract.unique() == ("trip",)


def add_cost(package: Package) -> None:
    """Add a view ``cost@1`` of two values; feature version v2 has all of it, v3 one of them."""
    package.add(
        "contracts/__init__.py",
        """
        class Cost(FeatureContract):
            \"""One row per car.\"""

            car: str = Field(description="The car")
            event_timestamp: Timestamp = Field(description="Departure (UTC)")
            price: int = Field(ge=0, description="Price")
            age: int = Field(description="Age")

            class Config:
                unique = ("car", "event_timestamp")
    """,
    )
    package.add(
        "features/speed.py",
        """
        import ibis

        @feature_view(version=1, keys=CAR, ttl=None, contract=contracts.Cost)
        def cost(trips):
            \"""What a car costs.\"""
            moments = trips.group_by("car", event_timestamp=trips.started)
            return moments.agg(price=trips.km.count(), age=trips.km.count())
    """,
    )
    package.edit("versions.py", '("speed@1",)}', '("speed@1",), "v2": ("cost@1", "speed@1"), "v3": ("cost@1[age]",)}')


def test_columns_of_a_frame(package: Package) -> None:
    """The spine's, the values in the order of the feature version, and split; a value may be missing in a frame."""
    add_cost(package)
    loaded = package.load()
    frame = loaded.frames["late"]
    spine = ["trip", "car", "event_timestamp", "label"]
    names = {v: [column.name for column in loaded.frame_columns(frame, v)] for v in loaded.feature_versions}
    assert names == {
        "v1": [*spine, "longest", "split"],
        "v2": [*spine, "price", "age", "longest", "split"],
        "v3": [*spine, "age", "split"],
    }
    price = next(column for column in loaded.frame_columns(frame, "v2") if column.name == "price")
    assert (price.nullable, price.constraints, price.description) == (True, {"ge": 0}, "Price")
    assert loaded.contract(frame, "v2").names() == tuple(names["v2"])
    assert loaded.contract(frame, "v2").unique() == ("trip",)
    assert loaded.view_values(loaded.feature_versions["v3"][0]) == ("age",)
    assert str(loaded.feature_versions["v3"][0]) == "cost@1[age]"
    assert len({loaded.rules_hash(frame, version) for version in names}) == 3


def test_definition(package: Package) -> None:
    """A view's definition carries its version, keys and ttl; a description is no part of any."""
    loaded = package.load()
    definition = loaded.definition(loaded.views["speed", 1])
    assert definition.identity.startswith("expr1:")
    assert (definition.version, definition.keys, definition.ttl) == (1, ("car",), timedelta(days=7))
    assert loaded.definition(loaded.models["late"]).identity.startswith("py1:")
    before = [loaded.definition(decl) for decl in loaded]
    package.edit("features/speed.py", '"""Longest trip."""', '"""The longest trip."""')
    again = package.load()
    assert [again.definition(decl) for decl in again] == before


def test_definition_of_a_model(package: Package) -> None:
    """Which columns are categories, and which is the label, belong to what a model computes; floors do not."""
    before = package.load().definition(package.load().models["late"])
    package.edit("models/late.py", "0.5", "0.6")
    assert package.load().definition(package.load().models["late"]) == before
    package.edit("models/late.py", '("car",)', "()")
    assert package.load().definition(package.load().models["late"]) != before


def test_wrapped_function(package: Package) -> None:
    """A function that another decorator wraps is told by its own parameters and place."""
    package.edit(
        "features/speed.py",
        "CAR =",
        """
from functools import wraps

def noisy(function):
    @wraps(function)
    def call(*args):
        return function(*args)
    return call

CAR =""",
    )
    package.edit("features/speed.py", "def speed", "@noisy\ndef speed")
    view = package.load().views["speed", 1]
    assert view.parameters == ("trips",)
    assert view.where.endswith("features/speed.py:17")


def test_rules_hash(package: Package) -> None:
    """It changes with a bound of the contract, a rule, a severity or a floor, and leaves the definition alone."""
    loaded = package.load()
    names = ["sources", "splits", "features", "frames", "models"]

    def hashes() -> dict[str, str]:
        again = package.load()
        return {d.stage: again.rules_hash(d, "v1" if d.stage == "frames" else None) for d in again}

    before = hashes()
    definitions = [loaded.definition(decl).identity for decl in loaded]
    package.edit("contracts/__init__.py", "longest: Int32 = Field(", "longest: Int32 = Field(ge=0, ")
    assert [stage for stage in names if hashes()[stage] != before[stage]] == ["features", "frames"]
    before = hashes()
    package.edit("splits/trips.py", 'complete(of="trips")', 'complete(of="trips", severity="warn")')
    assert [stage for stage in names if hashes()[stage] != before[stage]] == ["splits"]
    before = hashes()
    package.edit("models/late.py", "0.5", "0.6")
    assert [stage for stage in names if hashes()[stage] != before[stage]] == ["models"]
    assert [loaded.definition(decl).identity for decl in package.load()] == definitions


def test_lineage(package: Package) -> None:
    """Column lineage of a declaration names source and column."""
    loaded = package.load()
    lineage = loaded.lineage(loaded.views["speed", 1])
    assert lineage["longest"].value == ("trips.minutes",)
    assert lineage["longest"].rows == ("trips.car", "trips.ended")


@pytest.mark.parametrize("text", ["route@1", "route@12[a]", "route@1[a, b]", " route@1[ a,b ] "])
def test_view_reference(text: str) -> None:
    """A reference is read back as it is written."""
    reference = ViewRef.parse(text)
    assert ViewRef.parse(str(reference)) == reference
    assert reference.view == str(reference).partition("[")[0]


@pytest.mark.parametrize(
    "text", ["", "route", "route@", "route@0", "route@x", "route@1[]", "route@1[a,a]", "route@1[a", "r@1[a b]"]
)
def test_no_view_reference(text: str) -> None:
    """Whatever cannot be read is told with an example."""
    with pytest.raises(DeclarationError, match="write 'view@version'"):
        ViewRef.parse(text)


def test_file_of_a_package() -> None:
    """A data file is found without importing its package; what is missing is said."""
    assert PackageFile("pytest", "pytest/__init__.py").locate().is_file()
    with pytest.raises(ConfigError, match=r"no file nothing\.csv"):
        PackageFile("pytest", "nothing.csv").locate()
    with pytest.raises(ConfigError, match=r"comes with nowhere, which is not installed; .*ml-assets\[demo\]"):
        PackageFile("nowhere", "x.csv").locate()


def test_surface() -> None:
    """Every listed name is there, and the list is sorted."""
    assert sorted(surface.__all__) == surface.__all__
    assert all(hasattr(surface, name) for name in surface.__all__)


def test_import_is_light() -> None:
    """Importing the surface imports none of the heavy libraries; loading declarations adds Ibis at most."""
    code = (
        "import sys\n"
        "import ml_assets.lib.declare\n"
        "heavy = {'ibis', 'pandera', 'pandas', 'pyarrow', 'duckdb', 'dagster', 'pyiceberg', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_load_is_light(package: Package) -> None:
    """Checking every declaration needs Ibis and nothing heavier: a code location loads at every start."""
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(package.folder.parent)!r})\n"
        "from ml_assets.lib.declare import load\n"
        f"load({package.name!r})\n"
        "heavy = {'pandera', 'pandas', 'pyarrow', 'duckdb', 'dagster', 'pyiceberg', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", sorted(Path(surface.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_machinery_does_not_import_what_it_reads(path: Path) -> None:
    """Nothing in lib.declare imports defs or another part of the machinery than lib.core."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    own = {name for name in imported if name.startswith("ml_assets")}
    assert all(name.startswith(("ml_assets.lib.core", "ml_assets.lib.declare")) for name in own)
