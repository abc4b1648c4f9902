"""What is wrong in a contract is told where the column is written."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest

from ml_assets.lib.core.errors import ContractMismatch, DeclarationError, DuplicateName
from ml_assets.lib.declare import Contract
from ml_assets_tests.declare.packages import Package

HEAD = """
from datetime import UTC, date, datetime, timedelta, timezone
from math import inf, nan
import re
from typing import ClassVar
import numpy as np
import pandas as pd
from ml_assets.lib.declare import Contract, FeatureContract, Field, Int32, SourceContract, Timestamp

class Odd(SourceContract):
    \"""Odd.\"""
    id: str = Field(description="Key")
"""


def contract(package: Package, lines: str) -> type[Contract]:
    """The contract ``Odd`` with further *lines*."""
    package.write("contracts/odd.py", HEAD + "\n".join(f"    {line}" for line in lines.splitlines()) + "\n")
    package.forget()
    odd: type[Contract] = __import__(f"{package.name}.contracts.odd", fromlist=["Odd"]).Odd
    return odd


def refused(package: Package, lines: str, kind: type[DeclarationError] = DeclarationError) -> DeclarationError:
    """The error about ``Odd`` with *lines*; it begins with file and line of what is wrong."""
    with pytest.raises(DeclarationError) as caught:
        contract(package, lines)
    assert type(caught.value) is kind
    assert re.match(rf"{package.name}/contracts/odd.py:\d+: ", caught.value.problem)
    assert caught.value.remedy
    return caught.value


