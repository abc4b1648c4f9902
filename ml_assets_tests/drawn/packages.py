"""A drawn package: files of declarations, and the rows that its sources find."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets_tests.drawn import values
from ml_assets_tests.drawn.columns import Column

DISTRIBUTION: Final = "drawnrows"
_NUMBERS = itertools.count()

_ARROW: Final[Mapping[str, pa.DataType]] = {
    "int": pa.int64(),
    "Int32": pa.int32(),
    "float": pa.float64(),
    "str": pa.string(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "Timestamp": pa.timestamp("us", tz="UTC"),
}


Cells = dict[str, list[Any]]
Types = dict[str, pa.DataType]


def _first(value: Any, is_of: Callable[[pa.DataType], bool], columns: Cells, types: Types) -> Cells:
    """The first cell of each column of some types replaced by *value*."""
    return {name: [value, *cells[1:]] if is_of(types[name]) else cells for name, cells in columns.items()}


HARMS: Final[Mapping[str, Callable[[str, Cells, Types], tuple[Cells, Types]]]] = {
    "null": lambda name, columns, types: ({**columns, name: [None, *columns[name][1:]]}, types),
    "twice": lambda _, columns, types: ({name: cells + cells[:1] for name, cells in columns.items()}, types),
    "none": lambda _, columns, types: ({name: [] for name in columns}, types),
    "lacks": lambda name, columns, types: ({other: columns[other] for other in columns if other != name}, types),
    "other type": lambda name, columns, types: (
        {**columns, name: [None if cell is None else str(cell) for cell in columns[name]]},
        {**types, name: pa.string()},
    ),
    "naive": lambda _, columns, types: (
        columns,
        {name: pa.timestamp("us") if pa.types.is_timestamp(kind) else kind for name, kind in types.items()},
    ),
    "not a number": lambda _, columns, types: (_first(float("nan"), pa.types.is_floating, columns, types), types),
    "infinite": lambda _, columns, types: (_first(float("inf"), pa.types.is_floating, columns, types), types),
    "last moment": lambda _, columns, types: (_first(values.LAST, pa.types.is_timestamp, columns, types), types),
}
"""What may be wrong with rows, and how they become so; given a column by chance."""


@dataclass(frozen=True)
class Rows:
    """How the rows of one source are drawn.

    Attributes:
        columns: Its columns; of role ``key`` all values differ, of role ``group`` there are few.
        count: How many rows.
        seed: Decides the rest.
        edges: Whether values at the edges of their types are among them.
        harm: What is wrong with them, if anything.
    """

    columns: tuple[Column, ...]
    count: int
    seed: int
    edges: bool
    harm: str = ""

    def table(self) -> pa.Table:
        """The rows."""
        draw = random.Random(self.seed)
        keys = [
            values.distinct(column.type, draw, self.count, edges=self.edges)
            for column in self.columns
            if column.role == "key"
        ]
        count = min([self.count, *map(len, keys)])
        columns: dict[str, list[Any]] = {}
        for column in self.columns:
            columns[column.name] = keys.pop(0)[:count] if column.role == "key" else self._cells(column, draw, count)
        types = {column.name: _ARROW[column.type] for column in self.columns}
        if self.harm and count:
            columns, types = HARMS[self.harm](draw.choice(list(columns)), columns, types)
        return pa.table({name: pa.array(cells, types[name]) for name, cells in columns.items()})

    def _cells(self, column: Column, draw: random.Random, count: int) -> list[Any]:
        def one() -> Any:
            return values.value(column.type, draw, edges=self.edges, keeps=column.keeps)

        few = [one() for _ in range(4)] if column.role == "group" else []
        cells = [draw.choice(few) if few else one() for _ in range(count)]
        if column.nullable:
            return [None if draw.random() < 0.2 else cell for cell in cells]
        return cells


@dataclass(frozen=True)
class Drawn:
    """A drawn package.

    Attributes:
        files: Text by path within the package.
        rows: How the rows of each source are drawn, by its name.
        odd: What was drawn that is wrong or odd.
    """

    files: Mapping[str, str]
    rows: Mapping[str, Rows]
    odd: tuple[str, ...] = ()
    name: str = field(default_factory=lambda: f"drawn{next(_NUMBERS)}", compare=False)

    @property
    def harm(self) -> tuple[str, ...]:
        """What is wrong with its rows."""
        return tuple(rows.harm for rows in self.rows.values() if rows.harm)

    def __repr__(self) -> str:
        """What one needs to see it again."""
        files = "".join(f"\n--- {path}\n{text}" for path, text in self.files.items())
        rows = "".join(f"\n--- rows of {name}\n{rows.table().to_pylist()[:40]}" for name, rows in self.rows.items())
        return f"{self.name}: odd: {'; '.join(self.odd) or 'nothing'}{files}{rows}\n"

    def write(self, folder: Path) -> None:
        """Write the package, and its rows where its sources find them; *folder* is on ``sys.path``."""
        for path, text in self.files.items():
            file = folder / self.name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        for name, rows in self.rows.items():
            pq.write_table(rows.table(), folder / DISTRIBUTION / f"{name}.parquet")

    def forget(self) -> None:
        """Let go of its modules."""
        for module in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            del sys.modules[module]


def write_distribution(folder: Path) -> None:
    """What makes ``importlib.metadata`` find the rows, once *folder* is on ``sys.path``."""
    info = folder / f"{DISTRIBUTION}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 1.0\n")
    (folder / DISTRIBUTION).mkdir()
