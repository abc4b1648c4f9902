"""Why an output is computed or judged again, named exactly: what its publication records, compared with what is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ml_assets.lib.core.recipe import Json, hash_of

if TYPE_CHECKING:
    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.core.recipe import Definition
    from ml_assets.lib.gate.work import Work

MADE_FROM: Final = "made_from"
"""The field of a publication that holds parameters, file hashes, seed and library versions."""
JUDGED_BY: Final = "judged_by"
"""The field of a publication that holds hashes of the contract's columns, of each rule, numbers of built-in checks."""
MEANING: Final = "meaning"
"""The part of `MADE_FROM` that says what a split computes, over the columns that it uses."""
GIVEN: Final = "given"
"""The field of a publication that holds what a person gave in place of what is declared: a file, parameters."""

_HASH_DIGITS: Final = 16
_NOTHING: Final = object()
_UNRECORDED: Final[Mapping[str, str]] = {
    "sources": "libraries or partition_by",
    "splits": "seed",
    "features": "partition_by",
    "frames": "the columns of its feature version",
    "models": "seed or libraries",
}
"""What else may have changed where a publication of an earlier version does not record it, by stage."""


def facts(work: Work) -> dict[str, Json]:
    """What a publication of *work* records, so that a later change can be named."""
    found: dict[str, Json] = {MADE_FROM: work.made_from(), JUDGED_BY: _parts_of(work.judgement)}
    return {**found, GIVEN: dict(work.given)} if work.given else found


def of_recipe(work: Work, old: Publication) -> list[str]:
    """What differs between the recipe of *work* and that of *old*, beside the content of inputs; never empty."""
    now = work.made_from()
    if not now:
        return ["it grows by batches from now on (append=True)"]
    found = [*_of_definition(work.definition, old.definition)]
    if joined := sorted(work.inputs.keys() - old.inputs.keys()):
        found.append(f"new input {', '.join(joined)}")
    if left := sorted(old.inputs.keys() - work.inputs.keys()):
        found.append(f"no input {', '.join(left)} any more")
    complete = MADE_FROM in old.extra
    before = old.extra[MADE_FROM] if complete else work.recorded(old)
    found += _of_parts(work.unit, before, now)
    if not found:
        found.append("how it is made" if complete else f"{_UNRECORDED[work.unit.stage]} (which was not recorded)")
    return found


def of_rules(work: Work, old: Publication) -> list[str]:
    """What differs between what *work* and what *old* is judged by; never empty."""
    if JUDGED_BY in old.extra:
        before, now = old.extra[JUDGED_BY], _parts_of(work.judgement)
        found = [_rule_cause(name, before.get(name), now.get(name)) for name in sorted({*before, *now})]
        return [cause for cause in found if cause] or ["checks"]
    judged = {result.check for result in old.verdict}
    rules = [rule["name"] for rule in work.judgement.get("rules", ())]
    new = [f"new rule {name}" for name in rules if name not in judged]
    return new or ["contract, a rule, floors or a built-in check (which was not recorded)"]


def _of_definition(now: Definition, then: Definition) -> Iterator[str]:
    if now.identity != then.identity:
        spelled = f" (or {then.made_with} -> {now.made_with})" if now.made_with != then.made_with else ""
        yield f"definition{spelled}"
    if now.keys != then.keys:
        yield _moved("keys", ", ".join(then.keys), ", ".join(now.keys))
    if now.ttl != then.ttl:
        yield _moved("ttl", _age(then.ttl), _age(now.ttl))
    if now.version != then.version:
        yield _moved("version", then.version, now.version)
    if now.deterministic != then.deterministic:
        yield _moved("deterministic", then.deterministic, now.deterministic)


def _of_parts(unit: Unit, before: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    """Differences in those parts that *before* records."""
    for part in before:
        one, other = before[part], now.get(part)
        if part == "parameters":
            yield from _of_parameters(unit, one, other or {})
        elif part == "seed" and one != other:
            yield _moved("seed", one, other)
        elif part == "libraries":
            yield from _of_mapping("library ", one, other or {})
        elif part == "semantics":
            yield from _of_mapping("how ml_assets itself does the ", one, other or {})


def _of_parameters(unit: Unit, before: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    if unit.stage == "models":
        yield from _of_mapping("parameter ", before, now)
        return
    for name in sorted({*before, *now}):
        one, other = before.get(name) or {}, now.get(name) or {}
        if name == "files":
            changed = [label for label in sorted({*one, *other}) if one.get(label) != other.get(label)]
            yield from (f"file {label}" for label in changed)
        elif name == "values":
            yield from _of_mapping("columns of ", one, other)
        elif one != other:
            yield _moved(name, one or None, other or None)


def _of_mapping(what: str, before: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        one, other = before.get(name, _NOTHING), now.get(name, _NOTHING)
        if one != other:
            yield _moved(f"{what}{name}", one, other)


def _moved(what: str, before: Any, now: Any) -> str:
    shown = ["none" if value is None or value is _NOTHING else str(value) for value in (before, now)]
    return f"{what} {shown[0]} -> {shown[1]}"


def _age(ttl: timedelta | None) -> str:
    return "any age" if ttl is None else str(ttl)


def _parts_of(judgement: Mapping[str, Json]) -> dict[str, Json]:
    """What a unit is judged by, short enough for its publication: a hash for each column and rule."""
    found = {part: value if part in ("builtin", "floors") else _short(value) for part, value in judgement.items()}
    if "contract" in judgement:
        contract = dict(judgement["contract"])
        columns = {column["name"]: _short(column) for column in contract.pop("columns")}
        found["contract"] = {"columns": columns, "rest": _short(contract)}
    if "rules" in judgement:
        found["rules"] = {rule["name"]: _short(rule) for rule in judgement["rules"]}
    return found


def _short(value: Json) -> str:
    return hash_of(value)[:_HASH_DIGITS]


def _rule_cause(part: str, before: Json, now: Json) -> str | None:
    """How one part of a judgement changed, if it did."""
    if before == now:
        return None
    if part == "contract" and before and now:
        changed = _changed_keys(before["columns"], now["columns"])
        return f"contract of {', '.join(changed)}" if changed else "contract: unique columns"
    names = {"rules": "rule", "builtin": "built-in check", "floors": "floor"}
    if part in names and isinstance(before, Mapping) and isinstance(now, Mapping):
        return f"{names[part]} {', '.join(_changed_keys(before, now))}"
    return part


def _changed_keys(before: Mapping[str, Json], now: Mapping[str, Json]) -> list[str]:
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