WRONG = {
    # values of another type
    "isin text": ('x: str = Field(description="x", isin="EUR")', "isin='EUR', which is no tuple of values"),
    "isin bytes": ('x: str = Field(description="x", isin=b"EUR")', "which is no tuple of values"),
    "isin dict": ('x: str = Field(description="x", isin={"EUR": 1})', "which is no tuple of values"),
    "isin number": ('x: int = Field(description="x", isin=3)', "isin=3, which is no tuple of values"),
    "isin empty": ('x: int = Field(description="x", isin=())', "an empty isin"),
    "isin None": ('x: str = Field(description="x", isin=("a", None))', "has None in isin"),
    "isin texts of numbers": ('x: int = Field(description="x", isin=("1",))', "in isin '1', which is no whole number"),
    "isin numbers of texts": ('x: str = Field(description="x", isin=(1, 2))', "in isin 1, which is no text"),
    "isin bools of numbers": ('x: Int32 = Field(description="x", isin=(True, False))', "True, which is no whole"),
    "isin numbers of bools": ('x: bool = Field(description="x", isin=(0, 1))', "0, which is neither True nor False"),
    "isin NaN": ('x: float = Field(description="x", isin=(1.0, nan))', "nan, which is not finite"),
    "isin naive": ('x: Timestamp = Field(description="x", isin=(datetime(2024, 1, 1),))', "has no time zone"),
    "bound of text": ('x: int = Field(description="x", ge="0")', "ge '0', which is no whole number"),
    "bound of float": ('x: int = Field(description="x", ge=0.5)', "ge 0.5, which is no whole number"),
    "bound of bool": ('x: int = Field(description="x", le=True)', "le True, which is no whole number"),
    "bound of a bool": ('x: bool = Field(description="x", ge=False)', "a boolean has no order"),
    "bound of number on text": ('x: str = Field(description="x", ge=1)', "ge 1, which is no text"),
    "bound of number on time": ('x: Timestamp = Field(description="x", ge=0)', "ge 0, which is no time"),
    "bound of date on time": ('x: Timestamp = Field(description="x", ge=date(2024, 1, 1))', "which is no time"),
    "bound of time on date": ('x: date = Field(description="x", ge=datetime(2024, 1, 1, tzinfo=UTC))', "is no date"),
    "bound naive": ('x: Timestamp = Field(description="x", lt=datetime(2024, 1, 1))', "which has no time zone"),
    "bound naive text": ('x: Timestamp = Field(description="x", lt="2024-01-01T00:00")', "which has no time zone"),
    "bound no time": ('x: Timestamp = Field(description="x", lt="soon")', "lt 'soon', which is no time"),
    "bound too fine": ('x: Timestamp = Field(description="x", lt=pd.Timestamp(1, tz="UTC"))', "finer than"),
    "bound before all time": (
        'x: Timestamp = Field(description="x", gt=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))))',
        "out of range",
    ),
    "bound NaN": ('x: float = Field(description="x", ge=nan)', "ge nan, which is not finite"),
    "bound infinite": ('x: float = Field(description="x", le=inf)', "le inf, which is not finite"),
    "bound no double": ('x: float = Field(description="x", le=2**53 + 1)', "which is no value of a double"),
    "bound beyond 32 bits": ('x: Int32 = Field(description="x", le=2**31)', "which does not fit into 32 bits"),
    "bound beyond 64 bits": ('x: int = Field(description="x", ge=-2**63 - 1)', "which does not fit into 64 bits"),
    "half a character": ('x: str = Field(description="x", ge="\\ud800")', "half of a surrogate pair"),
    "NUL": ('x: str = Field(description="x", isin=("\\0",))', "holds a NUL"),
    # what no value keeps
    "bounds crossed": ('x: int = Field(description="x", ge=2, le=1)', "ge=2 and le=1, which no value keeps"),
    "bounds touch": ('x: float = Field(description="x", ge=1, lt=1.0)', "which no value keeps"),
    "isin outside": ('x: int = Field(description="x", isin=(1, 5), lt=5)', "has 5 in isin, which lt=5 forbids"),
    # patterns
    "pattern broken": ('x: str = Field(description="x", str_matches="EUR(")', "does not compile: missing )"),
    "pattern of number": ('x: int = Field(description="x", str_matches="1")', "has str_matches and is int64"),
    "pattern compiled": ('x: str = Field(description="x", str_matches=re.compile("a", re.I))', "which is no text"),
    "pattern flags": ('x: str = Field(description="x", str_matches="(?i)eur")', "has flags"),
    "pattern inner flags": ('x: str = Field(description="x", str_matches="a(?i:eur)")', "has flags"),
    "pattern lookahead": ('x: str = Field(description="x", str_matches="(?!EUR)")', "a lookahead"),
    "pattern lookbehind": ('x: str = Field(description="x", str_matches="a(?<=a)")', "a lookahead or lookbehind"),
    "pattern reference": ('x: str = Field(description="x", str_matches=r"(a)\\1")', "a reference to a group"),
    "pattern condition": ('x: str = Field(description="x", str_matches=r"(a)?(?(1)b|c)")', "a reference to a group"),
    "pattern word boundary": ('x: str = Field(description="x", str_matches=r"a\\b")', r"has \\b or \\B"),
    "pattern possessive": ('x: str = Field(description="x", str_matches="a++")', "a possessive repetition"),
    "pattern atomic": ('x: str = Field(description="x", str_matches="(?>a)")', "an atomic group"),
    "pattern repeats": ('x: str = Field(description="x", str_matches="(a{100}){11}")', "repeats a part 1100 times"),
    "pattern set of sets": ('x: str = Field(description="x", str_matches="[a&&b]")', "does not compile"),
    "pattern half a character": ('x: str = Field(description="x", str_matches="\\ud800")', "half of a surrogate"),
    # columns
    "no type": ('x = Field(description="x")', "column 'x' of contract Odd has no type"),
    "no field": ("x: int", "column 'x' of contract Odd has no description"),
    "underscored without field": ("_x: int = 1", "column '_x' of contract Odd has no description"),
    "description": ("x: int = Field(description=5)", "description=5, which is no str"),
    "nullable": ('x: int = Field(description="x", nullable="no")', "nullable='no', which is no bool"),
    "Iceberg's own": ('_pos: int = Field(description="x")', "'_pos' of contract Odd has a name that is taken"),
    "Python's own": ('__x: int = Field(description="x")', "has a name that is taken by Python"),
    "what no class lets go of": (
        '__class__: int = Field(description="x")',
        "'__class__' of contract Odd has a name that is taken",
    ),
    "Config": ('Config: int = Field(description="x")', "'Config' of contract Odd has a name that is taken"),
    "optional": ('x: str | None = Field(description="x")', "has type str | None, which a table cannot have"),
    "unknown type": ('x: "Nowhere" = Field(description="x")', "types of contract Odd cannot be read: name 'Nowhere'"),
    # Config
    "unique text": ("class Config:\n    unique = 'id'", "unique = 'id', which is no tuple of column names"),
    "unique number": ("class Config:\n    unique = 3", "unique = 3, which is no tuple"),
    "unique columns": ("class Config:\n    unique = (id,)", "which is no tuple of column names"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str, package: Package) -> None:
    """Told where it is written, with what is wrong and a remedy."""
    lines, says = WRONG[name]
    assert re.search(says if "\\" in says else re.escape(says), refused(package, lines).problem)


def test_the_line_is_that_of_the_column(package: Package) -> None:
    """Not that of the class."""
    lines = 'x: int = Field(description="x")\ny: int = Field(description="y", ge="0")'
    assert "odd.py:14: column 'y'" in refused(package, lines).problem


def test_names_that_differ_in_case_only(package: Package) -> None:
    """No engine tells them apart; within a class, and in one that extends it."""
    error = refused(package, 'ID: str = Field(description="x")', DuplicateName)
    assert "columns 'id' and 'ID' of contract Odd differ in case only" in error.problem
    package.write("contracts/odd.py", HEAD + 'class More(Odd):\n    Id: str = Field(description="x")\n')
    with pytest.raises(DuplicateName, match=r"odd.py:13: columns 'id' and 'Id' of contract More differ in case only"):
        __import__(f"{package.name}.contracts.odd")


def test_keys_are_columns_that_are_never_null(package: Package) -> None:
    """Named once, there, and without nulls."""
    lines = 'x: str = Field(description="x", nullable=True)\nclass Config:\n    unique = '
    assert "names x, which may be null" in refused(package, f'{lines}("id", "x")', ContractMismatch).problem
    assert "names y, which it lacks" in refused(package, f'{lines}("id", "y")', ContractMismatch).problem
    assert "names id twice" in refused(package, f'{lines}("id", "id")', DuplicateName).problem


def test_lawful_names(package: Package) -> None:
    """A leading underscore, letters of any alphabet, names of what a contract has: all of them are columns."""
    names = ("_synced", "_airbyte_raw_id", "_columns", "_unique", "_id", "where", "audit", "columns", "unique", "of",
             "names", "may_be_empty", "größe_7d", "日", "split", "validate", "rows", "rule", "x_")  # fmt: skip
    lines = "".join(f'{name}: int = Field(description="x")\n' for name in names)
    made = contract(package, f'{lines}_note: ClassVar[str] = "no column"\nclass Config:\n    unique = ("_id",)')
    assert made.names() == ("id", *names)
    assert made.unique() == ("_id",)
    assert made.where.endswith("contracts/odd.py:10")
    assert list(made.to_pandera().to_schema().columns) == ["id", *names]
    assert [field.name for field in made.iceberg_schema().fields] == ["id", *names]


def test_what_two_contracts_bring_is_kept(package: Package) -> None:
    """A contract may extend several."""
    package.write(
        "contracts/odd.py",
        HEAD + 'class Late(SourceContract):\n    late: int = Field(description="x")\n'
        "    class Config:\n        unique = ('late',)\nclass Both(Odd, Late):\n    pass\n",
    )
    both = __import__(f"{package.name}.contracts.odd", fromlist=["Both"]).Both
    assert both.names() == ("late", "id")
    assert both.unique() == ("late",)


def test_values_are_taken_as_values_of_the_column() -> None:
    """Times in UTC, NumPy's numbers as Python's, sets in an order: one meaning has one spelling in what is judged."""
    from ml_assets.lib.declare.constraints import constraints

    moment = datetime(2024, 1, 1, tzinfo=UTC)
    for spelled in (
        datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-01T00:00:00Z", "2024-01-01T02:00+02:00",
        pd.Timestamp("2024-01-01", tz="UTC"),
    ):  # fmt: skip
        (found,) = constraints("timestamp('UTC', 6)", {"ge": spelled}).values()
        assert (found, type(found), found.tzinfo) == (moment, datetime, UTC)
    assert constraints("date", {"ge": "2024-01-31"}) == {"ge": date(2024, 1, 31)}
    assert constraints("string", {"isin": {"b", "a", "c"}}) == {"isin": ("a", "b", "c")}
    assert constraints("string", {"isin": ("b", "a")}) == {"isin": ("b", "a")}
    assert constraints("int32", {"isin": range(2), "ge": 0}) == {"isin": (0, 1), "ge": 0}
    assert constraints("float64", {"ge": 0, "le": math.pi}) == {"ge": 0, "le": math.pi}
