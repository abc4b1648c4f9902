"""Coverage-guided fuzzing of whatever reads bytes of strangers, with atheris (which is no dependency: install it).

``python -m ml_assets_tests.devlake.fuzz xml -max_total_time=600`` runs one target; what follows is for libFuzzer. A
target fails if a parser raises anything but its own refusal.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

ATHERIS: Final[Any] = importlib.import_module("atheris")

with ATHERIS.instrument_imports():
    from ml_assets.lib.devlake import (
        chunked,
        form,
        globs,
        names,
        ranges,
        refs,
        routes,
        s3_request,
        s3_xml,
        sigv2,
        sigv4,
    )
    from ml_assets.lib.devlake.call import Call
    from ml_assets.lib.devlake.errors import DevlakeError
    from ml_assets.lib.devlake.s3_errors import S3Error

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
ROUTE: Final = routes.Route("GET", "/repositories/{repository}/refs/{ref}/objects")


def _xml(data: bytes) -> None:
    s3_xml.parse(data, "Delete").below("Object")


def _chunked(data: bytes) -> None:
    decoder = chunked.ChunkedDecoder(signatures=None, trailer="crc32", length=None)
    for piece in (data[:7], data[7:]):
        list(decoder.feed(piece))
    decoder.close()


def _form(data: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield data

    async def read() -> None:
        part = form.FormPart("multipart/form-data; boundary=b", "content")
        async for _ in part.chunks(body()):
            pass

    asyncio.run(read())


def _range(data: bytes) -> None:
    text = data.decode("latin-1")
    s3_request.requested_range(text, 100)
    with suppress(ranges.BadRange, ranges.UnsatisfiableRange):
        ranges.parse_range(text, 100)


def _signature(data: bytes) -> None:
    query, _, header = data.partition(b"\n")
    headers = [(b"authorization", header), (b"x-amz-date", b"20260101T000000Z"), (b"host", b"x")]
    received = sigv4.Received("GET", b"/a/b", sigv4.parse_query(query), headers)
    verify = sigv2.verify if sigv2.is_meant(received) else sigv4.verify
    verify(received, lambda _key: "secret", now=NOW)


def _name(data: bytes) -> None:
    text = data.decode(errors="replace")
    globs.Glob(text).covers("main")
    for check in (names.check_repository_name, names.check_branch_name, names.check_tag_name, names.check_path):
        with suppress(DevlakeError):
            check(text)
    refs._parse(text)


def _call(data: bytes) -> None:
    path, _, rest = data.partition(b"\n")
    query, _, body = rest.partition(b"\n")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = b"/api/v1/repositories/" + path.replace(b"/", b"%2F") + b"/refs/x/objects"
    call = Call(
        {"query_string": query, "method": "POST", "devlake.user": "", "headers": []},
        receive,
        routes.arguments(ROUTE, raw),
    )
    call.window()
    call.flag("force")
    call.time_ns("since")
    asyncio.run(call.read_json())


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "call": _call,
    "chunked": _chunked,
    "form": _form,
    "name": _name,
    "range": _range,
    "signature": _signature,
    "xml": _xml,
}


def main() -> None:
    """Fuzz one target until something fails."""
    target = TARGETS[sys.argv[1]]

    def once(data: bytes) -> None:
        with suppress(DevlakeError, S3Error):
            target(data)

    ATHERIS.Setup([sys.argv[0], *sys.argv[2:]], once)
    ATHERIS.Fuzz()


if __name__ == "__main__":
    main()
