"""Answers are sent in one piece, in order, and whole."""

from __future__ import annotations

import asyncio

import pytest

from ml_assets.lib.devlake.protocol import LONGEST_HEAD, CoalescingTransport

LARGE = bytes(LONGEST_HEAD + 1)


class Wire(asyncio.Transport):
    """Writes down what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        assert not self.closed
        self.sent.append(bytes(data))

    def close(self) -> None:
        """Hang up."""
        self.closed = True


@pytest.mark.parametrize(
    ("turns", "sent"),
    [
        ([[b"head", b"body"]], [b"headbody"]),
        ([[b"head"], [b"body"]], [b"head", b"body"]),
        ([[b"head", LARGE, b"end"]], [b"head", LARGE, b"end"]),
        ([[b""]], []),
    ],
)
def test_what_is_written_in_one_turn_goes_out_together(turns: list[list[bytes]], sent: list[bytes]) -> None:
    """But for what is large; and nothing overtakes anything."""

    async def write() -> Wire:
        wire = Wire()
        transport = CoalescingTransport(wire)
        for turn in turns:
            for data in turn:
                transport.write(data)
            await asyncio.sleep(0)
        return wire

    assert asyncio.run(write()).sent == sent


def test_closing_sends_first() -> None:
    """What was written just before is not lost."""

    async def write() -> Wire:
        wire = Wire()
        transport = CoalescingTransport(wire)
        transport.write(b"last words")
        transport.close()
        await asyncio.sleep(0)
        return wire

    wire = asyncio.run(write())
    assert wire.closed
    assert wire.sent == [b"last words"]
