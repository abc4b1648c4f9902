"""``versions.lock``: what each version was when it was locked, so that it never comes to mean something else.

It covers views, feature versions (which columns of which views) and split versions. The file is committed beside the
declarations and needs no lake. An entry is never dropped: a retired version may not come back with another content.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_assets.lib.core.errors import DeclarationError, VersionNotBumped
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.declarations import FeatureView, Split
from ml_assets.lib.declare.registry import Declarations
from ml_assets.lib.declare.versions import where_written

FILE: Final = "versions.lock"
FORMAT: Final = 1

VIEWS: Final = "views"
FEATURE_VERSIONS: Final = "feature_versions"
SPLIT_VERSIONS: Final = "split_versions"
SECTIONS: Final = (VIEWS, FEATURE_VERSIONS, SPLIT_VERSIONS)
"""Sections of the file. One that a file of an earlier version lacks has no entries: they are not locked yet."""

_MEANING: Final[Mapping[str, str]] = {
    "expr1": "expression",
    "keys": "keys",
    "ttl_us": "ttl",
    "columns": "names or types",
    "views": "views or columns",
    "of": "source",
    "key": "key",
    "seed": "seed",
}
"""Parts of an entry that a version stands for, as a person calls them."""

Locked = dict[str, dict[str, dict[str, Json]]]
"""Entries by section and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """A version as it is declared now.

    Attributes:
        section: Section of the lock.
        name: ``view@version``, or the version itself.
        place: Where it is declared, as errors begin.
        entry: What it is.
        bump: How a change is declared instead.
        in_use: Whether it is in some feature version, or one itself.
    """

    section: str
    name: str
    place: str
    entry: Mapping[str, Json]
    bump: str
    in_use: bool = True


def path_of(declarations: Declarations) -> Path:
    """Where the lock of *declarations* lies: in their package's folder."""
    (folder,) = importlib.import_module(declarations.package).__path__
    return Path(folder) / FILE


def check(declarations: Declarations) -> list[VersionNotBumped]:
    """Versions in use that are not what they were locked as; those that are not locked yet are none of them."""
    locked = _read(path_of(declarations))
    found = ((now, locked[now.section].get(now.name)) for now in _versions(declarations) if now.in_use)
    return [_not_bumped(now, then) for now, then in found if then is not None and _changed(now.entry, then)]


def check_view(declarations: Declarations, view: FeatureView) -> None:
    """Whether *view* is what its version was locked as; one that is not locked yet is.

    Raises:
        VersionNotBumped: It is not.
    """
    _check_one(declarations, _of_view(declarations, view))


def check_split(declarations: Declarations, split: Split) -> None:
    """Whether *split* is what its version was locked as; one that is not locked yet is.

    Raises:
        VersionNotBumped: It is not.
    """
    _check_one(declarations, _of_split(declarations, split))


def check_feature_version(declarations: Declarations, name: str) -> None:
    """Whether a feature version consists of what it was locked as; one that is not locked yet does.

    Raises:
        VersionNotBumped: It does not.
    """
    _check_one(declarations, _of_feature_version(declarations, name))


def _check_one(declarations: Declarations, now: _Version) -> None:
    then = _read(path_of(declarations))[now.section].get(now.name)
    if then is not None and _changed(now.entry, then):
        raise _not_bumped(now, then)


def unlocked(declarations: Declarations) -> tuple[str, ...]:
    """Names of the declared versions that the lock does not have: of views as ``view@version``."""
    locked = _read(path_of(declarations))
    return tuple(version.name for version in _versions(declarations) if version.name not in locked[version.section])


def write(declarations: Declarations, *, again: Collection[str] = ()) -> tuple[str, ...]:
    """Lock the versions that are not locked yet, and anew those named in *again*.

    Args:
        declarations: What is declared.
        again: Views (``view@version``), feature versions and split versions that may take their present meaning. Right
            for one that was never published, and for all of them after a new release of Ibis that gives the same table
            digests.

    Returns:
        The names of the entries that were added or changed.

    Raises:
        DeclarationError: The lock cannot be read, or *again* names a version that is not declared.
        VersionNotBumped: A version has changed and is not named in *again*; nothing is written.
    """
    path = path_of(declarations)
    locked, declared = _read(path), list(_versions(declarations))
    names = {version.name for version in declared}
    if unknown := sorted(set(again) - names):
        raise DeclarationError(
            f"{', '.join(unknown)} is not declared", remedy=f"name one of: {', '.join(sorted(names))}"
        )
    changed: list[str] = []
    for now in declared:
        section = locked[now.section]
        then = section.get(now.name)
        if then is not None and now.name not in again and _changed(now.entry, then):
            raise _not_bumped(now, then)
        if now.entry != then:
            section[now.name] = dict(now.entry)
            changed.append(now.name)
    if changed:
        _write(path, locked)
    return tuple(changed)


