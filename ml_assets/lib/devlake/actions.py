"""Action files: whom lakeFS asks before a commit lands, as the objects right below ``_lakefs_actions/`` say.

Each is a YAML file with a ``name``, the events that it is about (``on``), and ``hooks`` that are called in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import yaml

from ml_assets.lib.devlake.errors import PreconditionFailed

FOLDER: Final = "_lakefs_actions/"


class Event(StrEnum):
    """What hooks are called for: before something happens, when they can refuse it, and after it."""

    PREPARE_COMMIT = "prepare-commit"
    PRE_COMMIT = "pre-commit"
    POST_COMMIT = "post-commit"
    PRE_MERGE = "pre-merge"
    POST_MERGE = "post-merge"
    PRE_REVERT = "pre-revert"
    POST_REVERT = "post-revert"
    PRE_CHERRY_PICK = "pre-cherry-pick"
    POST_CHERRY_PICK = "post-cherry-pick"
    PRE_CREATE_BRANCH = "pre-create-branch"
    POST_CREATE_BRANCH = "post-create-branch"
    PRE_DELETE_BRANCH = "pre-delete-branch"
    POST_DELETE_BRANCH = "post-delete-branch"
    PRE_CREATE_TAG = "pre-create-tag"
    POST_CREATE_TAG = "post-create-tag"
    PRE_DELETE_TAG = "pre-delete-tag"
    POST_DELETE_TAG = "post-delete-tag"

    @property
    def afterwards(self) -> Event:
        """What comes after what this one comes before."""
        return Event(self.replace("pre-", "post-", 1))


class BadAction(PreconditionFailed):
    """An action file that cannot be followed, so what it guards does not happen (lakeFS: 500)."""


class Hook(NamedTuple):
    """One that is called: its id within the action, its type, its ``if`` (empty: after success), and how."""

    id: str
    kind: str
    condition: str
    properties: Mapping[str, Any]


class Action(NamedTuple):
    """What one file says. An event without globs of branches is about all branches."""

    name: str
    on: Mapping[str, Sequence[str]]
    hooks: Sequence[Hook]

    def matches(self, event: Event, branch: str) -> bool:
        """Whether it is about *event* on *branch*.

        Raises:
            BadAction: A glob is malformed.
        """
        if event not in self.on:
            return False
        patterns = [_branch_pattern(glob) for glob in self.on[event]]
        return not patterns or any(pattern.fullmatch(branch) for pattern in patterns)


_EVENTS: Final = frozenset(Event)

_REQUIRED: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "webhook": (["url"],),
    "airflow": (["url"], ["dag_id"], ["username"], ["password"]),
    "lua": (["script", "script_path"],),
}
"""The types of hooks that lakeFS has, and of which properties each needs one."""

_NAME: Final = re.compile(r"\w[\w\-. ]+", re.ASCII)
_HOOK_ID: Final = re.compile(r"[_a-zA-Z][-_a-zA-Z0-9]{1,255}")
_GLOB: Final = re.compile(
    r"(\*)|(\?)|\[(\^?)((?:(?:\\.|[^\\\]-])(?:-(?:\\.|[^\\\]-]))?)+)\]|\\(.)|([^*?\\\[])", re.DOTALL
)

_IN_CLASS: Final = re.compile(r"[\[&~|^]")
_QUOTED: Final = r"\\\g<0>"


class _Loader(yaml.SafeLoader):
    """YAML as lakeFS reads it: ``on`` is a word, and only true and false are booleans."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))


@lru_cache(maxsize=32)
def parse(path: str, data: bytes) -> Action:
    """The action of the file at *path*. The same files are read again and again: for every event of every branch.

    Raises:
        BadAction: It is none.
    """
    try:
        return _action(yaml.load(data, _Loader))  # noqa: S506 - a safe loader, with fewer types
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadAction(f"parsing file {path}: {error}: invalid action") from None


def check_names(actions: Iterable[Action]) -> None:
    """Refuse two actions of the same name.

    Raises:
        BadAction: There are.
    """
    seen: set[str] = set()
    for action in actions:
        if action.name in seen:
            raise BadAction(f"action name '{action.name}' already loaded: invalid action")
        seen.add(action.name)


def _action(value: object) -> Action:
    fields = _mapping(value, "the file")
    name = fields.get("name") or ""
    if not isinstance(name, str) or not name:
        raise ValueError("'name' is required")
    if not _NAME.fullmatch(name):
        raise ValueError("'name' is invalid")
    on = _mapping(fields.get("on") or {}, "'on'")
    if not on:
        raise ValueError("'on' is required")
    hooks = [_hook(number, hook) for number, hook in enumerate(_list(fields.get("hooks"), "'hooks'"))]
    ids = [hook.id for hook in hooks]
    for number, identity in enumerate(ids):
        if identity in ids[:number]:
            raise ValueError(f"hook[{number}] duplicate ID '{identity}'")
    return Action(name, {event: _branches(event, details) for event, details in on.items()}, hooks)


def _branches(event: object, details: object) -> list[str]:
    if event not in _EVENTS:
        raise ValueError(f"event '{event}' is not supported")
    branches = _list(_mapping(details or {}, f"'{event}'").get("branches"), "'branches'")
    if not all(isinstance(branch, str) for branch in branches):
        raise ValueError("'branches' must be texts")
    if branches and str(event).endswith("-tag"):
        raise ValueError("'branches' is not supported in tag event types.")
    return branches


def _hook(number: int, value: object) -> Hook:
    fields = _mapping(value, f"hook[{number}]")
    identity, kind, condition = fields.get("id") or "", str(fields.get("type")), fields.get("if")
    if not isinstance(identity, str) or not _HOOK_ID.fullmatch(identity):
        raise ValueError(f"hook[{number}] missing ID")
    if kind not in _REQUIRED:
        raise ValueError(f"hook[{number}] type '{identity}' unknown")
    if "properties" not in fields:
        raise ValueError(f"hook[{number}] type '{kind}': missing hook properties")
    properties = _mapping(fields["properties"], f"hook[{number}] type '{kind}': properties")
    for names in _REQUIRED[kind]:
        if not any(name in properties for name in names):
            alternatives = "' or '".join(names)
            raise ValueError(f"hook[{number}] type '{kind}': '{alternatives}' must be supplied in properties")
    written = str(condition).lower() if isinstance(condition, bool) else str(condition or "")
    return Hook(identity, kind, written, properties)


def _mapping(value: object, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a mapping")  # noqa: TRY004 - of a file, not of a caller
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise ValueError(f"{what} must be a list")  # noqa: TRY004 - of a file, not of a caller
    return value or []


def _branch_pattern(glob: str) -> re.Pattern[str]:
    """A glob as Go's ``path.Match`` understands it, which is not how protection rules are read."""
    found, position = "", 0
    while position < len(glob):
        piece = _GLOB.match(glob, position)
        if piece is None:
            raise BadAction(f"branch glob {glob!r}: syntax error in pattern")
        many, one, negated, characters, escaped, literal = piece.groups()
        if characters:
            found += f"[{negated}{_IN_CLASS.sub(_QUOTED, characters)}]"
        else:
            found += "[^/]*" if many else "[^/]" if one else re.escape(escaped or literal)
        position = piece.end()
    try:
        return re.compile(found, re.DOTALL)
    except re.error:
        raise BadAction(f"branch glob {glob!r}: syntax error in pattern") from None
