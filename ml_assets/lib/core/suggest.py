"""What a person may have meant by a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_SHOWN: Final = 40


def choose(given: str, known: Iterable[str]) -> str:
    """A remedy: the nearest of the *known* names to *given*, and what else there is to choose from."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{guess}choose of {', '.join(names[:_SHOWN])}{rest}" if names else "there is none yet"
