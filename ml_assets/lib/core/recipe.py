"""What determines an output, as a hash: definition, inputs, parameters, seed, semantics. Not who, when, where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import rfc8785

Json = Any
"""What RFC 8785 can write: ``None``, ``bool``, ``int`` below 2**53, finite ``float``, ``str``, lists, dicts of them."""

SEMANTICS: Final[Mapping[str, int]] = {"ingest": 1, "join": 1, "digest": 1}
"""Numbers of the machinery's own behaviour: one is raised when a bug fix there changes results."""

EXPRESSIONS: Final = {"expressions": 2}
"""The number of what engines make of expressions; part of the recipe of those whose operations have changed since 1."""

MODELS: Final = {"models": 2}
"""The number of how models are trained and scored; part of the recipe of those for which it has changed since 1."""


def canonical_json(value: Json) -> bytes:
    """*value* as RFC 8785 canonical JSON: equal values give equal bytes on every machine."""
    return rfc8785.dumps(value)


def hash_of(value: Json) -> str:
    """SHA-256 of the canonical JSON of *value*, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """How an output is computed, as one identity that changes when the computation does.

    Attributes:
        identity: ``expr1:…`` of an Ibis expression, ``py1:…`` of Python source, or another prefixed hash.
        made_with: Library whose internals the identity depends on (``ibis 12.0.0``); recorded, outside the recipe.
        version: Version of a feature view; ``None`` elsewhere.
        keys: Entity or join keys, in the declared order.
        ttl: Oldest age at which a value still counts; ``None`` means any age.
        deterministic: False where the declaration opted out: a rebuild is compared with a tolerance then.
    """

    identity: str
    made_with: str = ""
    version: int | None = None
    keys: tuple[str, ...] = ()
    ttl: timedelta | None = None
    deterministic: bool = True

    def as_json(self) -> dict[str, Json]:
        """All of it as JSON; ``ttl`` in whole microseconds."""
        return {
            "identity": self.identity,
            "made_with": self.made_with,
            "version": self.version,
            "keys": list(self.keys),
            "ttl": None if self.ttl is None else self.ttl // timedelta(microseconds=1),
            "deterministic": self.deterministic,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Definition:
        """Read what `as_json` writes."""
        return cls(
            identity=value["identity"],
            made_with=value["made_with"],
            version=value["version"],
            keys=tuple(value["keys"]),
            ttl=None if value["ttl"] is None else timedelta(microseconds=value["ttl"]),
            deterministic=value["deterministic"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRef:
    """One input as it was read: enough to say later whether it is still the same.

    Attributes:
        unit: Unit of the input, as text.
        digest: Content digest of its output.
        recipe: Recipe it was made by; recorded, not compared (equal rows are equal, however made).
        definition: Identity of its definition.
        keys: Its keys.
        ttl: Its time to live in microseconds, or ``None``.
    """

    unit: str
    digest: str
    recipe: str
    definition: str
    keys: tuple[str, ...]
    ttl: int | None

    @property
    def essence(self) -> dict[str, Json]:
        """What the output depends on: unit, digest, definition, keys, ttl."""
        return {
            "unit": self.unit,
            "digest": self.digest,
            "definition": self.definition,
            "keys": list(self.keys),
            "ttl": self.ttl,
        }

    def as_json(self) -> dict[str, Json]:
        """The essence and the recipe."""
        return {**self.essence, "recipe": self.recipe}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> InputRef:
        """Read what `as_json` writes."""
        return cls(
            unit=value["unit"],
            digest=value["digest"],
            recipe=value["recipe"],
            definition=value["definition"],
            keys=tuple(value["keys"]),
            ttl=value["ttl"],
        )


def recipe(
    definition: Definition,
    inputs: Mapping[str, InputRef],
    *,
    parameters: Mapping[str, Json],
    seed: int | None,
    libraries: Mapping[str, str],
    semantics: Mapping[str, int] | None = None,
) -> str:
    """Hash of all that determines an output. Equal recipes mean equal rows.

    Args:
        definition: The computation; ``made_with`` is left out, because a library's release changes no rows by itself.
        inputs: What was read, by the name under which the computation sees it.
        parameters: Declared parameters, with file hashes for a source.
        seed: Seed of a split or model.
        libraries: Versions of libraries on which the result of a Python declaration depends.
        semantics: Numbers of the machinery's behaviour on which the result depends; those of `SEMANTICS` unless given.
    """
    return hash_of(
        {
            "definition": {k: v for k, v in definition.as_json().items() if k != "made_with"},
            "inputs": {name: ref.essence for name, ref in inputs.items()},
            "parameters": dict(parameters),
            "seed": seed,
            "libraries": dict(libraries),
            "semantics": dict(SEMANTICS if semantics is None else semantics),
        }
    )
