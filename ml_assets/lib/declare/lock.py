"""``versions.lock``: what each view was when it was locked, so that a version never comes to mean something else.

The file is committed beside the declarations and needs no lake. An entry is never dropped: a retired version may not
come back with another content.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from ml_assets.lib.core.errors import DeclarationError, VersionNotBumped
from ml_assets.lib.core.recipe import Json
from ml_assets.lib.declare.declarations import FeatureView
from ml_assets.lib.declare.registry import Declarations

FILE: Final = "versions.lock"
FORMAT: Final = 1

_MEANING: Final = {"expr1": "expression", "keys": "keys", "ttl_us": "ttl", "columns": "names or types"}
"""Parts of an entry that a version stands for, as a person calls them."""


def path_of(declarations: Declarations) -> Path:
    """Where the lock of *declarations* lies: in their package's folder."""
    (folder,) = importlib.import_module(declarations.package).__path__
    return Path(folder) / FILE


def check(declarations: Declarations) -> list[VersionNotBumped]:
    """Views in some feature version that are not what their version was locked as; views not yet locked are none."""
    locked = _read(path_of(declarations))
    used = {ref.view for refs in declarations.feature_versions.values() for ref in refs}
    views = (view for view in declarations.views.values() if view.ref.view in used & locked.keys())
    found = ((view, _entry(declarations, view), locked[view.ref.view]) for view in views)
    return [_not_bumped(view, now, then) for view, now, then in found if _changed(now, then)]


def check_view(declarations: Declarations, view: FeatureView) -> None:
    """Whether *view* is what its version was locked as; one that is not locked yet is.

    Raises:
        VersionNotBumped: It is not.
    """
    then = _read(path_of(declarations)).get(view.ref.view)
    if then is not None and _changed(now := _entry(declarations, view), then):
        raise _not_bumped(view, now, then)


def unlocked(declarations: Declarations) -> tuple[str, ...]:
    """Declared views, as ``view@version``, that the lock does not have."""
    locked = _read(path_of(declarations))
    return tuple(view.ref.view for view in declarations.views.values() if view.ref.view not in locked)


def write(declarations: Declarations, *, again: Collection[str] = ()) -> tuple[str, ...]:
    """Lock the views that are not locked yet, and anew those named in *again*.

    Args:
        declarations: What is declared.
        again: Views, as ``view@version``, whose version may take its present meaning. Right for one that was never
            published, and for all of them after a new release of Ibis that gives the same table digests.

    Returns:
        The entries that were added or changed.

    Raises:
        DeclarationError: The lock cannot be read, or *again* names a view that is not declared.
        VersionNotBumped: A view has changed and is not named in *again*; nothing is written.
    """
    path = path_of(declarations)
    locked = _read(path)
    declared = {view.ref.view: view for view in declarations.views.values()}
    unknown = sorted(set(again) - declared.keys())
    if unknown:
        raise DeclarationError(
            f"{', '.join(unknown)} is not declared", remedy=f"name one of: {', '.join(sorted(declared))}"
        )
    changed: list[str] = []
    for name, view in declared.items():
        now, then = _entry(declarations, view), locked.get(name)
        if then is not None and name not in again and _changed(now, then):
            raise _not_bumped(view, now, then)
        if now != then:
            locked[name] = now
            changed.append(name)
    if changed:
        _write(path, locked)
    return tuple(changed)


def _entry(declarations: Declarations, view: FeatureView) -> dict[str, Json]:
    """What *view* is now."""
    definition = declarations.definition(view)
    return {
        "expr1": definition.identity,
        "made_with": definition.made_with,
        "keys": list(definition.keys),
        "ttl_us": definition.as_json()["ttl"],
        "columns": {column.name: column.type for column in view.contract.columns()},
    }


def _changed(now: Mapping[str, Json], then: Mapping[str, Json]) -> list[str]:
    """Parts of an entry that differ and that a version stands for."""
    return [meaning for part, meaning in _MEANING.items() if now[part] != then.get(part)]


def _not_bumped(view: FeatureView, now: Mapping[str, Json], then: Mapping[str, Json]) -> VersionNotBumped:
    name, changed = view.ref.view, _changed(now, then)
    if changed == [_MEANING["expr1"]] and now["made_with"] != then.get("made_with"):
        return VersionNotBumped(
            f"{view.place} was locked with {then.get('made_with')}; {now['made_with']} spells it differently",
            remedy=f"materialize it with --recompute; if the digest stays: `ml-assets lock {name}`",
        )
    return VersionNotBumped(
        f"{view.place}: {', '.join(changed)} changed under a version that is in use",
        remedy=f"declare the change as version={view.version + 1} in a new feature version, or take it back; "
        f"if {name} was never published: `ml-assets lock {name}`",
    )


def _read(path: Path) -> dict[str, dict[str, Json]]:
    """The entries; none where there is no file.

    Raises:
        DeclarationError: The file is no lock of this format.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        found, views = value["format"], {name: dict(entry) for name, entry in value["views"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeclarationError(
            f"{path.name} cannot be read: {type(error).__name__}: {error}",
            remedy="take the version of the last commit, then run `ml-assets lock`",
        ) from error
    if found != FORMAT:
        raise DeclarationError(
            f"{path.name} has format {found!r}, this version reads {FORMAT}", remedy="use a newer one"
        )
    return views


def _write(path: Path, views: Mapping[str, Json]) -> None:
    """Replace the file as a whole, so that nobody ever reads half of it."""
    text = json.dumps({"format": FORMAT, "views": dict(sorted(views.items()))}, indent=2, ensure_ascii=False)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(f"{text}\n", encoding="utf-8")
    beside.replace(path)
