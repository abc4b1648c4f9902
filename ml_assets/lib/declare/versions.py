"""The partition keys of ``versions.py``, and its references to views: ``"route@1"``, ``"route@1[distance]"``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any
from unicodedata import normalize

from ml_assets.lib.core.errors import DeclarationError, DuplicateName
from ml_assets.lib.core.names import identifier

_REFERENCE = re.compile(r"(?P<name>[a-z][a-z0-9_]*)@(?P<version>[1-9][0-9]*)(?:\[(?P<columns>[^\[\]]*)\])?")
_VERSION = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9]|_(?=[-A-Za-z0-9]))*")  # "__" stands between the two keys of a unit


@dataclass(frozen=True, slots=True, order=True)
class ViewRef:
    """A feature view at a version, optionally with chosen value columns.

    Attributes:
        name: Name of the view.
        version: Its version, from 1.
        columns: The chosen value columns; ``None`` means all of them.
    """

    name: str
    version: int
    columns: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.view if self.columns is None else f"{self.view}[{', '.join(self.columns)}]"

    @property
    def view(self) -> str:
        """The view without the choice of columns: ``route@1``."""
        return f"{self.name}@{self.version}"

    @property
    def whole(self) -> ViewRef:
        """The view with all of its values."""
        return ViewRef(self.name, self.version)

    @classmethod
    def parse(cls, text: str) -> ViewRef:
        """Read what ``str(ref)`` writes; blanks around column names are free.

        Raises:
            DeclarationError: *text* is not a reference, chooses nothing, or chooses one column twice.
        """
        match = _REFERENCE.fullmatch(normalize("NFKC", text).strip())  # as Python reads a name of a contract
        if match is None:
            raise _unreadable(text)
        columns = None
        if match["columns"] is not None:
            columns = tuple(column.strip() for column in match["columns"].split(","))
            if len(set(columns)) < len(columns) or not all(map(str.isidentifier, columns)):
                raise _unreadable(text)
        return cls(match["name"], int(match["version"]), columns)


def _unreadable(text: str) -> DeclarationError:
    return DeclarationError(
        f"{text!r} is not a feature view at a version",
        remedy="write 'view@version' or 'view@version[column, …]' with each column once, as in 'route@1[distance]'",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What ``versions.py`` says.

    Attributes:
        splits: Split versions, in order.
        features: Views per feature version, in order.
        mistakes: What is wrong with it by itself.
    """

    splits: tuple[str, ...]
    features: Mapping[str, tuple[ViewRef, ...]]
    mistakes: tuple[DeclarationError, ...]


def read_versions(module: ModuleType) -> Versions:
    """Read ``SPLIT_VERSIONS`` and ``FEATURE_VERSIONS`` of *module*; what cannot be read is left out and told."""
    splits: Any = getattr(module, "SPLIT_VERSIONS", None)
    features: Any = getattr(module, "FEATURE_VERSIONS", None)
    wrong: list[DeclarationError] = []
    if not _is_texts(splits):
        wrong.append(_malformed(module, "SPLIT_VERSIONS", 'SPLIT_VERSIONS = ("hash-s42", …)'))
        splits = ()
    if not isinstance(features, Mapping):
        wrong.append(_malformed(module, "FEATURE_VERSIONS", 'FEATURE_VERSIONS = {"v1": ("route@1", …)}'))
        features = {}
    wrong += [*_bad_keys(module, "split version", splits), *_bad_keys(module, "feature version", features)]
    read: dict[str, tuple[ViewRef, ...]] = {}
    for key, references in features.items():
        if not isinstance(key, str):
            continue  # told already
        if not _is_texts(references):
            wrong.append(_malformed(module, str(key), f'"{key}": ("route@1", …)'))
            continue
        read[key], unreadable = _references(module, references)
        wrong += unreadable
    return Versions(splits=tuple(splits), features=MappingProxyType(read), mistakes=tuple(wrong))


def is_version(text: object) -> bool:
    """Whether *text* can be a partition key: Dagster, lakeFS, paths and tables must all be able to spell it."""
    return isinstance(text, str) and _VERSION.fullmatch(text) is not None


def where_written(module: ModuleType, text: str) -> str:
    """``file:line`` of the first line of *module* that has *text* in quotes, or that of its first line."""
    path = Path(module.__file__ or module.__name__)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = (number for number, line in enumerate(lines, 1) if f'"{text}"' in line or f"'{text}'" in line)
    return f"{'/'.join(path.parts[-module.__name__.count('.') - 1 :])}:{next(found, 1)}"


def _references(module: ModuleType, texts: Sequence[str]) -> tuple[tuple[ViewRef, ...], list[DeclarationError]]:
    """The references that *texts* are, and what is wrong with those that are none or come twice."""
    references: list[ViewRef] = []
    wrong: list[DeclarationError] = []
    for text in texts:
        try:
            reference = ViewRef.parse(text)
        except DeclarationError as error:
            wrong.append(DeclarationError(f"{where_written(module, text)}: {error.problem}", remedy=error.remedy))
            continue
        if reference.name in {other.name for other in references}:
            wrong.append(
                DuplicateName(
                    f"{where_written(module, text)}: view {reference.name} is twice in one feature version",
                    remedy="name each view once, with all columns wanted",
                )
            )
            continue
        references.append(reference)
    return tuple(references), wrong


def _bad_keys(module: ModuleType, what: str, keys: Iterable[str]) -> Iterator[DeclarationError]:
    """Keys that cannot be partition keys, come twice, or differ only where a table name does not."""
    seen: dict[str, str] = {}
    for key in keys:
        where = where_written(module, str(key))
        if not is_version(key):
            yield DeclarationError(
                f"{where}: {what} {key!r} cannot be a partition key",
                remedy="use letters, digits, '-' and single '_' between them only: no '|', '[', ']', ',' or '...'",
            )
            continue
        other = seen.setdefault(identifier(key).lower(), key)
        if other != key:
            yield DuplicateName(
                f"{where}: {what}s {other!r} and {key!r} map to one table name",
                remedy="choose keys that differ in more than '-' and '_'",
            )
    if isinstance(keys, Sequence) and len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if list(keys).count(key) > 1})
        yield DuplicateName(
            f"{where_written(module, twice[0])}: {what} {', '.join(twice)} is listed twice", remedy="list it once"
        )


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(item, str) for item in value)


def _malformed(module: ModuleType, name: str, example: str) -> DeclarationError:
    return DeclarationError(
        f"{where_written(module, name)}: {name} is missing or is no tuple of texts", remedy=f"write {example}"
    )
