r"""Regular expressions and formats of time that every engine reads alike: what is lawful, and how each spells it.

RE2 (DuckDB), java.util.regex (Spark) and Python agree on less than it seems: ``.`` and ``$`` at line ends, ``\s``,
``\b`` and ``\w`` of letters that are not ASCII, ``[a[b]]``, ``[[:alpha:]]``, look-around, references. Lawful is what
all three have; it is spelled out so that all three mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

Dialect = Literal["re2", "java", "python"]

_CLASSES: Final[Mapping[str, str]] = MappingProxyType({"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0B\f\r "})
_WORD: Final = "[0-9A-Za-z_]"
_EDGE: Final = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_TOKEN: Final = re.compile(
    r"""(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<escape>\\.)
    | (?P<group>\((?:\?:)?(?!\?))
    | (?P<repeat>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??(?![*+?{]))
    | (?P<plain>[^\\\[\](){}*+?])
    | (?P<close>\))""",
    re.VERBOSE | re.DOTALL,
)
_MEMBER: Final = re.compile(r"\\.|[^\\]", re.DOTALL)
_MOST_REPEATS: Final = 1000
"""RE2 has no more."""

TIME_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm", "S": "ss", "j": "DDD", "y": "yy", "f": "SSSSSS",
        "A": "EEEE", "a": "EEE", "B": "MMMM", "b": "MMM", "I": "hh", "p": "a", "%": "%",
    }
)  # fmt: skip
"""Codes of ``strftime`` that every engine has, with Java's spelling."""


def spelled(pattern: str, dialect: Dialect) -> str:
    """*pattern* for an engine of this *dialect*.

    Raises:
        ValueError: Engines would read it differently, or it is no pattern; says which part.
    """
    try:
        re.compile("".join(_tokens(pattern, "python")))
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return "".join(_tokens(pattern, dialect))


def matches_nothing(pattern: str) -> bool:
    """Whether *pattern* can match the empty text: engines replace such matches at different places."""
    return re.search(spelled(pattern, "python"), "") is not None


def java_replacement(replacement: str) -> str:
    r"""*replacement*, in which ``\1`` is the first group, as Java has it."""
    parts = re.split(r"\\([0-9])", replacement.replace("$", "\0"))
    escaped = [
        f"${part}" if i % 2 else part.replace("\\\\", "\\").replace("\\", "\\\\") for i, part in enumerate(parts)
    ]
    return "".join(escaped).replace("\0", r"\$")


def java_time(code: str) -> str:
    """*code*, a format of ``strftime``, as Java's ``DateTimeFormatter`` has it.

    Raises:
        ValueError: It has a code that is not in `TIME_CODES`.
    """
    out, words = [], ""
    for part in re.findall(r"%.?|[^%]+", code, re.DOTALL):
        meaning = TIME_CODES.get(part[1:]) if part.startswith("%") else part
        if meaning is None:
            raise ValueError(f"{part!r} in the format {code!r} is not the same on every engine")
        if part == "%%" or not part.startswith("%"):
            words += meaning.replace("'", "''")
        else:
            out += [f"'{words}'" if words else "", meaning]
            words = ""
    return "".join([*out, f"'{words}'" if words else ""])


def _tokens(pattern: str, dialect: Dialect) -> Iterator[str]:
    """The parts of *pattern*, spelled.

    Raises:
        ValueError: A part that engines read differently.
    """
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise ValueError(f"{pattern[at : at + 4]!r} in the pattern {pattern!r} is not the same on every engine")
        text, kind = token[0], token.lastgroup
        if kind == "class":
            yield _class(text, pattern)
        elif kind == "escape":
            yield _escape(text[1], pattern, dialect)
        elif kind == "repeat" and any(int(number) > _MOST_REPEATS for number in re.findall("[0-9]+", text)):
            raise ValueError(f"{text!r} in the pattern {pattern!r} repeats more than {_MOST_REPEATS} times")
        elif kind == "plain":
            yield {".": r"[^\n]", "$": r"\Z" if dialect == "python" else r"\z"}.get(text, text)
        else:
            yield text
        at = token.end()


def _escape(letter: str, pattern: str, dialect: Dialect) -> str:
    r"""``\letter`` outside of a class."""
    if letter.lower() in _CLASSES:
        negated = "^" if letter.isupper() else ""
        return f"[{negated}{_CLASSES[letter.lower()]}]"
    if letter == "b":
        return r"\b" if dialect == "re2" else _EDGE
    return _character(letter, pattern)


def _character(letter: str, pattern: str) -> str:
    r"""``\letter`` that is one character, in a class or outside.

    Raises:
        ValueError: It is something else, or not the same everywhere.
    """
    if letter in "tnrf" or not (letter.isalnum() or letter.isspace() or ord(letter) > 126):  # noqa: PLR2004 (the last of ASCII)
        return "\\" + letter
    raise ValueError(f"'\\{letter}' in the pattern {pattern!r} is not the same on every engine")


def _class(text: str, pattern: str) -> str:
    """A class ``[…]``, its members escaped.

    Raises:
        ValueError: A member that engines read differently.
    """
    negated = "^" if text.startswith("[^") else ""
    members = text[1 + len(negated) : -1]
    if "[:" in members or "[=" in members or "[." in members:
        raise ValueError(f"{text!r} in the pattern {pattern!r} is not the same on every engine: write the letters out")
    out = []
    for member in _MEMBER.findall(members):
        if len(member) == 1:
            out.append("\\" + member if member in "[]&~^|" else member)
        elif member[1] in _CLASSES:
            out.append(_CLASSES[member[1]])
        else:
            out.append(_character(member[1], pattern))
    return f"[{negated}{''.join(out)}]"
