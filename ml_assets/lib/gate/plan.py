"""From declarations to units: which unit an asset's partition means, and the work that makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.recipe import EXPRESSIONS, MODELS, SEMANTICS, hash_of
from ml_assets.lib.declare import checks as builtin
from ml_assets.lib.declare.declarations import Declaration, FeatureView, Frame, Model, Source, Split
from ml_assets.lib.declare.meaning import has_new_meaning
from ml_assets.lib.declare.models import is_trained_otherwise
from ml_assets.lib.declare.params import adopt

if TYPE_CHECKING:
    from ml_assets.lib.core.recipe import Json
    from ml_assets.lib.declare.registry import Declarations
    from ml_assets.lib.gate.systems import Systems
    from ml_assets.lib.gate.units.frames import FrameWork
    from ml_assets.lib.gate.units.models import ModelWork
    from ml_assets.lib.gate.units.sources import SourceWork
    from ml_assets.lib.gate.units.tables import ExpressionWork
    from ml_assets.lib.gate.work import Work


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition of an asset: its split version, its feature version, both or neither."""

    split_version: str | None = None
    feature_version: str | None = None

    @property
    def key(self) -> str | None:
        """Dagster's partition key: dimensions in order of their names, ``v3|hash-s42``."""
        parts = [part for part in (self.feature_version, self.split_version) if part is not None]
        return "|".join(parts) or None


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One asset: all versions of one dataset of a stage.

    Attributes:
        stage: Its stage, which is its group.
        name: Its name within the stage.
        declarations: What it consists of: one declaration, or one per version.
        checks: Names of its checks, the same for all partitions.
        by_split: Whether it is partitioned by split version.
        by_feature: Whether it is partitioned by feature version.
    """

    stage: str
    name: str
    declarations: tuple[Declaration, ...]
    checks: tuple[str, ...]
    by_split: bool = False
    by_feature: bool = False

    @property
    def key(self) -> str:
        """``<stage>/<name>``."""
        return f"{self.stage}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is declared, as assets with partitions and the units that they mean. Needs no lake."""

    declarations: Declarations
    assets: Mapping[str, Asset] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "assets", {asset.key: asset for asset in _assets(self.declarations)})

    def partitions(self, asset: Asset) -> list[Partition]:
        """Every partition of *asset*, in the order of the declared versions."""
        splits = self.declarations.split_versions if asset.by_split else (None,)
        features = tuple(self.declarations.feature_versions) if asset.by_feature else (None,)
        return [Partition(split_version=s, feature_version=f) for f in features for s in splits]

    def declaration(self, asset: Asset, partition: Partition) -> Declaration | None:
        """The declaration behind a partition; ``None`` where the version does not contain the dataset."""
        if asset.stage == "splits":
            return next(
                (d for d in asset.declarations if isinstance(d, Split) and d.version == partition.split_version), None
            )
        if asset.stage == "features":
            refs = self.declarations.feature_versions[partition.feature_version or ""]
            return next((self.declarations.view(ref) for ref in refs if ref.name == asset.name), None)
        if isinstance(found := asset.declarations[0], Frame | Model) and not self._split_applies(found, partition):
            return None
        return asset.declarations[0]

    def _split_applies(self, declaration: Frame | Model, partition: Partition) -> bool:
        """Whether the split version splits the source that the frame is made from."""
        frame = declaration if isinstance(declaration, Frame) else self.declarations.frames[declaration.frame]
        split = self.declarations.splits.get(partition.split_version or "")
        return split is not None and split.of == frame.split

    def unit(self, asset: Asset, partition: Partition) -> Unit | None:
        """The unit that a partition means, if any."""
        declaration = self.declaration(asset, partition)
        if declaration is None:
            return None
        return self.declarations.unit(declaration, partition.split_version, partition.feature_version)

    def siblings(self, asset: Asset, partition: Partition) -> list[Partition]:
        """The other partitions that mean the same unit."""
        unit = self.unit(asset, partition)
        return [
            other for other in self.partitions(asset) if other != partition and unit and self.unit(asset, other) == unit
        ]

    def work(
        self,
        systems: Systems,
        asset: Asset,
        partition: Partition,
        *,
        parameters: Mapping[str, Json] | None = None,
        path: Path | None = None,
        keep: bool = False,
    ) -> Work | None:
        """The work that makes a partition; ``None`` where the version does not contain the dataset.

        Args:
            systems: Outside systems.
            asset: The asset.
            partition: Which of its partitions.
            parameters: Of a model: values to use instead of declared ones.
            path: Of a source: the file to read instead of its main one.
            keep: Where neither is given: whether what was given for what is published stays the input, as after an
                edit; else it is made from what is declared.

        Raises:
            ConfigError: A parameter that the model does not declare, or of another kind.
        """
        declaration, unit = self.declaration(asset, partition), self.unit(asset, partition)
        if declaration is None or unit is None:
            return None
        means = tuple((asset.key, other.key) for other in [partition, *self.siblings(asset, partition)])
        common = {
            "unit": unit,
            "assets": tuple(sorted(means, key=str)),
            "definition": self.declarations.definition(declaration),
            "semantics": self._semantics(declaration, partition),
            "allow_stale": declaration.allow_stale,
            "systems": systems,
            "keep": keep and path is None and not parameters,
            **self._judgement(declaration, partition),
        }
        if isinstance(declaration, Source):
            return self._source(declaration, path, common)
        if isinstance(declaration, Split | FeatureView):
            return self._expression(declaration, common)
        if isinstance(declaration, Frame):
            return self._frame(declaration, systems, partition, common)
        if isinstance(declaration, Model):
            return self._model(declaration, systems, partition, dict(parameters or {}), common)
        raise TypeError(f"{declaration!r} is no declaration of a stage")

    def _inputs(self, units: Mapping[str, Unit]) -> dict[str, Any]:
        """The inputs of a unit, and by what each must have been judged."""
        rules = {name: found for name, unit in units.items() if (found := self.declarations.rules_of(unit))}
        return {"inputs": units, "input_rules": rules}

    def _semantics(self, declaration: Declaration, partition: Partition) -> dict[str, int]:
        """Numbers of the machinery's behaviour; also that of what a mended fault concerns, so that it is made anew."""
        if isinstance(declaration, Split | FeatureView | Frame) and has_new_meaning(
            self.declarations.expression(declaration)
        ):
            return {**SEMANTICS, **EXPRESSIONS}
        if isinstance(declaration, Model) and is_trained_otherwise(
            self.declarations, declaration, partition.feature_version or ""
        ):
            return {**SEMANTICS, **MODELS}
        return dict(SEMANTICS)

    def _judgement(self, declaration: Declaration, partition: Partition) -> dict[str, object]:
        """What the unit is judged by, in parts and as a hash."""
        feature_version = partition.feature_version if isinstance(declaration, Frame) else None
        judgement = self.declarations.judgement(declaration, feature_version)
        return {"judgement": judgement, "rules": hash_of(judgement)}

    def _source(self, source: Source, path: Path | None, common: dict[str, object]) -> SourceWork:
        from ml_assets.lib.gate.units.appends import AppendWork
        from ml_assets.lib.gate.units.sources import SourceWork
        from ml_assets.lib.gate.units.tables import library_versions

        kind = AppendWork if source.append else SourceWork
        return kind(
            **common,  # type: ignore[arg-type]  # one dict of mixed fields, checked by the dataclasses' own names
            inputs={},
            parameters=_layout(source.partition_by),
            libraries=library_versions(source.libraries),
            contract=source.contract,
            table_rules=source.rules,
            declaration=source,
            path=path,
        )

    def _expression(self, declaration: Split | FeatureView, common: dict[str, object]) -> ExpressionWork:
        from ml_assets.lib.gate.units.tables import ExpressionWork

        return ExpressionWork(
            **common,  # type: ignore[arg-type]  # as above
            **self._inputs({name: Unit("sources", name) for name in declaration.parameters}),
            parameters=_layout(declaration.partition_by) if isinstance(declaration, FeatureView) else {},
            seed=declaration.seed if isinstance(declaration, Split) else None,
            contract=self.declarations.contract(declaration),
            table_rules=declaration.rules,
            declaration=declaration,
        )

    def _frame(self, frame: Frame, systems: Systems, partition: Partition, common: dict[str, object]) -> FrameWork:
        from ml_assets.lib.gate.units.frames import FrameBuilder, FrameWork

        feature_version = partition.feature_version or ""
        builder = FrameBuilder(
            systems=systems, frame=frame, split_version=partition.split_version or "", feature_version=feature_version
        )
        return FrameWork(
            **common,  # type: ignore[arg-type]  # as above
            **self._inputs(builder.inputs),
            parameters=builder.parameters,
            builder=builder,
        )

    def _model(
        self, model: Model, systems: Systems, partition: Partition, given: dict[str, Json], common: dict[str, object]
    ) -> ModelWork:
        from ml_assets.lib.gate.units.frames import FrameBuilder
        from ml_assets.lib.gate.units.models import ModelWork
        from ml_assets.lib.gate.units.tables import library_versions

        frame = self.declarations.frames[model.frame]
        builder = FrameBuilder(
            systems=systems,
            frame=frame,
            split_version=partition.split_version or "",
            feature_version=partition.feature_version or "",
        )
        return ModelWork(
            **common,  # type: ignore[arg-type]  # as above
            **self._inputs({f"frames/{frame.name}": builder.unit}),
            parameters=adopt(f"models/{model.name}", model.params, given),
            seed=model.seed,
            libraries=library_versions(model.libraries),
            model=model,
            builder=builder,
            partition=partition.key,
        )


