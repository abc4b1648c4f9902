"""The record of one published unit, and the verdict in it. The lake describes itself with these, next to the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from ml_assets.lib.core.errors import GateError, UnrecordedChange
from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.recipe import Definition, InputRef, Json, canonical_json
from ml_assets.lib.core.refs import Commit

FORMAT: Final = 1
Severity = Literal["error", "warn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found.

    Attributes:
        check: Name of the check.
        passed: Whether everything it asks holds.
        severity: ``error`` stops the publish; ``warn`` is shown only.
        rows_failed: Number of rows (or cells, or groups, as the check says) that fail, counted in the engine.
        counts: Failing count per rule, rules that hold left out.
        examples: A few failing rows, each with the rule that it breaks; capped.
        figures: Measured values worth showing, whether or not the check passed.
        not_applicable: Why there was nothing to judge; empty where there was. Such a check has not passed, and stops
            nothing.
    """

    check: str
    passed: bool
    severity: Severity = "error"
    rows_failed: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[Mapping[str, Json]] = ()
    figures: Mapping[str, Json] = field(default_factory=dict)
    not_applicable: str = ""

    def as_json(self) -> dict[str, Json]:
        """All of it as JSON."""
        return {
            "check": self.check,
            "passed": self.passed,
            "severity": self.severity,
            "rows_failed": self.rows_failed,
            "counts": dict(self.counts),
            "examples": [dict(row) for row in self.examples],
            "figures": dict(self.figures),
            **({"not_applicable": self.not_applicable} if self.not_applicable else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> CheckResult:
        """Read what `as_json` writes."""
        return cls(
            check=value["check"],
            passed=value["passed"],
            severity=value["severity"],
            rows_failed=value["rows_failed"],
            counts=value["counts"],
            examples=tuple(value["examples"]),
            figures=value["figures"],
            not_applicable=value.get("not_applicable", ""),
        )


Verdict = tuple[CheckResult, ...]


def passes(verdict: Verdict) -> bool:
    """Whether nothing in *verdict* stops a publish: warnings never do, nor does a check that does not apply."""
    return all(result.passed or result.not_applicable for result in verdict if result.severity == "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One table or object that a unit consists of.

    Attributes:
        name: Table name (``features.route_v1``), or the path of a JSON object.
        path: Path of the head ``vN.metadata.json``, or of the object.
        checksum: lakeFS checksum of what lies at *path*.
        rows: Number of rows; of a model: training rows.
        bytes: Bytes of the output in the lake.
        digest: Content digest.
        schema_hash: Hash of names and types, in order of name.
    """

    name: str
    path: str
    checksum: str
    rows: int
    bytes: int
    digest: str
    schema_hash: str

    def as_json(self) -> dict[str, Json]:
        """All of it as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Output:
        """Read what `as_json` writes."""
        return cls(**{name: value[name] for name in cls.__slots__})


def _number(digits: str) -> int | float:
    """A whole number as it was: canonical JSON writes a float like 1e20 without point or exponent."""
    value = int(digits)
    return value if abs(value) <= _LARGEST_INT else float(value)


_LARGEST_INT: Final = 2**53 - 1

_FIELDS: Final = {
    *("format", "unit", "assets", "recipe", "rules", "definition", "pin"),
    *("inputs", "outputs", "audited", "verdict", "code", "run"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Who published what, made from what, by which code, judged how: one JSON object per unit in the lake.

    Attributes:
        unit: The published unit.
        assets: Pairs of asset key and partition (``None`` where unpartitioned) that mean the unit.
        recipe: Hash of all that determines the output.
        rules: Hash of all that it was judged by.
        definition: How it is computed.
        pin: The commit at which the inputs were read.
        inputs: What was read there, by name.
        outputs: What was written; never empty, the first one carries the unit's digest.
        audited: The commit that holds the data that was judged.
        verdict: What the checks said.
        code: Git commit, remote, dirty flag, diff hash, package version, hash of the installed environment.
        run: Run id, attempt, branch, user, start, end, engine with versions, and the run's tags.
        extra: Fields of later versions of this format, kept as they are.
    """

    unit: Unit
    assets: tuple[tuple[str, str | None], ...]
    recipe: str
    rules: str
    definition: Definition
    pin: Commit
    inputs: Mapping[str, InputRef]
    outputs: tuple[Output, ...]
    audited: Commit
    verdict: Verdict
    code: Mapping[str, Json]
    run: Mapping[str, Json]
    extra: Mapping[str, Json] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of the unit: of its first output."""
        return self.outputs[0].digest

    def as_input(self) -> InputRef:
        """This publication as an input of another unit."""
        return InputRef(
            unit=str(self.unit),
            digest=self.digest,
            recipe=self.recipe,
            definition=self.definition.identity,
            keys=self.definition.keys,
            ttl=self.definition.as_json()["ttl"],
        )

    def to_bytes(self) -> bytes:
        """Canonical JSON (RFC 8785): equal publications give equal bytes."""
        return canonical_json(
            {
                **self.extra,
                "format": FORMAT,
                "unit": str(self.unit),
                "assets": [list(pair) for pair in self.assets],
                "recipe": self.recipe,
                "rules": self.rules,
                "definition": self.definition.as_json(),
                "pin": self.pin.id,
                "inputs": {name: ref.as_json() for name, ref in self.inputs.items()},
                "outputs": [output.as_json() for output in self.outputs],
                "audited": self.audited.id,
                "verdict": [result.as_json() for result in self.verdict],
                "code": dict(self.code),
                "run": dict(self.run),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Publication:
        """Read a publication; unknown fields are kept.

        Raises:
            UnrecordedChange: Not a publication.
            GateError: Of a format that this version does not know.
        """
        try:
            value = json.loads(data, parse_int=_number)
            if value["format"] != FORMAT:
                raise GateError(
                    f"the publication of {value.get('unit')} has format {value['format']!r}, not {FORMAT}",
                    remedy="use a newer ml_assets",
                )
            return cls._from_json(value)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnrecordedChange(
                f"not a publication: {type(error).__name__} {error}", remedy="materialize the unit with --recompute"
            ) from error

    @classmethod
    def _from_json(cls, value: Mapping[str, Json]) -> Publication:
        return cls(
            unit=Unit.parse(value["unit"]),
            assets=tuple((key, partition) for key, partition in value["assets"]),
            recipe=value["recipe"],
            rules=value["rules"],
            definition=Definition.from_json(value["definition"]),
            pin=Commit(value["pin"]),
            inputs={name: InputRef.from_json(ref) for name, ref in value["inputs"].items()},
            outputs=tuple(Output.from_json(output) for output in value["outputs"]),
            audited=Commit(value["audited"]),
            verdict=tuple(CheckResult.from_json(result) for result in value["verdict"]),
            code=value["code"],
            run=value["run"],
            extra={name: item for name, item in value.items() if name not in _FIELDS},
        )
