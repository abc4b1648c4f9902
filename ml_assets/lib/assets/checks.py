"""Checks as Dagster shows them. What was not judged, or does not apply, has not passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from ml_assets.lib.assets import metadata
from ml_assets.lib.core.publication import CheckResult
from ml_assets.lib.declare.checks import CONTRACT, DESCRIPTIONS
from ml_assets.lib.declare.checks import names as builtin_names

if TYPE_CHECKING:
    from ml_assets.lib.core.errors import ContractError, FunctionError
    from ml_assets.lib.declare.declarations import Declaration
    from ml_assets.lib.gate.outcome import Outcome, Refused
    from ml_assets.lib.gate.plan import Asset, Partition

NOT_EVALUATED: Final = "not evaluated: there are no rows to judge"
NO_RESULT: Final = "not evaluated: the verdict says nothing of this check; materialize it with --recompute"
NOT_APPLICABLE: Final = "not applicable: "
"""What the description of a check begins with that has not passed because there was nothing to judge."""
STILL: Final = "still_published"
"""The metadata of a failure that says what stands published; what its other keys begin with."""
NOT_PART: Final = "not part of this version"


def is_blocking(asset: Asset, check: str) -> bool:
    """Everything blocks but rules that are declared as warnings."""
    severities = {rule.severity for d in asset.declarations for rule in d.rules if rule.name == check}
    return severities != {"warn"}


def check_description(asset: Asset, check: str) -> str | None:
    """What holds when *check* passes, in the words of its rule."""
    own = (rule.description for d in asset.declarations for rule in d.rules if rule.name == check)
    return next(own, None) or DESCRIPTIONS.get(check)


def check_results(
    asset: Asset, declaration: Declaration, outcome: Outcome, refused: Refused | None, links: metadata.Links
) -> list[dg.AssetCheckResult]:
    """One result per check of the asset; one that the verdict lacks has not passed.

    It is red where the partition's own declaration has it, and does not apply where only another version has it.
    """
    found = {result.check: result for result in outcome.verdict}
    own = {*builtin_names(asset.stage), *(rule.name for rule in declaration.rules)}
    results = []
    for name in asset.checks:
        result = found.get(name) or (_missing(declaration, name) if name in own else _of_another_version(name))
        results.append(
            dg.AssetCheckResult(
                check_name=name,
                passed=result.passed and not result.not_applicable,
                severity=_severity(result),
                description=_description_of(result, judged=name in found),
                metadata=metadata.of_check(result, outcome.unit, refused, links),
            )
        )
    return results


def with_still(check: dg.AssetCheckResult, still: Mapping[str, str]) -> dg.AssetCheckResult:
    """The result, with what stands published; said in words where it has failed."""
    stops = not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name=check.check_name,
        passed=check.passed,
        severity=check.severity,
        description=f"{check.description or 'failed'}; {still[STILL]}" if stops else check.description,
        metadata={**check.metadata, **still},
    )


def _missing(declaration: Declaration, name: str) -> CheckResult:
    """The result of a check that is declared, and was not evaluated."""
    rule = next((rule for rule in declaration.rules if rule.name == name), None)
    return CheckResult(check=name, passed=False, severity=rule.severity if rule else "error")


def _of_another_version(name: str) -> CheckResult:
    """The result of a check that other versions of the dataset have."""
    return CheckResult(check=name, passed=False, not_applicable=NOT_PART)


def _description_of(result: CheckResult, *, judged: bool) -> str | None:
    if result.not_applicable:
        return f"{NOT_APPLICABLE}{result.not_applicable}"
    return None if judged else NO_RESULT


def _severity(result: CheckResult) -> dg.AssetCheckSeverity:
    """What does not apply stops nothing, like a warning."""
    blocks = result.severity == "error" and not result.not_applicable
    return dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN


def unreadable(
    asset: Asset, error: ContractError | FunctionError, still: Mapping[str, str]
) -> Iterator[dg.AssetCheckResult]:
    """The data could not even be brought into the contract's columns: nothing was judged, nothing passes."""
    told = CONTRACT.name if CONTRACT.name in asset.checks else asset.checks[0]
    for name in asset.checks:
        if name == told:
            facts: dict[str, str | dg.MetadataValue[Any]] = {
                "kind": error.kind,
                "problem": error.problem,
                "remedy": error.remedy,
                "traceback": dg.MetadataValue.text("".join(format_exception(error))),
                **still,
            }
            said = f"{error}; {still[STILL]}"
            yield dg.AssetCheckResult(check_name=name, passed=False, metadata=facts, description=said)
        else:
            yield dg.AssetCheckResult(check_name=name, passed=False, metadata=dict(still), description=NOT_EVALUATED)


def not_part(asset: Asset, partition: Partition) -> dg.MaterializeResult[Any]:
    """Materialized, with nothing stored: this version does not contain the dataset, so no check applies."""
    note = f"not part of {partition.key}"
    checks = [
        dg.AssetCheckResult(
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{NOT_APPLICABLE}{note}",
            metadata={"note": note},
        )
        for name in asset.checks
    ]
    return dg.MaterializeResult(check_results=checks, data_version=dg.DataVersion("none"), metadata={"outcome": note})
