"""Does a server answer as lakeFS does? Recorded calls are sent again, and the answers compared.

``recorded.jsonl.gz`` holds one call per line: its scenario, the request and, unless it only prepares another one, what
lakeFS 1.84.0 with a local block store answered. What differs between any two runs is replaced on both sides: times,
addresses, generated names, commit ids. In requests, ``«run»`` is the name of the run, and ``«12.results.0.id»`` the id
that the twelfth answer gave there (``«12.id:8»``: its first eight characters).

A difference is another status, a field that is missing or has another value, other headers on what was read. Texts of
messages and further fields do not count. Where lakeFS fails itself (status 500, or it hangs up), any refusal is fine.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ml_assets_tests.devlake.wire import Answer, Wire

RECORDED: Final = Path(__file__).with_name("recorded.jsonl.gz")

ALLOWED: Final[Mapping[tuple[str, int], str]] = {
    # lakeFS refuses presigned URLs on a local block store; a server that gives none may just as well ignore the wish.
    ("objects", 186): "GET of an object, presign=true",
    ("objects", 187): "stat, presign=true",
    ("objects", 192): "staging/backing, presign=true",
    ("listing", 525): "listing, presign=true",
}
"""Calls that may be answered differently, by scenario and number."""

_ID: Final = re.compile("[0-9a-f]{64}")
_PLACEHOLDER: Final = re.compile(r"«(\d+(?:\.\w+)*)(?::(\d+))?»")
_TIMES: Final = frozenset({"mtime", "creation_date", "LastModified", "CreationDate"})
_REPLACED: Final = {
    "ContinuationToken": "OPAQUE",
    "NextContinuationToken": "OPAQUE",
    "UploadId": "OPAQUE",
    "cherry-pick-committer": "USER",
    "committer": "USER",
    "meta_range_id": "META",
    "physical_address": "ADDR",
    "token": "OPAQUE",
    "token_expiration": "HIDDEN",
}
"""What stands for the value of a field that no two runs have in common; empty values stay."""

_TEXTS: Final = frozenset({"message", "Message", "Resource", "Region", "HostId", "RequestId", "Key", "BucketName"})
_SHORT: Final = 200
_DAY_S: Final = 86400


def scenarios() -> dict[str, list[dict[str, Any]]]:
    """The recorded calls, by scenario, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        for line in lines:
            call = json.loads(line)
            found.setdefault(call["scenario"], []).append(call)
    return found


