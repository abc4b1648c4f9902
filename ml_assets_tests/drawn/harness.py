"""What comes of a drawn package: it is told wrong at its lines, or it runs, and both engines compute the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from ml_assets.lib.core.digest import digest_of
from ml_assets.lib.core.errors import (
    ContractError,
    DeclarationError,
    EngineError,
    FunctionError,
    MLAssetsError,
    TableError,
)
from ml_assets.lib.core.names import CANONICAL, Unit
from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.declare import Declarations
from ml_assets.lib.declare import lock as locks
from ml_assets.lib.declare.loading import examine
from ml_assets.lib.engines import engine
from ml_assets.lib.gate.machinery import Machinery
from ml_assets.lib.gate.outcome import Published, Refused
from ml_assets.lib.gate.plan import Plan
from ml_assets.lib.gate.units.frames import FrameWork
from ml_assets.lib.gate.units.tables import ExpressionWork, read_bound
from ml_assets.lib.tracking.store import Tracking
from ml_assets_tests.drawn.packages import Drawn
from ml_assets_tests.gate.world import new_run
from ml_assets_tests.lakes import LakeEndpoint

if TYPE_CHECKING:
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.engines.protocol import Engine, Session
    from ml_assets.lib.gate.work import Work

_OUT_OF_RANGE: Final = re.compile(
    r"^DuckDB could not compute an expression: ((Conversion|Out of Range) Error: (.* out of range|Overflow)"
    r"|Invalid Input Error: .* cannot be read as)|keep dates and times in the years 1 to 9999"
)


@dataclass(frozen=True)
class Told:
    """What `check` says of a package: what is wrong with it, or what it declares.

    Attributes:
        errors: What is wrong.
        declarations: What it declares, if nothing is.
    """

    errors: tuple[DeclarationError, ...]
    declarations: Declarations | None = None


@dataclass
class Ended:
    """How far a lawful package came.

    Attributes:
        published: Units that are on the target.
        refused: For each unit that its checks refused: check and what it counted.
        stopped: For each unit whose rows do not fit its declaration: the error.
        skipped: Units whose inputs are missing.
        compared: Units whose rows the other engine computed alike.
    """

    published: list[Unit] = field(default_factory=list)
    refused: dict[Unit, list[tuple[str, str]]] = field(default_factory=dict)
    stopped: dict[Unit, MLAssetsError] = field(default_factory=dict)
    skipped: list[Unit] = field(default_factory=list)
    compared: list[Unit] = field(default_factory=list)


@contextmanager
def written(drawn: Drawn, folder: Path) -> Iterator[None]:
    """The package, while it can be imported; *folder* is on ``sys.path``."""
    drawn.write(folder)
    try:
        yield
    finally:
        drawn.forget()


def told(drawn: Drawn, folder: Path) -> Told:
    """What `check` says of the package that was written to *folder*.

    Raises:
        AssertionError: An error names no line of the package, or no remedy.
        Exception: `check` ends otherwise than by such errors.
    """
    try:
        declarations, errors = examine(drawn.name)
    except DeclarationError as error:  # told by a decorator or contract at import
        _check_place(error, drawn, folder)
        return Told((error,))
    for found in errors:
        _check_place(found, drawn, folder)
    if errors:
        return Told(errors)
    _load_as_commands_do(declarations)
    return Told((), declarations)


def _check_place(error: DeclarationError, drawn: Drawn, folder: Path) -> None:
    """*error* begins with a line of the package, and says what to do."""
    found = re.match(rf"({drawn.name}/[\w/]+\.py):(\d+): ", error.problem)
    assert found, f"names no line of {drawn.name}: {error}"
    lines = (folder / found[1]).read_text(encoding="utf-8").splitlines()
    assert 1 <= int(found[2]) <= max(len(lines), 1), f"there is no such line: {error}"
    assert error.remedy.strip()


def _load_as_commands_do(declarations: Declarations) -> None:
    """Make Dagster's assets, and write and read the lock: what every command does before it asks a lake."""
    from ml_assets.lib.assets.build import Builder
    from ml_assets.lib.assets.metadata import Links

    def asked(*_: object) -> NoReturn:
        raise AssertionError("loading asks nobody")

    builder = Builder(
        plan=Plan(declarations=declarations),
        open=asked,
        tracking=asked,
        links=lambda _lake: Links(lakefs="", repository="", mlflow=""),
        engine="duckdb",
    )
    assert builder.assets()
    locks.write(declarations)
    assert not locks.check(declarations)
    assert not locks.unlocked(declarations)


