"""What the gate needs to know of one unit: all that differs between a source, a split, a view, a frame, a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.lib.core.names import Unit
from ml_assets.lib.core.publication import Output, Publication, Verdict
from ml_assets.lib.core.recipe import SEMANTICS, Definition, InputRef, Json, recipe
from ml_assets.lib.core.refs import Branch, Commit

if TYPE_CHECKING:
    from ml_assets.lib.engines.protocol import Engine
    from ml_assets.lib.gate.outcome import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at writing a unit.

    Attributes:
        number: Which try of the run, from 1.
        started: When it began (UTC).
        pin: The commit at which inputs are read.
        inputs: Publications of the inputs at the pin, by name.
        branch: Where to write.
        recipe: Recipe of what is written.
        run: On whose behalf.
    """

    number: int
    started: datetime
    pin: Commit
    inputs: Mapping[str, Publication]
    branch: Branch
    recipe: str
    run: Run

    @property
    def snapshot_properties(self) -> dict[str, str]:
        """What every Iceberg snapshot of this attempt carries."""
        return {"ml_assets.run": self.run.id, "ml_assets.recipe": self.recipe}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What an audit saw and said.

    Attributes:
        outputs: The unit's tables or objects as they lie at the audited commit.
        verdict: One result per check that its declaration has: contract, those of its kind, rules.
    """

    outputs: tuple[Output, ...]
    verdict: Verdict


@dataclass(kw_only=True)
class Work(ABC):
    """One unit, ready to be materialized. Holds nothing that outlives the materialization.

    Attributes:
        unit: The unit.
        assets: Pairs of asset key and partition that mean it.
        inputs: Units it reads, by the name under which its computation sees them.
        definition: How it is computed.
        rules: Hash of all that it is judged by.
        judgement: The same, in parts.
        input_rules: For each input that is declared, the hash of all that it must have been judged by.
        parameters: Declared parameters and file hashes; part of the recipe.
        seed: Seed; part of the recipe.
        libraries: Versions on which the result depends; part of the recipe.
        keeps_pin: Whether the pin must survive garbage collection (a frame is read there for ever).
        allow_stale: Whether inputs may be older than their own inputs.
        keep: Whether what a person gave by ``path`` or parameters for what is published stays the input.
        given: What a person gave for this one in place of what is declared; recorded in the publication.
    """

    unit: Unit
    assets: tuple[tuple[str, str | None], ...]
    inputs: Mapping[str, Unit]
    definition: Definition
    rules: str
    judgement: Mapping[str, Json] = field(default_factory=dict)
    input_rules: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Json] = field(default_factory=dict)
    seed: int | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    keeps_pin: bool = False
    allow_stale: bool = False
    keep: bool = False
    given: Mapping[str, Json] | None = None

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What computes and judges the unit, where it is computed by one.

        Raises:
            ConfigError: Its declaration names an engine that cannot be used here.
        """

    def recipe(self, inputs: Mapping[str, InputRef], published: Publication | None) -> str:
        """Hash of all that determines the output: over *inputs*, and over *published* where that is added to."""
        return recipe(self.definition, inputs, parameters=self.parameters, seed=self.seed, libraries=self.libraries)

    def follow(self, published: Publication | None) -> None:  # noqa: B027  (most units are only what is declared)
        """With `keep`: take over from what is *published* what a person gave for it. Comes before `recipe`; repeatable.

        Raises:
            ConfigError: What was given is needed again and is not there any more.
        """

    def same_given(self, published: Publication) -> bool:
        """Whether *published* records what was given for this one: if not, it is recorded anew, and not recomputed."""
        return True

    def made_from(self) -> dict[str, Json]:
        """What determines the output beside definition and inputs, to tell later which of it changed."""
        return {
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "libraries": dict(self.libraries),
            "semantics": dict(SEMANTICS),
        }

    def recorded(self, published: Publication) -> dict[str, Json]:
        """As much of `made_from` as can be read from a publication that does not record it."""
        return {}

    def admit(self, published: Publication | None) -> None:  # noqa: B027  (most units may change their definition)
        """Refuse a definition that may not follow the *published* one.

        Raises:
            VersionNotBumped: A view, split or feature version changed under its name.
        """

    @abstractmethod
    def write(self, attempt: Attempt) -> None:
        """Compute the unit from its inputs at the pin and write it on the branch, uncommitted.

        Raises:
            ContractError: The data cannot even be brought into its contract's columns; nothing is published.
        """

    @abstractmethod
    def audit(self, at: Commit, pin: Commit) -> Judged:
        """Judge the unit as it lies at the commit *at*, reading inputs at *pin*. Writes nothing to the lake."""

    def recall(self, publication: Publication) -> None:  # noqa: B027  (most units have nothing to recall)
        """Take over from *publication* what an audit without a write must know of the write."""

    def settle(self, publication: Publication, commit: Commit) -> Mapping[str, str]:
        """Bring about the effects outside the data. Idempotent; run after every publish and every unchanged run."""
        return {}

    def abandon(self) -> None:  # noqa: B027  (only models act outside the lake)
        """Undo effects outside the lake of an attempt that will not be published."""

    def extra(self) -> Mapping[str, Json]:
        """Facts of the attempt that belong into the publication beside the common fields."""
        return {}
