"""What is declared, as a whole, and what follows from it. Needs no lake and computes no row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml_assets.lib.core.errors import AmbiguousMeaning, DeclarationError, NotIdentifiable
from ml_assets.lib.core.names import SPLIT, SPLITS, Unit
from ml_assets.lib.core.recipe import Definition, Json, hash_of
from ml_assets.lib.declare import checks as builtin
from ml_assets.lib.declare.columns import Column
from ml_assets.lib.declare.contracts import Contract, FrameContract, SplitContract
from ml_assets.lib.declare.declarations import Declaration, FeatureView, Frame, Model, Source, Split
from ml_assets.lib.declare.identity import expr1, made_with
from ml_assets.lib.declare.rule import Rule
from ml_assets.lib.declare.source_identity import py1
from ml_assets.lib.declare.versions import ViewRef
from ml_assets.lib.declare.where import of_error

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ml_assets.lib.declare.column_lineage import ColumnLineage

Expressed = Split | FeatureView | Frame
"""Declarations whose function is an expression."""


@dataclass(frozen=True, kw_only=True)
class Declarations:
    """Everything that is declared, checked as a whole.

    Attributes:
        package: Dotted name of the package it was found in.
        sources: Sources by name.
        splits: Splits by version.
        views: Feature views by (name, version).
        frames: Frames by name.
        models: Models by name.
        split_versions: Partition keys of splits, frames and models.
        feature_versions: Partition keys of feature views, frames and models: per key its views, in order.
    """

    package: str
    sources: Mapping[str, Source]
    splits: Mapping[str, Split]
    views: Mapping[tuple[str, int], FeatureView]
    frames: Mapping[str, Frame]
    models: Mapping[str, Model]
    split_versions: tuple[str, ...]
    feature_versions: Mapping[str, tuple[ViewRef, ...]]

    def __iter__(self) -> Iterator[Declaration]:
        """Every declaration, in the order in which data flows."""
        for part in (self.sources, self.splits, self.views, self.frames, self.models):
            yield from part.values()

    def view(self, ref: ViewRef) -> FeatureView:
        """The view that *ref* names."""
        return self.views[ref.name, ref.version]

    def unit(self, decl: Declaration, split_version: str | None = None, feature_version: str | None = None) -> Unit:
        """What publishing *decl* publishes; a frame or model needs both versions, the others none."""
        if isinstance(decl, Split):
            return Unit(decl.stage, decl.name, decl.version)
        if isinstance(decl, FeatureView):
            return decl.unit
        if isinstance(decl, Frame | Model):
            if split_version is None or feature_version is None:
                raise TypeError(f"the unit of {decl.stage}/{decl.name} needs a split version and a feature version")
            return Unit.of_both(decl.stage, decl.name, split_version, feature_version)
        return Unit(decl.stage, decl.name)

    def units_of_feature_version(self, feature_version: str) -> tuple[Unit, ...]:
        """The units of its views, in order."""
        return tuple(self.view(ref).unit for ref in self.feature_versions[feature_version])

    def view_values(self, ref: ViewRef) -> tuple[str, ...]:
        """The value columns that *ref* means, in the order of the view's contract."""
        return tuple(column.name for column in self._values(ref))

    def _values(self, ref: ViewRef) -> tuple[Column, ...]:
        view = self.view(ref)
        keys = {*view.keys.keys, "event_timestamp"}
        return tuple(
            column
            for column in view.contract.columns()
            if column.name not in keys and (ref.columns is None or column.name in ref.columns)
        )

    def contract(
        self, decl: Source | Split | FeatureView | Frame, feature_version: str | None = None
    ) -> type[Contract]:
        """What a table of *decl* promises.

        Args:
            decl: A declaration of a table.
            feature_version: Of a frame: whose values it holds. Without one: the contract as written (spine and
                ``split``).
        """
        if isinstance(decl, Split):
            return self._split_contract(decl)
        if isinstance(decl, Frame) and feature_version is not None:
            return self._frame_contract(decl, feature_version)
        return decl.contract

    def _split_contract(self, split: Split) -> type[SplitContract]:
        source = self.sources[split.of]
        key = next(column for column in source.contract.columns() if column.name == split.key)
        part = Column(name=SPLIT, type="string", description="train, val or test", constraints={"isin": SPLITS})
        name = f"{split.of.title().replace('_', '')}Split"
        return SplitContract.of(
            name,
            (Column(name=key.name, type=key.type, description=key.description), part),
            unique=(split.key,),
            description=f"One row per {split.key} of {split.of}.",
            where=split.where,
        )

    def _frame_contract(self, frame: Frame, feature_version: str) -> type[FrameContract]:
        return FrameContract.of(
            frame.contract.__name__,
            self.frame_columns(frame, feature_version),
            unique=frame.contract.unique(),
            description=frame.contract.__doc__ or "",
            where=frame.contract.where,
        )

    def frame_columns(self, frame: Frame, feature_version: str) -> tuple[Column, ...]:
        """Columns of a frame: the spine's, the views' values in the order of the feature version, and ``split``.

        A value is nullable in a frame, because an entity may have none that is young enough.
        """
        written = frame.contract.columns()
        values = [value for ref in self.feature_versions[feature_version] for value in self._values(ref)]
        return (
            *(column for column in written if column.name != SPLIT),
            *(
                Column(name=v.name, type=v.type, nullable=True, description=v.description, constraints=v.constraints)
                for v in values
            ),
            *(column for column in written if column.name == SPLIT),
        )

    def spine_inputs(self, frame: Frame, feature_version: str) -> tuple[str, ...]:
        """Columns of the spine of *frame* that reach a model: categories that models take, and keys of views."""
        taken = {name for model in self.models.values() if model.frame == frame.name for name in model.categories}
        taken |= {key for ref in self.feature_versions[feature_version] for key in self.view(ref).keys.keys}
        return tuple(name for name in frame.contract.names() if name in taken - {SPLIT, frame.label})

    def known(self, frame: Frame, feature_version: str) -> Json:
        """What the leakage check of *frame* takes for known when: of every source of its spine and views."""
        views = [self.view(ref) for ref in self.feature_versions[feature_version]]
        names = sorted({*frame.parameters, *(name for view in views for name in view.parameters)})
        sources = {name: self.sources[name].knowledge for name in names if name in self.sources}
        inputs = list(self.spine_inputs(frame, feature_version))
        return {"sources": sources, "inputs": inputs, "moments": frame.moments}

    def expression(self, decl: Expressed) -> ir.Table:
        """What *decl* computes, on unbound tables named and typed as its parameters' contracts say.

        Raises:
            DeclarationError: The function fails, or gives no table.
        """
        return self._built(decl.function, [self._unbound(name) for name in decl.parameters], "the function")

    def _unbound(self, name: str) -> ir.Table:
        import ibis

        return ibis.table(self.sources[name].contract.ibis_schema(), name=name)

    def _built(self, function: Callable[..., ir.Table], tables: Sequence[ir.Table], what: str) -> ir.Table:
        """*function* of *tables*.

        Raises:
            DeclarationError: It fails, or gives no table.
        """
        import ibis.expr.types as ir

        try:
            expression = function(*tables)
        except DeclarationError as error:  # of a helper of this project, which knows the remedy
            raise type(error)(f"{what} cannot be built: {error.problem}", remedy=error.remedy) from error
        except Exception as error:  # whatever a person's function may raise
            raise DeclarationError(
                f"{what} cannot be built: {type(error).__name__}: {error} ({of_error(error, function)})",
                remedy="use columns that the contracts of its tables have, and operations that fit their types",
            ) from error
        if not isinstance(expression, ir.Table):
            raise DeclarationError(
                f"{what} gives {type(expression).__name__} and no table", remedy="return an Ibis table expression"
            )
        return expression

    def definition(self, decl: Declaration) -> Definition:
        """How *decl* is computed: ``expr1:…`` of its expression, or ``py1:…`` of its source."""
        if isinstance(decl, Split | FeatureView | Frame):
            return Definition(
                identity=expr1(self.expression(decl)),
                made_with=made_with(),
                version=decl.version if isinstance(decl, FeatureView) else None,
                keys=decl.keys.keys if isinstance(decl, FeatureView) else (),
                ttl=decl.ttl if isinstance(decl, FeatureView) else None,
                deterministic=decl.deterministic,
            )
        return Definition(identity=py1(decl.function, self.package, columns=self._asked_for(decl)))

    def meaning(self, split: Split) -> str:
        """What *split* computes, over the columns that it uses: one that its source gains changes nothing."""
        import ibis

        used = {path for found in self.lineage(split).values() for path in (*found.value, *found.rows)}
        tables = []
        for name in split.parameters:
            schema = self.sources[name].contract.ibis_schema()
            narrow = {column: kind for column, kind in schema.items() if f"{name}.{column}" in used}
            tables.append(ibis.table(narrow or dict(schema.items()), name=name))
        try:
            return expr1(self._built(split.function, tables, "the function"))
        except DeclarationError:  # it asks for all columns, and drops some
            return expr1(self.expression(split))

    def _asked_for(self, decl: Declaration) -> list[tuple[str, str]]:
        """Columns that the declaration of a Python function adds to what it computes."""
        if isinstance(decl, Source):
            return [(column.name, column.type) for column in decl.contract.columns()]
        if isinstance(decl, Model):
            frame = self.frames[decl.frame]
            asked = [*((name, "category") for name in decl.categories), (frame.label, "label")]
            if frame.positive is not None:
                asked.append((repr(frame.positive), "positive"))
            return [*asked, *((name, "trusted") for name in decl.trusted)]
        return []

    def lineage(self, decl: Expressed) -> Mapping[str, ColumnLineage]:
        """For each column of *decl*: the source columns it is made from, and those that say which rows there are."""
        from ml_assets.lib.declare.column_lineage import lineage

        return lineage(self.expression(decl))

    def rules_hash(self, decl: Declaration, feature_version: str | None = None) -> str:
        """Hash of all that *decl* is judged by.

        Raises:
            DeclarationError: As `judgement`.
        """
        return hash_of(self.judgement(decl, feature_version))

    def judgement(self, decl: Declaration, feature_version: str | None = None) -> dict[str, Json]:
        """All that *decl* is judged by: contract, rules, floors, the numbers of the built-in checks.

        A frame's depends on its feature version.

        Raises:
            DeclarationError: A rule cannot be built on the table's columns, or has no identity.
        """
        if isinstance(decl, Model):
            return {"floors": dict(decl.floors), "builtin": builtin.numbers(decl.stage)}
        assert isinstance(decl, Source | Split | FeatureView | Frame)
        contract = self.contract(decl, feature_version)
        return {
            "contract": contract.rules_json(),
            "rules": [self._rule(rule, contract) for rule in decl.rules],
            "builtin": builtin.numbers(decl.stage),
            **({"known": decl.knowledge} if isinstance(decl, Source) else {}),
            **({"known": self.known(decl, feature_version)} if isinstance(decl, Frame) and feature_version else {}),
        }

    def rules_of(self, unit: Unit) -> str | None:
        """Hash of all that *unit* is judged by as it is declared now; ``None`` if it is not declared any more."""
        if unit not in self._rules_of:
            self._rules_of[unit] = self._find_rules(unit)
        return self._rules_of[unit]

    @cached_property
    def _rules_of(self) -> dict[Unit, str | None]:
        return {}

    def _find_rules(self, unit: Unit) -> str | None:
        declaration: Declaration | None = None
        feature_version = None
        if unit.stage == "sources":
            declaration = self.sources.get(unit.name)
        elif unit.stage == "splits":
            declaration = self.splits.get(unit.version)
        elif unit.stage == "features":
            declaration = self.views.get((unit.name, int(unit.version)))
        elif unit.stage == "frames" and unit.both[1] in self.feature_versions:
            declaration, feature_version = self.frames.get(unit.name), unit.both[1]
        return self.rules_hash(declaration, feature_version) if declaration else None

    def _rule(self, rule: Rule, contract: type[Contract]) -> Json:
        """A rule on a table of *contract* as JSON. The Ibis version is left out: a new release changes no rule."""
        import ibis

        from ml_assets.lib.declare.meaning import require_one_meaning

        tables = [ibis.table(contract.ibis_schema(), name="judged"), *(self._unbound(name) for name in rule.upstream)]
        what = f"rule {rule.name!r} ({rule.where})"
        failing = self._built(rule.failing, tables, what)
        try:
            identity = expr1(failing)
            require_one_meaning(failing)
        except (NotIdentifiable, AmbiguousMeaning) as error:
            raise type(error)(f"{what}: {error.problem}", remedy=error.remedy) from error
        return {"name": rule.name, "severity": rule.severity, "failing": identity}
