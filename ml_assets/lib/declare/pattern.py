r"""Regular expressions of contracts, spelled so that RE2 (DuckDB) and Java (Spark) match the same values.

A pattern is read by Python's own parser and written again in what both engines understand alike: ``$`` is the end of
the value, ``.`` is anything but a newline, ``\d``, ``\w`` and ``\s`` are ASCII, and the whole is one group. What only
one of them has, or each has with another meaning, is refused: references, lookarounds, ``\b``, flags.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from re import _constants as ops  # type: ignore[attr-defined] # the parser of the standard library has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

_MOST_REPEATS: Final = 1000
"""Repetitions of one part that RE2 accepts, those of repetitions within it multiplied."""

_SURROGATES: Final = (0xD800, 0xDFFF)

_FLAGS: Final = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII | re.LOCALE

_CATEGORIES: Final = {
    ops.CATEGORY_DIGIT: "0-9",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_WORD: "0-9A-Za-z_",
    ops.CATEGORY_NOT_WORD: r"\W",
    ops.CATEGORY_SPACE: r"\x{9}-\x{d}\x{20}",
    ops.CATEGORY_NOT_SPACE: r"\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{10ffff}",
}

_REPEATS: Final = {ops.MAX_REPEAT: "", ops.MIN_REPEAT: "?"}

_POSITIONS: Final = {
    ops.AT_BEGINNING: r"\A",
    ops.AT_BEGINNING_STRING: r"\A",
    ops.AT_END: r"\z",
    ops.AT_END_STRING: r"\z",
}

_REFUSED: Final = {
    ops.ASSERT: "a lookahead or lookbehind",
    ops.ASSERT_NOT: "a lookahead or lookbehind",
    ops.GROUPREF: "a reference to a group",
    ops.GROUPREF_EXISTS: "a reference to a group",
    ops.ATOMIC_GROUP: "an atomic group",
    ops.POSSESSIVE_REPEAT: "a possessive repetition",
}


def portable(pattern: str) -> str:
    """*pattern* as both engines read it: one group, to be matched from the beginning of a value.

    Raises:
        ValueError: It does not compile, or the engines would read it differently; the text says what and where.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of sets that will mean something else one day: [a&&b], [[a]
            tree = parser.parse(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"does not compile: {error}") from None
    if tree.state.flags & _FLAGS:
        raise ValueError("has flags, which each engine reads differently: spell them out, as in [Ee]")
    return f"(?:{''.join(_parts(tree, 1))})"


def _parts(tree: Any, repeated: int) -> Iterator[str]:
    """The parts of a sequence; *repeated* is how often it may be repeated by what encloses it."""
    for kind, value in tree:
        yield _part(kind, value, repeated)


def _part(kind: Any, value: Any, repeated: int) -> str:
    if kind in _REFUSED:
        raise ValueError(f"has {_REFUSED[kind]}, which not every engine knows")
    if kind in _REPEATS:
        return _repeat(kind, value, repeated)
    if kind is ops.SUBPATTERN:
        _, added, removed, inner = value
        if added or removed:
            raise ValueError("has flags, which each engine reads differently: spell them out, as in [Ee]")
        return f"(?:{''.join(_parts(inner, repeated))})"
    if kind is ops.BRANCH:
        return f"(?:{'|'.join(''.join(_parts(branch, repeated)) for branch in value[1])})"
    if kind is ops.AT:
        if value not in _POSITIONS:
            raise ValueError(r"has \b or \B, which takes other characters for letters in each engine")
        return _POSITIONS[value]
    return _characters(kind, value)


def _repeat(kind: Any, value: Any, repeated: int) -> str:
    least, most, inner = value
    endless = most is ops.MAXREPEAT
    times = repeated * max(1, least if endless else most)
    if times > _MOST_REPEATS:
        raise ValueError(f"repeats a part {times} times, and more than {_MOST_REPEATS} are not possible")
    return f"(?:{''.join(_parts(inner, times))}){{{least},{'' if endless else most}}}{_REPEATS[kind]}"


def _characters(kind: Any, value: Any) -> str:
    """One character, or one of a set."""
    if kind is ops.LITERAL:
        return _literal(value)
    if kind is ops.NOT_LITERAL:
        return f"[^{_literal(value)}]"
    if kind is ops.ANY:
        return r"[^\x{a}]"
    if kind is not ops.IN:
        raise ValueError(f"has {kind}, which not every engine knows")
    negated = value[0][0] is ops.NEGATE
    return f"[{'^' if negated else ''}{''.join(map(_member, value[1:] if negated else value))}]"


def _member(item: tuple[Any, Any]) -> str:
    kind, value = item
    if kind is ops.RANGE:
        return f"{_literal(value[0])}-{_literal(value[1])}"
    return _CATEGORIES[value] if kind is ops.CATEGORY else _literal(value)


def _literal(code: int) -> str:
    """A character: as it is if it is an ASCII letter or digit, else by its number."""
    character = chr(code)
    if _SURROGATES[0] <= code <= _SURROGATES[1]:
        raise ValueError("has half of a surrogate pair, which no text can hold")
    return character if character.isascii() and character.isalnum() else f"\\x{{{code:x}}}"
