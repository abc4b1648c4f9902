"""Pages of sorted listings, and the folding of keys into common prefixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from ml_assets.lib.devlake.tree import prefix_end


class CommonPrefix(NamedTuple):
    """All keys that start with ``path``, which ends in the delimiter."""

    path: str


class Keyed(Protocol):
    """Something that is listed under a key."""

    @property
    def key(self) -> str:
        """What it is sorted by."""


T = TypeVar("T")
K = TypeVar("K", bound=Keyed)


class Window(NamedTuple):
    """The part of a listing by path that is asked for.

    Attributes:
        prefix: Only paths that start with it.
        after: Only paths after it.
        delimiter: Paths that hold it after *prefix* are folded into common prefixes.
        amount: At most so many.
    """

    prefix: str = ""
    after: str = ""
    delimiter: str = ""
    amount: int = 100


BEGINNING: Final = Window()


class Page(NamedTuple, Generic[T]):
    """A part of a listing, and whether it goes on after it."""

    items: list[T]
    more: bool


def page(items: Iterable[T], amount: int) -> Page[T]:
    """The first *amount* of *items*."""
    found = list(islice(items, amount + 1))
    return Page(found[:amount], len(found) > amount)


def fold(scan: Callable[[str], Iterator[K]], start: str, prefix: str, delimiter: str) -> Iterator[K | CommonPrefix]:
    """What *scan* gives from *start* on, as far as it has *prefix*.

    With a *delimiter*, keys that hold it after *prefix* are folded into one :class:`CommonPrefix`; the scan is taken up
    again behind them, so what is folded costs nothing.
    """
    position: str | None = max(start, prefix)
    while position is not None:
        behind = None
        for item in scan(position):
            if not item.key.startswith(prefix):
                return
            end = item.key.find(delimiter, len(prefix)) if delimiter else -1
            if end < 0:
                yield item
                continue
            folded = item.key[: end + len(delimiter)]
            yield CommonPrefix(folded)
            behind = prefix_end(folded)
            break
        position = behind