def _versions(declarations: Declarations) -> Iterator[_Version]:
    """Every version that is declared."""
    for view in declarations.views.values():
        yield _of_view(declarations, view)
    for name in declarations.feature_versions:
        yield _of_feature_version(declarations, name)
    for split in declarations.splits.values():
        yield _of_split(declarations, split)


def _of_view(declarations: Declarations, view: FeatureView) -> _Version:
    definition = declarations.definition(view)
    return _Version(
        section=VIEWS,
        name=view.ref.view,
        place=view.place,
        entry={
            "expr1": definition.identity,
            "made_with": definition.made_with,
            "keys": list(definition.keys),
            "ttl_us": definition.as_json()["ttl"],
            "columns": {column.name: column.type for column in view.contract.columns()},
        },
        bump=f"version={view.version + 1} in a new feature version",
        in_use=any(view.ref.view == ref.view for refs in declarations.feature_versions.values() for ref in refs),
    )


def _of_feature_version(declarations: Declarations, name: str) -> _Version:
    """The order of views and columns has no meaning, nor has whether all columns are named or none."""
    refs = declarations.feature_versions[name]
    module = importlib.import_module(f"{declarations.package}.versions")
    return _Version(
        section=FEATURE_VERSIONS,
        name=name,
        place=f"{where_written(module, name)}: feature version {name}",
        entry={"views": {ref.view: sorted(declarations.view_values(ref)) for ref in sorted(refs)}},
        bump="a new feature version",
    )


def _of_split(declarations: Declarations, split: Split) -> _Version:
    definition = declarations.definition(split)
    return _Version(
        section=SPLIT_VERSIONS,
        name=split.version,
        place=split.place,
        entry={
            "of": split.of,
            "key": split.key,
            "expr1": declarations.meaning(split),
            "made_with": definition.made_with,
            "seed": split.seed,
        },
        bump="a new split version",
    )


def _changed(now: Mapping[str, Json], then: Mapping[str, Json]) -> list[str]:
    """Parts of an entry that differ and that a version stands for."""
    return [meaning for part, meaning in _MEANING.items() if part in now and now[part] != then.get(part)]


def _not_bumped(now: _Version, then: Mapping[str, Json]) -> VersionNotBumped:
    changed = _changed(now.entry, then)
    if changed == [_MEANING["expr1"]] and now.entry["made_with"] != then.get("made_with"):
        return VersionNotBumped(
            f"{now.place} was locked with {then.get('made_with')}; {now.entry['made_with']} spells it differently",
            remedy=f"materialize it with --recompute; if the digest stays: `ml-assets lock {now.name}`",
        )
    how = f" ({differences(then.get('views', {}), now.entry['views'])})" if "views" in now.entry else ""
    return VersionNotBumped(
        f"{now.place}: {', '.join(changed)} changed under a version that is in use{how}",
        remedy=f"declare the change as {now.bump}, or take it back; "
        f"if {now.name} was never published: `ml-assets lock {now.name}`",
    )


def differences(then: Mapping[str, Collection[str]], now: Mapping[str, Collection[str]]) -> str:
    """How the views and columns of a feature version differ: ``without route@1[distance]``."""
    said = []
    for what, less, more in (("without", now, then), ("now also", then, now)):
        for view in sorted(more):
            columns = sorted(set(more[view]) - set(less.get(view, ())))
            if columns or view not in less:
                said.append(f"{what} {view}[{', '.join(columns)}]")
    return "; ".join(said)


def _read(path: Path) -> Locked:
    """The entries of each section; none where there is no file, or no such section.

    Raises:
        DeclarationError: The file is no lock of this format.
    """
    if not path.exists():
        return {section: {} for section in SECTIONS}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        found, sections = value["format"], {VIEWS: value[VIEWS], **{s: value.get(s, {}) for s in SECTIONS[1:]}}
        locked = {s: {name: dict(entry) for name, entry in entries.items()} for s, entries in sections.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeclarationError(
            f"{path.name} cannot be read: {type(error).__name__}: {error}",
            remedy="take the version of the last commit, then run `ml-assets lock`",
        ) from error
    if found != FORMAT:
        raise DeclarationError(
            f"{path.name} has format {found!r}, this version reads {FORMAT}", remedy="use a newer one"
        )
    return locked


def _write(path: Path, locked: Locked) -> None:
    """Replace the file as a whole, so that nobody ever reads half of it."""
    value = {"format": FORMAT, **{section: dict(sorted(locked[section].items())) for section in SECTIONS}}
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(f"{json.dumps(value, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
    beside.replace(path)