@dataclass
class Replay:
    """Plays one scenario.

    Attributes:
        wire: The server.
        run: A name for this run; repositories begin with it.
        names: How ids that were seen are called: ``<12.id>``.
        values: And the other way round: ``12.id``.
    """

    wire: Wire
    run: str
    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def differences(self, calls: list[dict[str, Any]]) -> Iterator[str]:
        """Send *calls*; give a line for each that is not answered as it was recorded."""
        for call in calls:
            answer = self._send(call["request"])
            number = call.get("n")
            if number is None:
                continue
            body = self._body(answer, number)
            found = list(_differences(call, answer, body, self._text))
            if found and (call["scenario"], number) not in ALLOWED:
                request = call["request"]
                yield f"{call['scenario']} {number}: {request['method']} {request['path']}: {'; '.join(found)}"

    def _send(self, request: dict[str, Any]) -> Answer:
        body = request.get("body", b"")
        body = base64.b64decode(body["base64"]) if isinstance(body, dict) else body and self._fill(body).encode()
        path = self._fill(request["path"])
        headers = {name: self._fill(value) for name, value in request.get("headers", {}).items()}
        query = [(self._fill(name), self._fill(value)) for name, value in request.get("query", [])]
        if request["api"] == "raw":
            return self.wire.send(request["method"], path, body, headers)
        if request["api"] == "rest":
            anonymous = request.get("anonymous", False)
            return self.wire.rest(request["method"], path, query=query, body=body, headers=headers, anonymous=anonymous)
        signing = {name: request[name] for name in ("mode", "skew", "corrupt", "key") if name in request}
        return self.wire.s3(request["method"], path, query=query, body=body, headers=headers, **signing)

    def _fill(self, text: str) -> str:
        """A request's text with what this run calls things."""
        text = text.replace("«run»", self.run).replace("«host»", self.wire.host)
        text = text.replace("«key»", self.wire.key).replace("«secret»", self.wire.secret)
        return _PLACEHOLDER.sub(lambda match: self.values.get(match[1], match[0])[: int(match[2] or 999)], text)

    def _text(self, text: str) -> str:
        """An answer's text with what the recording calls things."""
        text = text.replace(self.run, "X").replace(self.wire.host, "HOST")
        return _ID.sub(lambda match: self.names.get(match[0], "C?"), text)

    def _body(self, answer: Answer, number: int) -> Any:
        """The body in the form of the recording."""
        content, kind = answer.body, answer.headers.get("content-type", "")
        if not content:
            return None
        if "json" in kind:
            with suppress(ValueError):  # an object's own content type says nothing about its content
                value = json.loads(content)
                self._learn(value, str(number))
                return self._plain(value)
        if content.startswith(b"<") and "xml" in kind:
            root = ET.fromstring(content)
            return {_tag(root): self._xml(root)}
        if _ID.fullmatch(content.decode("latin-1")):
            self._learn(content.decode(), str(number))
        if len(content) < _SHORT and content.isascii():
            return self._text(content.decode())
        return self._text(f"{len(content)}:{hashlib.md5(content).hexdigest()}")

    def _learn(self, value: Any, place: str) -> None:
        """Remember each new id under the place where it came up first."""
        if isinstance(value, dict):
            for name in sorted(value):
                if name == "token":
                    self.values[f"{place}.token"] = value[name]
                elif name not in ("meta_range_id", "checksum"):
                    self._learn(value[name], f"{place}.{name}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._learn(item, f"{place}.{index}")
        elif isinstance(value, str) and _ID.fullmatch(value) and value not in self.names:
            self.names[value], self.values[place] = f"<{place}>", value

    def _plain(self, value: Any, name: str = "") -> Any:
        """*value*, of a field called *name*, without what differs between runs."""
        if isinstance(value, dict):
            return {self._text(key): self._plain(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item, name) for item in value]
        if name in _REPLACED and value:
            return _REPLACED[name]
        if name in _TIMES and value:
            long_ago = isinstance(value, int) and abs(value - time.time()) > _DAY_S
            return value if long_ago else "T"
        return self._text(value) if isinstance(value, str) else value

    def _xml(self, element: ET.Element) -> Any:
        if not len(element):
            return self._plain(element.text or "", _tag(element))
        children: dict[str, list[Any]] = {}
        for child in element:
            children.setdefault(_tag(child), []).append(self._xml(child))
        return children


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _differences(call: dict[str, Any], answer: Answer, body: Any, plain: Any) -> Iterator[str]:
    request, expected = call["request"], call.get("status", 0)
    if expected in (0, 500) and (answer.status >= 400 or request["method"] in ("GET", "HEAD")):
        return
    if answer.status != expected:
        yield f"status {answer.status}, lakeFS says {expected} ({str(body)[:200]})"
        return
    yield from _compare(call.get("body"), body, "body", error=expected >= 400)
    if expected >= 400:
        return
    of_object = request["api"] != "rest" or "/objects" in request["path"]
    for name, value in call.get("headers", {}).items():
        counts = name != "accept-ranges" and (of_object or name != "content-type")
        found = plain(answer.headers.get(name, ""))
        if counts and (found.partition(";")[0] if name == "content-type" else found) != value:
            yield f"header {name}: {found!r}, lakeFS says {value!r}"


def _compare(expected: Any, found: Any, place: str, *, error: bool) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        yield from _compare_fields(expected, found, place, error=error)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{place}: {len(found)} items, lakeFS says {len(expected)}"
        for index, (left, right) in enumerate(zip(expected, found, strict=False)):
            yield from _compare(left, right, f"{place}[{index}]", error=error)
    elif expected != found and not (error and isinstance(expected, str | None)):
        yield f"{place}: {found!r:.100}, lakeFS says {expected!r:.100}"


def _compare_fields(expected: dict[str, Any], found: dict[str, Any], place: str, *, error: bool) -> Iterator[str]:
    for name, value in expected.items():
        if name in _TEXTS and (error or name in ("message", "Message")):
            continue
        if name == "KeyCount" and "Marker" in expected:
            continue  # lakeFS counts no common prefixes in the first version of listings
        if name in found:
            yield from _compare(value, found[name], f"{place}.{name}", error=error)
        elif value not in ("", None, [], [""]):
            yield f"{place}.{name} is missing, lakeFS says {value!r}"
