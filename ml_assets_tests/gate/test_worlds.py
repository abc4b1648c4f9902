"""What the falsified worlds of the leakage check are made of, at the ends of the calendar."""

from __future__ import annotations

from datetime import date

import ibis
import pytest

from ml_assets.lib.gate.units.worlds import Falsifier
from ml_assets_tests.gate.world import declarations


@pytest.mark.parametrize(
    ("least", "greatest", "has_room"),
    [
        (date(2023, 1, 1), date(2023, 12, 31), True),
        (date(1, 1, 1), date(4000, 1, 1), True),
        (date(1, 1, 1), date(9999, 12, 31), False),
        (date(9999, 12, 31), date(9999, 12, 31), False),
        (date(1582, 10, 10), date(6000, 1, 1), False),
    ],
)
def test_other_keys_that_are_dates(least: date, greatest: date, has_room: bool) -> None:
    """There are others as long as there is room before the year 9999; asking never fails."""
    table = ibis.table({"day": "date"}, name="days")
    falsifier = Falsifier(source=declarations().sources["trips"], table=table, extremes={"day": (least, greatest)})
    assert (falsifier._other_key(table, "day") is not None) == has_room