@dataclass(frozen=True)
class Bench:
    """Where drawn packages run.

    Attributes:
        endpoint: The server; each package gets a repository.
        home: State folder, with MLflow.
        folder: Where packages are written, which is on ``sys.path``.
        spark: The other engine, where there is one.
    """

    endpoint: LakeEndpoint
    home: Path
    folder: Path
    spark: Engine | None = None

    def check(self, drawn: Drawn, *, models: bool = True) -> tuple[Told, Ended | None]:
        """See what `told` says of *drawn*, and `run` it where that is nothing.

        Raises:
            AssertionError: As these say.
            Exception: As these say.
        """
        with written(drawn, self.folder):
            found = told(drawn, self.folder)
            if found.declarations is None:
                return found, None
            return found, self.run(found.declarations, harmed=bool(drawn.harm), models=models)

    def machinery(self, declarations: Declarations) -> Machinery:
        """A machinery on a new repository."""
        return Machinery(
            declarations=declarations,
            lake=self.endpoint.new_lake(),
            tracking=Tracking.embedded(self.home),
            engine=engine("duckdb", threads=1),
            target=Branch(CANONICAL),
            state=self.home,
        )

    def run(self, declarations: Declarations, *, harmed: bool, models: bool = True) -> Ended:
        """Materialize all that is declared, in the order in which data flows, and compare the engines.

        Args:
            declarations: What `told` found lawful.
            harmed: Whether files of the sources may be other than declared.
            models: Whether models are trained.

        Raises:
            AssertionError: The engines compute different rows.
            Exception: Something else than a refusal comes of it.
        """
        machinery, ended = self.machinery(declarations), Ended()
        plan = machinery.plan
        for asset in plan.assets.values():
            for partition in plan.partitions(asset):
                unit = plan.unit(asset, partition)
                if unit is None or unit in ended.published or (asset.stage == "models" and not models):
                    continue
                work = plan.work(machinery.systems, asset, partition)
                assert work is not None
                self._materialize(machinery, work, ended, harmed=harmed)
        return ended

    def _materialize(self, machinery: Machinery, work: Work, ended: Ended, *, harmed: bool) -> None:
        if not set(work.inputs.values()) <= set(ended.published):
            ended.skipped.append(work.unit)
            return
        try:
            outcome = machinery.gate.materialize(work, new_run())
        except MLAssetsError as error:
            if not _is_about_rows(error, work, harmed=harmed):
                raise
            ended.stopped[work.unit] = error
            if self.spark is not None and isinstance(work, ExpressionWork) and isinstance(error, EngineError):
                self._stops(machinery, work, self.spark)
            return
        if isinstance(outcome, Refused):
            failed = [result for result in outcome.verdict if not result.passed and result.severity == "error"]
            assert failed, "refused, and no check says why"
            ended.refused[work.unit] = [(r.check, rule) for r in failed for rule in (r.counts or ("failed",))]
            return
        assert isinstance(outcome, Published)
        ended.published.append(work.unit)
        if self.spark is not None and self._compared(machinery, work, outcome.publication, self.spark):
            ended.compared.append(work.unit)

    @staticmethod
    def _stops(machinery: Machinery, work: Work, other: Engine) -> None:
        """*other* computes nothing either.

        Raises:
            AssertionError: It does.
        """
        with other.session(machinery.systems.tables) as session:
            try:
                found = _digest(session, work, machinery.lake.head(machinery.target))
            except EngineError:
                return
        raise AssertionError(f"{work.unit}: {other.name} computes {found}, duckdb nothing")

    @staticmethod
    def _compared(machinery: Machinery, work: Work, publication: Publication, other: Engine) -> bool:
        """Compare what *other* computes with what was published; false where no engine computes the unit.

        Raises:
            AssertionError: It is something else.
        """
        with other.session(machinery.systems.tables) as session:
            found = _digest(session, work, publication.pin)
        assert found in {None, publication.digest}, f"{work.unit}: {other.name} computes other rows"
        return found is not None


def _is_about_rows(error: MLAssetsError, work: Work, *, harmed: bool) -> bool:
    """Whether *error* says that rows do not fit a lawful declaration; nothing else may stop a unit."""
    match work.unit.stage:
        case "sources":  # a file with other columns
            return harmed and isinstance(error, ContractError)
        case "models":  # labels of one class; a function that fails over what it is given
            return isinstance(error, ContractError | FunctionError) and "/models/guess.py:" in error.problem
        case _:  # a value that its type cannot hold
            return isinstance(error, EngineError | TableError) and _OUT_OF_RANGE.search(str(error)) is not None


def _digest(session: Session, work: Work, pin: Commit) -> str | None:
    """The digest of a unit as *session* computes it from its inputs at *pin*; ``None`` where no engine computes it."""
    if isinstance(work, ExpressionWork):
        expression = work.systems.declarations.expression(work.declaration)
        rows = read_bound(session, expression, work.inputs, pin)
        return digest_of(work.contract.arrow_schema(), session.row_sum(session.persist(rows)))
    if isinstance(work, FrameWork):
        spine = session.persist(work.builder.spine(session, pin))
        rows = work.builder.joined(session, spine, work.builder.views(session, pin))
        return digest_of(work.builder.contract.arrow_schema(), session.row_sum(rows))
    return None
