"""Drawn splits: by hash and by time, with the ready-made rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ml_assets_tests.drawn.choices import Chooser
from ml_assets_tests.drawn.sources import Source

_EVEN: Final = ("0.6, val=0.2", "0.5, val=0.25", "1 / 3, val=1 / 3")
_SHARES: Final = (
    *_EVEN * 3,
    "0.8, val=0.2",
    "1.0, val=0.0",
    "0.0, val=1.0",
    "0.3, val=0.0",
    "0.7, val=0.1 + 0.2",
    "1, val=0",
)
_ODD_SHARES: Final = ("0.9, val=0.9", "-0.1, val=0.5", "1.5, val=0.0", "0.5, val=float('inf')", "2, val=-1",
                      "60, val=20", "'0.6', val=0.2", "float('nan'), val=0.1", "True, val=False")  # fmt: skip
_CUTS: Final = (
    "val=datetime(2023, 5, 1, tzinfo=UTC), test=datetime(2023, 7, 1, tzinfo=UTC)",
    "val=datetime(2023, 4, 1, 12, tzinfo=timezone(timedelta(hours=2))), test=datetime(2023, 8, 1, tzinfo=UTC)",
    "val=datetime(1, 1, 1, tzinfo=UTC), test=datetime(2023, 6, 1, tzinfo=UTC)",
    "val=datetime(2023, 6, 1, tzinfo=UTC), test=datetime(9999, 12, 31, tzinfo=UTC)",
)
_ODD_CUTS: Final = (
    "val=datetime(2023, 5, 1), test=datetime(2023, 7, 1)",
    "val=datetime(2023, 7, 1, tzinfo=UTC), test=datetime(2023, 5, 1, tzinfo=UTC)",
    "val=date(2023, 5, 1), test=date(2023, 7, 1)",
    "val='2023-05-01', test='2023-07-01'",
)
_WITHIN: Final = ("train=0.6, val=0.2, test=0.2, within=1.0", "train=1.0, val=0.0, test=0.0, within=1")
_ODD_WITHIN: Final = (
    "train=0.9, val=0.9, test=0.2, within=1.0",
    "train=1, val=0.5, test=-0.5, within=1.0",
    "train=0.6, val=0.2, test=0.2, within=-1.0",
    "train=0.6, val=0.2, test=0.2, within=float('nan')",
)
_SEEDS: Final = ("", "seed=42, ", "seed=0, ")
_ODD_SEEDS: Final = ("seed=-1, ", "seed=True, ", "seed=2**60, ", "seed=1.5, ", "seed='1', ")

_HEAD: Final = '''"""Drawn."""

from datetime import UTC, date, datetime, timedelta, timezone

from ml_assets.defs.splits.parts import by_hash, by_time
from ml_assets.lib.declare import complete, disjoint, label_rates, ordered, shares, split
'''


def splits(choose: Chooser, versions: Sequence[str], of: Source) -> str:
    """The module that splits *of* in all *versions*."""
    return _HEAD + "".join(_split(choose, version, of) for version in versions)


def _split(choose: Chooser, version: str, of: Source) -> str:
    part, rules = _part(choose, version, of)
    rules += _rules(choose, of)
    key = choose.of((of.key.name,), (of.groups[0].name, "nothing"), what="key of a split")
    seed = choose.of(_SEEDS, _ODD_SEEDS, what="seed of a split")
    return f'''

@split({version!r}, of={of.name!r}, key={key!r}, {seed}rules=({"".join(f"{rule}, " for rule in rules)}))
def {version.replace("-", "_").lower()}({of.name}):
    """Drawn parts."""
    return {of.name}.select({of.key.name!r}, split={part})
'''


def _part(choose: Chooser, version: str, of: Source) -> tuple[str, list[str]]:
    """The expression of ``split``, and the rules that go with it."""
    if choose.chance(1, 3):
        cuts = choose.of(_CUTS, _ODD_CUTS, what="cuts")
        odd = [column.name for column in (of.columns[5], of.columns[1], of.columns[-1])]
        time = choose.of((of.moment.name,), odd, what="column of by_time")
        by = [f"ordered(by={time!r}, of={of.name!r})"] if choose.chance(1, 2) else []
        return f"by_time({of.name}[{time!r}], {cuts})", by
    key = f"{of.name}[{of.key.name!r}]"
    if of.key.type == "Timestamp":
        key = f"({key}.epoch_seconds()).cast('string')"
    elif of.key.type != "str":
        key = f"{key}.cast('string')"
    column = choose.of((key,), (f"{of.name}[{of.columns[-1].name!r}]", "'x'"), what="column of by_hash")
    return f"by_hash({column}, salt={version!r}, train={choose.of(_SHARES, _ODD_SHARES, what='shares')})", []


def _rules(choose: Chooser, of: Source) -> list[str]:
    """Ready-made rules that hold, or are warnings; and odd ones."""
    rules = [choose.of((f"complete(of={of.name!r})",), ("complete(of='nothing')",), what="complete")]
    if choose.chance(1, 4):
        rules.append(f"shares({choose.of(_WITHIN, _ODD_WITHIN, what='shares of a rule')})")
    if choose.chance(1, 4):
        other = choose.of(of.columns[1:]).name
        by = choose.of((f"{of.key.name!r}", f"{other!r}, severity='warn'"), ("'nothing'", "'split'"), what="disjoint")
        rules.append(f"disjoint(of={of.name!r}, by={by})")
    if choose.chance(1, 4):
        column, group = choose.of(of.columns[1:]).name, choose.of(of.columns[1:]).name
        within = choose.of(("None", "1.0"), ("-1", "float('nan')", "'x'"), what="within of label_rates")
        per = choose.of(((), (group,)), ("nothing", ("nothing",)), what="per of label_rates")
        rules.append(
            f"label_rates(of={of.name!r}, label=lambda t: t[{column!r}].isnull(), within={within}, per={per!r})"
        )
    return rules