def _assets(declarations: Declarations) -> Iterator[Asset]:
    """The assets, in the order in which data flows."""
    for source in declarations.sources.values():
        yield Asset(stage="sources", name=source.name, declarations=(source,), checks=_checks((source,)))
    for name in dict.fromkeys(split.of for split in declarations.splits.values()):
        splits = tuple(split for split in declarations.splits.values() if split.of == name)
        yield Asset(stage="splits", name=name, declarations=splits, checks=_checks(splits), by_split=True)
    for name in dict.fromkeys(view.name for view in declarations.views.values()):
        views = tuple(view for view in declarations.views.values() if view.name == name)
        yield Asset(stage="features", name=name, declarations=views, checks=_checks(views), by_feature=True)
    for frame in declarations.frames.values():
        checks = _checks((frame,))
        yield Asset(
            stage="frames", name=frame.name, declarations=(frame,), checks=checks, by_split=True, by_feature=True
        )
    for model in declarations.models.values():
        checks = _checks((model,))
        yield Asset(
            stage="models", name=model.name, declarations=(model,), checks=checks, by_split=True, by_feature=True
        )


def _layout(partition_by: tuple[str, ...]) -> dict[str, Json]:
    """What determines the files of a table but not its rows; nothing where nothing was said."""
    return {"partition_by": list(partition_by)} if partition_by else {}


def _checks(declarations: tuple[Declaration, ...]) -> tuple[str, ...]:
    """The built-in checks of the stage, then every rule of any version: the same for all partitions of an asset."""
    rules = dict.fromkeys(rule.name for declaration in declarations for rule in declaration.rules)
    return *builtin.names(declarations[0].stage), *rules
