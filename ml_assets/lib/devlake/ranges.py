"""The ``Range`` header: one range of bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes= *+(\d{0,18}) *+- *+(\d{0,18}) *+", re.ASCII)


class ByteRange(NamedTuple):
    """From ``start`` on, ``length`` bytes (at least one)."""

    start: int
    length: int

    def header(self, size: int) -> str:
        """The ``Content-Range`` header for an object of *size* bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class BadRange(ValueError):
    """Not one range of bytes, or one that ends before it starts."""


class UnsatisfiableRange(ValueError):
    """A range behind the end of the object."""


def parse_range(header: str, size: int) -> ByteRange:
    """What *header* asks of an object of *size* bytes.

    Raises:
        BadRange: It asks for something else than one range, or nonsense.
        UnsatisfiableRange: The object has none of these bytes.
    """
    match = _ONE_RANGE.fullmatch(header)
    if match is None or match[1] == match[2] == "":
        raise BadRange(header)
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise UnsatisfiableRange(header)
        return ByteRange(size - length, length)
    start = int(match[1])
    end = int(match[2]) if match[2] else size - 1
    if match[2] and end < start:
        raise BadRange(header)
    if start >= size:
        raise UnsatisfiableRange(header)
    return ByteRange(start, min(end, size - 1) - start + 1)
