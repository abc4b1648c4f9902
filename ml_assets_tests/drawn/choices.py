"""How a package is drawn: mostly what is lawful, now and then something wrong or odd, which is noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Chooser:
    """Draws from Hypothesis. What it shrinks to is lawful.

    Args:
        draw: That of a composite strategy.
        odds: In how many of a thousand choices something wrong or odd is taken, where there is any.
    """

    def __init__(self, draw: Draw, odds: int) -> None:
        self._draw, self._odds = draw, odds
        self.odd: list[str] = []

    def of(self, lawful: Sequence[T], odd: Sequence[T] = (), *, what: str = "") -> T:
        """One of *lawful*, or by chance one of *odd*: what it is is noted as *what*."""
        if odd and self.chance(self._odds, 1000):
            chosen: T = self._draw(st.sampled_from(odd))
            self.odd.append(f"{what}: {chosen}")
            return chosen
        taken: T = self._draw(st.sampled_from(lawful))
        return taken

    def odd_one(self, what: str) -> bool:
        """Whether by chance something odd is done, which is noted."""
        return bool(self.of((False,), (True,), what=what))

    def chance(self, times: int, of: int) -> bool:
        """True *times* in *of* draws."""
        return bool(self._draw(st.integers(0, of - 1)) >= of - times)

    def number(self, least: int, most: int) -> int:
        """A whole number; small ones are simpler."""
        return int(self._draw(st.integers(least, most)))

    def some(self, items: Sequence[T], least: int, most: int) -> list[T]:
        """Some of *items*, each at most once."""
        most = min(most, len(items))
        chosen: list[T] = self._draw(
            st.lists(st.sampled_from(items), min_size=min(least, most), max_size=most, unique_by=id)
        )
        return chosen
