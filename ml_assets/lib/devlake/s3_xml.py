"""The XML of the S3 gateway: what it answers, and the few documents that it reads."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from xml.parsers import expat

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error

XML: Final = "application/xml"
NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_HEADER: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'

DEEPEST: Final = 8
MOST_ELEMENTS: Final = 100_000
"""Elements within elements, and all of them: 10,000 parts are three deep, and at most 70,000."""

# XML 1.0 cannot hold these at all, not even escaped: Go writes U+FFFD instead, and so does this.
_IMPOSSIBLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN: Final = re.compile("[ !-%'-;=?-~]*")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"})


def text(name: str, value: object) -> str:
    """An element that holds *value* as text; booleans as XML spells them."""
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    if not _PLAIN.fullmatch(shown):  # nearly everything is: long listings are made of it
        shown = _IMPOSSIBLE.sub(chr(0xFFFD), shown).translate(_ESCAPES)
    return f"<{name}>{shown}</{name}>"


def optional(name: str, value: str) -> str:
    """Like :func:`text`, but nothing for an empty *value*."""
    return text(name, value) if value else ""


def element(name: str, children: Iterable[str], *, namespace: bool = False) -> str:
    """An element that holds *children*, which are elements."""
    attribute = f' xmlns="{NAMESPACE}"' if namespace else ""
    return f"<{name}{attribute}>{''.join(children)}</{name}>"


def document(root: str) -> bytes:
    """The whole document of a *root* element."""
    return f"{_HEADER}{root}".encode()


@lru_cache(maxsize=1024)
def timestamp(seconds: int) -> str:
    """A time as S3 writes it; always whole seconds, as in lakeFS."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def copy_result(mtime: int, etag: str) -> bytes:
    """The answer to a copy, of an object or (unlike in S3, but as in lakeFS) of a part."""
    return document(element("CopyObjectResult", [text("LastModified", timestamp(mtime)), text("ETag", f'"{etag}"')]))


class Rows:
    """What a request's document says, as far as it is two levels deep.

    Attributes:
        root: The name of the outermost element.
        fields: Text of the elements right below the root, by name; the last of each name.
        rows: Each element below the root that has elements itself: its name, and their text by name.
    """

    def __init__(self) -> None:
        self.root = ""
        self.fields: dict[str, str] = {}
        self.rows: list[tuple[str, dict[str, str]]] = []
        self.elements = 0
        self._open: list[tuple[str, list[str], dict[str, str]]] = []

    def below(self, name: str) -> list[dict[str, str]]:
        """The rows of this name, in order."""
        return [fields for row, fields in self.rows if row == name]

    @property
    def depth(self) -> int:
        """How many elements are open."""
        return len(self._open)

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        """An element begins."""
        local_name = name.rpartition(" ")[2]
        self.root = self.root or local_name
        self.elements += 1
        self._open.append((local_name, [], {}))

    def data(self, data: str) -> None:
        """Text within the innermost element."""
        self._open[-1][1].append(data)

    def end(self, _name: str) -> None:
        """The innermost element ends."""
        name, pieces, fields = self._open.pop()
        if not self._open:
            return
        if len(self._open) == 1 and fields:
            self.rows.append((name, fields))
        elif len(self._open) == 1:
            self.fields[name] = "".join(pieces)
        self._open[-1][2][name] = "".join(pieces)


def parse(document: bytes, root: str, *, malformed: S3Code = S3Code.MALFORMED_XML) -> Rows:
    """Read a request's document, whose outermost element must be *root*.

    Raises:
        S3Error: *malformed*: it is not XML, is something else, or declares a document type, which nobody needs
            and which is how small documents become huge; or it is deeper or has more elements than any client sends.
    """
    rows = Rows()

    def start(name: str, attributes: dict[str, str]) -> None:
        rows.start(name, attributes)
        if rows.depth > DEEPEST or rows.elements > MOST_ELEMENTS:
            refuse()

    def refuse(*_declaration: object) -> None:
        raise S3Error(malformed)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = rows.end
    parser.CharacterDataHandler = rows.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(document, True)
    except expat.ExpatError:
        raise S3Error(malformed) from None
    if rows.root != root:
        raise S3Error(malformed)
    return rows
