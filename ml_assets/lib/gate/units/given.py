"""What a person gave for what is published, a file or parameters, in place of what is declared: it stays the input.

*A file of a source.* The recipe is that of the given file, by its recorded hash; the file itself is needed only where
the table must be computed again. That ends when somebody gives another file or asks for the declared one, and when the
declaration names another main file: who edits it names it. Meanwhile the content of the declared main file does not
matter. Where the table must be computed again (its function, its contract's columns, a library or another declared file
changed) and the given file is gone or holds something else, nothing is taken in its place: that is an error which names
the change, and the published table stays.

*Parameters of a model.* They stay also when the model is trained again because its frame, seed or a library changed.
That ends when somebody gives others (those not named are as declared then) or asks for the declared ones, and when the
declaration's parameters or function change.

Publications of earlier versions do not record what was given. There, a file of another name than the declared one was
given; of one with the declared name and another content nobody can tell, and the declared file counts as changed, as
parameters count as edited.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_assets.lib.core.errors import ConfigError, MLAssetsError
from ml_assets.lib.core.recipe import Json, hash_of
from ml_assets.lib.gate.causes import GIVEN, MADE_FROM

if TYPE_CHECKING:
    from ml_assets.lib.core.names import Unit
    from ml_assets.lib.core.publication import Publication
    from ml_assets.lib.declare.declarations import Model, Source

PATH: Final = "path"
PARAMETERS: Final = "parameters"
APPEND: Final = "append"
"""The field of a publication that holds the batches of a source that grows, and the sum of all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFile:
    """A file that was given in place of the declared main file of a source.

    Attributes:
        path: Where it was; only its name where the publication does not record more.
        sha256: Hash of what it held.
        instead_of: The declared main file at that time, as text; ``None`` where the publication does not record it.
    """

    path: Path
    sha256: str
    instead_of: str | None

    def as_json(self) -> dict[str, Json]:
        """As a publication records it; the hash is among those of its files."""
        return {PATH: str(self.path), "instead_of": self.instead_of}


def recorded_file(source: Source, published: Publication) -> GivenFile | None:
    """The file that was given for *published*; ``None`` where it was made from the declared one.

    Where that is not recorded, a file of another name than the declared one was given.
    """
    label = next(iter(source.files))
    main = next((file for file in published.extra["ingest"]["files"] if file["label"] == label), None)
    if main is None:
        return None
    given = published.extra.get(GIVEN)
    if given:
        return GivenFile(path=Path(given[PATH]), sha256=main["sha256"], instead_of=given["instead_of"])
    if MADE_FROM in published.extra or main["name"] == _name_of(source, label):
        return None
    return GivenFile(path=Path(main["name"]), sha256=main["sha256"], instead_of=None)


def kept_file(source: Source, published: Publication) -> GivenFile | None:
    """The given file that stays the input of *source*; ``None`` where the declaration names another one since.

    Raises:
        ConfigError: What is published grew by batches, so that no one file holds it.
    """
    if APPEND in published.extra:
        raise ConfigError(
            f"{published.unit} is published as a source that grows, of {len(published.extra[APPEND]['batches'])} "
            f"batches, and {source.where} replaces it",
            remedy=f"take back append=True, or name the file that replaces all of them: "
            f"`ml-assets materialize {published.unit} --path FILE`, without --path for the declared one",
        )
    file = recorded_file(source, published)
    declared = str(source.files[next(iter(source.files))])
    return file if file and file.instead_of in (None, declared) else None


def no_given_file(unit: Unit, path: Path, why: str) -> ConfigError:
    """The error where a given file is needed and is not what it was."""
    return ConfigError(
        f"{unit} is published from {path}, which was given by --path and {why}",
        remedy=f"name the file: `ml-assets materialize {unit} --path FILE`, without --path for the declared "
        "one; until then the published table stays",
    )


def is_declared(source: Source, path: Path) -> bool:
    """Whether *path* is the declared main file itself."""
    try:
        return source.files[next(iter(source.files))].locate().resolve() == path.resolve()
    except MLAssetsError:
        return False


def _name_of(source: Source, label: str) -> str:
    """The name of a declared file, also where it is not there."""
    file = source.files[label]
    try:
        return file.locate().name
    except MLAssetsError:
        return Path(file.path).name


def given_parameters(model: Model, parameters: Mapping[str, Json]) -> dict[str, Json] | None:
    """What a publication records of *parameters* that differ from the declared ones; ``None`` where none does.

    They are kept as JSON text, since canonical JSON does not tell 1.0 from 1.
    """
    other = {name: value for name, value in parameters.items() if value != model.params[name]}
    declared = hash_of(dict(model.params))
    return {PARAMETERS: json.dumps(other, sort_keys=True), "instead_of": declared} if other else None


def kept_parameters(model: Model, identity: str, published: Publication) -> dict[str, Json]:
    """Parameters that were given for *published* and stay: none where the declaration has changed since.

    Args:
        model: The declaration.
        identity: Of its definition.
        published: What is published.
    """
    given = published.extra.get(GIVEN)
    if not given or published.definition.identity != identity or given["instead_of"] != hash_of(dict(model.params)):
        return {}
    found: dict[str, Json] = json.loads(given[PARAMETERS])
    return found
