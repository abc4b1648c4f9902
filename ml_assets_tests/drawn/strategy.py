"""The strategy: whole packages of declarations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from ml_assets_tests.drawn.choices import Chooser, Draw
from ml_assets_tests.drawn.columns import Names, contract_text
from ml_assets_tests.drawn.frames import Frame, frame, learnable, model, versions
from ml_assets_tests.drawn.packages import Drawn
from ml_assets_tests.drawn.sources import Source, source
from ml_assets_tests.drawn.splits import splits
from ml_assets_tests.drawn.views import MOMENT, View, view

_ODDS: Final = (0, 0, 10, 30)
"""In how many of a thousand choices something wrong is taken: half of the packages are meant to be lawful."""

_CONTRACTS: Final = '''"""Drawn."""

from datetime import UTC, date, datetime

from ml_assets.lib.declare import FeatureContract, Field, FrameContract, Int32, SourceContract, Timestamp
'''


@st.composite
def packages(draw: Draw) -> Drawn:
    """A package of one or two sources, splits and views, a frame and a model."""
    choose = Chooser(draw, draw(st.sampled_from(_ODDS)))
    names = Names(choose)
    events = source(choose, names, "events")
    sources = [events, *([source(choose, names, "facts", events.groups)] if choose.chance(1, 3) else [])]
    parts = ("hash-a", *(["B2"] if choose.chance(1, 4) else []))
    views = [view(choose, names, f"view{number}", choose.of(sources)) for number in range(choose.number(1, 2))]
    asked = frame(choose, names, events, views)
    timed = any(len(learnable(of)) < len(of.values) for of in views)
    learnt = all(map(learnable, views)) and (not timed or choose.chance(1, 2))
    files = {
        "__init__.py": "",
        "contracts/__init__.py": _contracts(sources, views, asked),
        **{f"sources/{of.name}.py": of.text for of in sources},
        "splits/events.py": splits(choose, parts, events),
        **{f"features/{of.name}.py": of.text for of in views},
        "frames/asked.py": asked.text,
        **({"models/guess.py": model(choose, asked, views)} if learnt or choose.odd_one("learns from times") else {}),
        "versions.py": versions(choose, parts, views, learnt=learnt),
    }
    return Drawn(files, {of.name: of.rows for of in sources}, tuple(choose.odd))


def _contracts(sources: Sequence[Source], views: Sequence[View], asked: Frame) -> str:
    return "\n\n".join(
        [
            _CONTRACTS,
            *(contract_text("SourceContract", of.contract, of.columns, of.unique) for of in sources),
            *(contract_text("FeatureContract", of.contract, (*of.keys, MOMENT, *of.values), of.unique) for of in views),
            contract_text("FrameContract", "Asked", asked.columns, asked.unique),
        ]
    )
