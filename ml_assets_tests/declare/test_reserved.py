"""Names of built-in checks are reserved in every stage: a rule that has one is told at its place."""

from __future__ import annotations

import re

import pytest

from ml_assets.lib.declare import checks
from ml_assets_tests.declare.packages import Package

WHERE = {
    "sources": ("sources/trips.py", 'event_time="started",', 'event_time="started", rules=(named,),'),
    "splits": ("splits/trips.py", 'rules=(complete(of="trips"),)', "rules=(named,)"),
    "features": ("features/speed.py", "contract=contracts.Speed)", "contract=contracts.Speed, rules=(named,))"),
    "frames": ("frames/late.py", "contract=contracts.LateFrame)", "contract=contracts.LateFrame, rules=(named,))"),
}
"""Where a declaration of each stage that has rules can be given one."""


@pytest.mark.parametrize("name", sorted(checks.RESERVED))
@pytest.mark.parametrize("stage", WHERE)
def test_a_rule_with_a_reserved_name(package: Package, stage: str, name: str) -> None:
    """The error has file and line of the declaration and of the rule."""
    file, old, new = WHERE[stage]
    package.edit(file, old, new.replace("named", name))
    text = (package.folder / file).read_text()
    rule = f"""
from ml_assets.lib.declare import rule


@rule()
def {name}(table):
    \"\"\"Nothing fails.\"\"\"
    return table.filter(table[table.columns[0]].isnull())


"""
    (package.folder / file).write_text(text.replace("\n@", f"{rule}@", 1))
    errors = [error for error in package.mistakes() if name in error.problem]
    assert len(errors) == 1, package.mistakes()
    assert re.search(rf"{file}:\d+", errors[0].problem)
    assert "built-in check" in errors[0].problem
    assert errors[0].remedy == "give the rule another name"
