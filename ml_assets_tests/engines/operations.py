"""The table of operations: what each means, by Python's own answer, over values at the edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ml_assets_tests.engines.operation_rows import Case
from ml_assets_tests.engines.operations_on_numbers import FLAG, REAL, WHOLE
from ml_assets_tests.engines.operations_on_text import TEXT
from ml_assets_tests.engines.operations_on_time import TIME
from ml_assets_tests.engines.relations_pack import RELATIONS
from ml_assets_tests.engines.totals_pack import TOTALS, WINDOWS, Relation

CASES: Final[Mapping[str, Case]] = {**WHOLE, **REAL, **TEXT, **FLAG, **TIME}
"""A value of each row."""

OF_TABLES: Final[Mapping[str, Relation]] = {**TOTALS, **WINDOWS, **RELATIONS}
"""A table made from a table."""
