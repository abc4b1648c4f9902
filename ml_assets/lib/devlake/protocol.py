"""HTTP/1.1 as uvicorn speaks it, with a bound on what one connection can make the server keep in memory.

Bodies are streamed, and uvicorn stops reading when nobody takes them. But the parser keeps the head of a request, and
a trailer behind its body, until they are whole, however long they are; and a stranger may send them.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD: Final = 1 << 17
"""Bytes of a request line with its headers, or of a trailer. Metadata and signatures need a tenth of it."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request has a head, or a trailer, that is too long."""

    _kept = 0
    """Bytes that came since the head was whole, or since the last piece of a body."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._kept += len(data)
        super().data_received(data)
        if self._kept > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is longer than {LONGEST_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._kept = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._kept = 0
        super().on_message_complete()
