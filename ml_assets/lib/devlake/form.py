"""Reading one part of a ``multipart/form-data`` body as it comes in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from ml_assets.lib.devlake.errors import Invalid


class FormPart:
    """The first part of a form that has this name: its bytes, and then its content type.

    Raises:
        Invalid: The body is not such a form, or has no such part.
    """

    def __init__(self, content_type: str, name: str) -> None:
        self.content_type = ""
        self._name = name
        self._wanted = False
        self._seen = False
        self._whole = False
        self._pending: list[bytes] = []
        self._headers = Message()
        self._field = b""
        self._value = b""
        header = Message()
        header["content-type"] = content_type
        boundary = header.get_param("boundary")
        if not isinstance(boundary, str) or not boundary:
            raise Invalid("no multipart boundary param in Content-Type")
        self._parser = MultipartParser(
            boundary.encode("latin-1", "replace"),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_field,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end,
            },
        )

    async def chunks(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The bytes of the part. Reads *body* to its end."""
        try:
            async for chunk in body:
                self._parser.write(chunk)
                for data in self._pending:
                    yield data
                self._pending.clear()
            self._parser.finalize()
        except FormParserError as error:
            raise Invalid(f"multipart: {error}") from None
        if not self._seen:
            raise Invalid(f"multipart upload missing key '{self._name}'")
        if not self._whole:
            raise Invalid("multipart: the body ends within a part")

    def _begin(self) -> None:
        self._headers = Message()

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.decode("latin-1")] = self._value.decode("latin-1")
        self._field = self._value = b""

    def _end_headers(self) -> None:
        name = self._headers.get_param("name", header="content-disposition")
        self._wanted = not self._seen and name == self._name
        if self._wanted:
            self._seen = True
            self.content_type = self._headers.get("content-type", "")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self._pending.append(data[start:end])

    def _end(self) -> None:
        self._whole = self._whole or self._wanted
        self._wanted = False
