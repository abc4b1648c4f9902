"""Every error of the project, as one tree. Handlers match the class or ``kind``, never the text.

MLAssetsError
├── ConfigError                a setting is missing, misspelt or contradictory
├── DeclarationError           a definition in defs is wrong
│   ├── UnknownUpstream        a parameter or reference names no declared dataset
│   ├── DuplicateName          two datasets, versions or tables of one name
│   ├── ContractMismatch       contract, keys and expression disagree
│   ├── NotIdentifiable        an expression whose content is not in its graph
│   ├── NotDeterministic       an expression that may differ between two runs
│   ├── AmbiguousMeaning       an expression that engines, machines or zones read differently
│   └── VersionNotBumped       a changed definition under an old version
├── LakeError                  lakeFS refused or could not be reached
│   ├── RefNotFound            no branch, tag or commit of this name (also LookupError)
│   ├── BadRef                 a name that lakeFS does not allow (also ValueError)
│   ├── RefExists              a branch or tag of this name is there already
│   ├── ObjectExists           a conditional write found the object there
│   ├── Conflict               both sides changed the same object
│   ├── DirtyBranch            uncommitted objects are in the way
│   ├── NothingToCommit        a commit or merge without changes
│   ├── AccessDenied           credentials or protection refuse
│   ├── HookRefused            a hook of the repository said no, or could not be asked
│   ├── LakeBusy               429: too many at once; may be retried
│   └── LakeUnavailable        no answer, 5xx; whether the call landed is not known
├── TableError                 an Iceberg table in the lake
│   ├── NoSuchTable            (also LookupError)
│   ├── NonCanonicalPath       metadata that does not say ``main``
│   ├── ForbiddenProperty      a table property that breaks the layout
│   ├── CommitRaced            somebody else committed this table on this branch
│   ├── LostCommit             a snapshot was written that the table does not know
│   ├── BrokenClosure          a file that the table refers to is missing
│   ├── NotReplayable          a change that does not fit on top of what others did
│   └── NotDigestible          a column that the digest does not define (also TypeError)
├── EngineError                an expression or a join that cannot be run
├── GateError                  a unit cannot be published
│   ├── MissingInput           an input was never published
│   ├── StaleInput             an input is older than its own inputs
│   ├── UnrecordedChange       data differs from what its publication says
│   ├── TargetDirty            the target has uncommitted objects
│   ├── TooManyTries           the target moved at every try
│   └── SilentConflict         a merge landed over a conflict, and was reverted
├── ContractError              data does not keep its contract, outside the gate
├── FunctionError              a function that a person declared failed, or returned the wrong thing
├── TrackingError              MLflow refused or could not be reached
└── ReproductionError          a rebuild did not prove equal
    ├── DigestMismatch         the rows are not the rows that were used
    └── MissingCommit          a commit or publication it rests on is gone
"""

from __future__ import annotations

from typing import ClassVar


