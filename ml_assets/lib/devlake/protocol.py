"""HTTP/1.1 as uvicorn speaks it, with a bound on what one connection can make the server keep in memory.

Bodies are streamed, and uvicorn stops reading when nobody takes them. But the parser keeps the head of a request, and
a trailer behind its body, until they are whole, however long they are; and a stranger may send them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD: Final = 1 << 17
"""Bytes of a request line with its headers, or of a trailer. Metadata and signatures need a tenth of it."""


class CoalescingTransport(asyncio.Transport):
    """Sends what is written in one turn of the event loop together: the head of an answer and its body.

    That halves what is sent, and wakes a client once instead of twice. What is large is not held back.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*, soon."""
        if len(data) > LONGEST_HEAD:
            self._send()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self._send)
        self._held += data

    def close(self) -> None:
        """Close the connection, when everything is sent."""
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """What is known about the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Take nothing from the client for a while."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    def _send(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request has a head, or a trailer, that is too long."""

    _kept = 0
    """Bytes that came since the head was whole, or since the last piece of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(CoalescingTransport(transport))

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
