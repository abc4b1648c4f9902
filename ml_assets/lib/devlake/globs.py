r"""The globs of branch protection, as in gobwas/glob: ``*``, ``?``, ``[a-z]``, ``[!a]``, ``{a,b}``, ``\`` escapes.

No regular expressions: for ``*a*a*a*b`` they try every way to cut a name, which takes for ever. Here each step of a
glob takes all places in the name to which those before it may have led, to all places to which it may lead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from ml_assets.lib.devlake.errors import Invalid

LONGEST: Final = 1024
"""Characters of a glob."""

DEEPEST: Final = 16
"""Braces within braces."""

Places = set[int]
Step = Callable[[str, Places], Places]

_SIGN: Final = re.compile(r"\\.|\*+|\[!?[^\[\]\\]+\]|[^\\\[\]]", re.DOTALL)


class Glob:
    """A glob.

    Raises:
        Invalid: It is malformed. (lakeFS accepts it, and then refuses every write to the repository.)
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        signs = self._signs()
        self._steps = self._sequence(signs, depth=0)[0]

    def covers(self, name: str) -> bool:
        """Whether all of *name* fits."""
        return len(name) in _follow(self._steps, name, {0})

    def _signs(self) -> Iterator[str]:
        position = 0
        while position < len(self._pattern):
            sign = _SIGN.match(self._pattern, position)
            if sign is None or len(self._pattern) > LONGEST:
                raise self._malformed()
            yield sign.group()
            position = sign.end()

    def _sequence(self, signs: Iterator[str], depth: int) -> tuple[list[Step], str]:
        """The steps up to the end, or within braces to the next comma or the closing one, which comes with them."""
        steps: list[Step] = []
        for sign in signs:
            if sign == "{" and depth < DEEPEST:
                steps.append(self._alternatives(signs, depth + 1))
            elif depth and sign in "},":
                return steps, sign
            elif sign in "{}":
                raise self._malformed()
            else:
                steps.append(self._step(sign))
        if depth:
            raise self._malformed()
        return steps, ""

    def _alternatives(self, signs: Iterator[str], depth: int) -> Step:
        sequences: list[list[Step]] = []
        end = ","
        while end == ",":
            steps, end = self._sequence(signs, depth)
            sequences.append(steps)
        return lambda name, places: {end for steps in sequences for end in _follow(steps, name, places)}

    def _step(self, sign: str) -> Step:
        if sign.startswith("*"):
            return lambda name, places: set(range(min(places), len(name) + 1)) if places else places
        if sign == "?":
            return _one(lambda _character: True)
        if sign.startswith("["):
            return _one(self._class(sign))
        return _one(sign.removeprefix("\\").__eq__ if len(sign) > 1 else sign.__eq__)

    def _class(self, sign: str) -> Callable[[str], bool]:
        inverted = sign[1] == "!"
        inner = sign[2 if inverted else 1 : -1].replace("^", r"\^").replace("&&", r"&\&")
        try:
            found = re.compile(f"[{'^' if inverted else ''}{inner}]", re.DOTALL)
        except re.error:  # a range such as [z-a]
            raise self._malformed() from None
        return lambda character: found.fullmatch(character) is not None

    def _malformed(self) -> Invalid:
        return Invalid(f"invalid branch protection pattern {self._pattern[:LONGEST]!r}")


@lru_cache(maxsize=256)
def glob(pattern: str) -> Glob:
    """The glob that *pattern* spells; see :class:`Glob`."""
    return Glob(pattern)


def _follow(steps: list[Step], name: str, places: Places) -> Places:
    for step in steps:
        places = step(name, places)
    return places


def _one(fits: Callable[[str], bool]) -> Step:
    return lambda name, places: {place + 1 for place in places if place < len(name) and fits(name[place])}