class MLAssetsError(Exception):
    """Something the user can act on: what is wrong and where, then the remedy.

    Args:
        problem: What is wrong, where, with the names and values concerned.
        remedy: What to do about it, as an imperative.
    """

    kind: ClassVar[str] = "error"

    def __init__(self, problem: str, *, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(f"{problem}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.problem, self.remedy)


def _rebuild(cls: type[MLAssetsError], problem: str, remedy: str) -> MLAssetsError:
    """Pickling support: errors cross process borders (executors, pools) with both parts intact."""
    return cls(problem, remedy=remedy)


class ConfigError(MLAssetsError):
    """A setting is missing, misspelt or contradictory."""

    kind = "config"


class DeclarationError(MLAssetsError):
    """A definition in ``ml_assets/defs`` is wrong."""

    kind = "declaration"


class UnknownUpstream(DeclarationError):
    """A parameter or reference names no declared dataset."""

    kind = "unknown-upstream"


class DuplicateName(DeclarationError):
    """Two datasets, versions or tables would share one name."""

    kind = "duplicate-name"


class ContractMismatch(DeclarationError):
    """Contract, keys and expression disagree."""

    kind = "contract-mismatch"


class NotIdentifiable(DeclarationError):
    """An expression whose content is not in its graph: a UDF, raw SQL, an in-memory table, ``now()``, ``random()``."""

    kind = "not-identifiable"


class NotDeterministic(DeclarationError):
    """An expression that may give different rows in two runs over the same input."""

    kind = "not-deterministic"


class AmbiguousMeaning(DeclarationError):
    """An expression that another engine, or another machine, may read differently."""

    kind = "ambiguous-meaning"


class VersionNotBumped(DeclarationError):
    """A changed definition under a version that is already in use."""

    kind = "version-not-bumped"


class LakeError(MLAssetsError):
    """lakeFS refused, or could not be reached."""

    kind = "lake"


class RefNotFound(LakeError, LookupError):
    """No branch, tag or commit has this name."""

    kind = "ref-not-found"


class BadRef(LakeError, ValueError):
    """A name that lakeFS does not allow."""

    kind = "bad-ref"


class RefExists(LakeError):
    """A branch or tag of this name is there already."""

    kind = "ref-exists"


class ObjectExists(LakeError):
    """A conditional write found the object there already."""

    kind = "object-exists"


class Conflict(LakeError):
    """Both sides of a merge changed the same object."""

    kind = "conflict"


class DirtyBranch(LakeError):
    """The branch has uncommitted objects, which are in the way of a merge or revert."""

    kind = "dirty-branch"


class NothingToCommit(LakeError):
    """A commit, merge or revert that would change nothing."""

    kind = "nothing-to-commit"


class AccessDenied(LakeError):
    """Credentials or branch protection refuse the call."""

    kind = "access-denied"


class HookRefused(LakeError):
    """A hook of the repository said no to a commit or merge, or could not be asked. Nothing has landed."""

    kind = "hook-refused"


class LakeBusy(LakeError):
    """The server answered 429: too many calls at once. The call did not land and may be sent again."""

    kind = "lake-busy"


class LakeUnavailable(LakeError):
    """No answer, or a 5xx. Whether a write landed is not known: ask before sending it again."""

    kind = "lake-unavailable"


class TableError(MLAssetsError):
    """Something about an Iceberg table in the lake."""

    kind = "table"


class NoSuchTable(TableError, LookupError):
    """The ref has no table of this name."""

    kind = "no-such-table"


class NonCanonicalPath(TableError):
    """Table metadata that records another place than ``main``."""

    kind = "non-canonical-path"


class ForbiddenProperty(TableError):
    """A table property or feature that would break the layout that branches and merges rest on."""

    kind = "forbidden-property"


class CommitRaced(TableError):
    """Somebody else committed this table on this branch at the same time."""

    kind = "commit-raced"


class LostCommit(TableError):
    """A snapshot was written on the branch that the table's head does not know."""

    kind = "lost-commit"


class BrokenClosure(TableError):
    """A file that a table refers to does not exist at the commit."""

    kind = "broken-closure"


class NotReplayable(TableError):
    """A change of a table that does not fit on top of what others did to it meanwhile."""

    kind = "not-replayable"


class NotDigestible(TableError, TypeError):
    """A column whose type or values the digest does not define: nested, uint64, finer than microseconds."""

    kind = "not-digestible"


class EngineError(MLAssetsError):
    """An expression or a point-in-time join that cannot be run."""

    kind = "engine"


class GateError(MLAssetsError):
    """A unit cannot be published."""

    kind = "gate"


class MissingInput(GateError):
    """An input was never published on the target."""

    kind = "missing-input"


class StaleInput(GateError):
    """An input was made from something that has been published anew since."""

    kind = "stale-input"


class UnrecordedChange(GateError):
    """Data on the target differs from what its publication says: somebody changed it behind the gate's back."""

    kind = "unrecorded-change"


class TargetDirty(GateError):
    """The target branch has uncommitted objects, which would block every merge."""

    kind = "target-dirty"


class TooManyTries(GateError):
    """The target or an input moved at every try."""

    kind = "too-many-tries"


class SilentConflict(GateError):
    """A merge landed over a conflict that appeared after the check; it has been reverted."""

    kind = "silent-conflict"


class ContractError(MLAssetsError):
    """Data does not keep its contract, outside the gate (for instance at prediction)."""

    kind = "contract"


class FunctionError(MLAssetsError):
    """A function that a person declared failed, or returned the wrong thing; said with file and line."""

    kind = "function"


class TrackingError(MLAssetsError):
    """MLflow refused, or could not be reached."""

    kind = "tracking"


class ReproductionError(MLAssetsError):
    """A rebuild did not prove equal to what was used."""

    kind = "reproduction"


class DigestMismatch(ReproductionError):
    """The rebuilt rows are not the rows that were used."""

    kind = "digest-mismatch"


class MissingCommit(ReproductionError):
    """A commit or publication that a rebuild rests on cannot be found."""

    kind = "missing-commit"
