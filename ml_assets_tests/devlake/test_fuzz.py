"""Whatever clients send: the lake refuses it or does it; it never fails (5xx), hangs, or gives itself away."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ml_assets.lib.devlake import rest_objects, rest_refs, rest_repositories
from ml_assets.lib.devlake.routes import Route
from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.devlake.odd import (
    BOMB,
    CONTENT_TYPES,
    FIELDS,
    FILE,
    HEADER_VALUES,
    HEADERS,
    LINES,
    PARAMETERS,
    TEXTS,
    TREES,
    VALUES,
)
from ml_assets_tests.devlake.wire import Answer, Mode, Wire

SHARED: Final = settings(
    max_examples=5 * settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""The server is shared by all examples: what one of them leaves behind, the next one meets."""

ROUTES: Final = [
    route
    for route in (*rest_repositories.ROUTES, *rest_refs.ROUTES, *rest_objects.ROUTES)
    if (route.method, route.path) not in {("DELETE", "/repositories/{repository}"), ("POST", "/repositories")}
]


@pytest.fixture(scope="module")
def repository(endpoint: Endpoint) -> str:
    """A repository with something in it: branches, a tag, commits, staged objects."""
    name = f"fuzz-{secrets.token_hex(4)}"
    with contextlib.closing(Wire(endpoint)) as wire:
        call = partial(wire.rest, json_body=None)
        call("POST", "/repositories", json_body={"name": name, "storage_namespace": f"local://{name}"})
        for path in ("a", "p/b"):
            wire.s3("PUT", f"/{name}/main/{path}", body=CONTENT)
        call("POST", f"/repositories/{name}/branches/main/commits", json_body={"message": "m"})
        call("POST", f"/repositories/{name}/branches", json_body={"name": "dev", "source": "main"})
        call("POST", f"/repositories/{name}/tags", json_body={"id": "tag", "ref": "main"})
        wire.s3("PUT", f"/{name}/dev/staged", body=b"staged")
    return name


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    """A connection for all examples of a test."""
    connection = Wire(endpoint)
    yield connection
    connection.close()


def is_answered(wire: Wire, call: Callable[[], Answer]) -> Answer:
    """The answer, which is no failure, and has no header that somebody smuggled in."""
    try:
        answer = call()
    except BaseException:
        wire.close()  # the next example begins anew
        raise
    assert answer.status < 500 or answer.status == 501, answer
    assert "x-injected" not in answer.headers
    return answer


CONTENT: Final = b"content"
SOUND: Final = {
    "message": "m",
    "metadata": {},
    "source": "main",
    "type": "object",
    "path": "a",
    "paths": ["a"],
    "ref": "main",
    "src_path": "a",
    "checksum": "x",
    "size_bytes": len(CONTENT),
    "set": {},
    "keys": ["k"],
    "force": False,
    "default_retention_days": 1,
    "branches": [],
    "allow_empty": True,
}
"""A body that fits any call: what a call does not know, it ignores."""

BODIES: Final = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3).map(lambda odd: {**SOUND, **odd}),
    VALUES,
    st.binary(max_size=40),
)
ARGUMENTS: Final = st.one_of(st.just("main"), st.just("main"), TEXTS)


@SHARED
@given(route=st.sampled_from(ROUTES), data=st.data())
def test_calls_of_the_rest_api(wire: Wire, repository: str, route: Route, data: st.DataObject) -> None:
    """Any call, with any arguments, parameters, headers and body."""
    segments = [
        quote(repository if name == "{repository}" else data.draw(ARGUMENTS), safe="") if name.startswith("{") else name
        for name in route.path.split("/")
    ]
    query = data.draw(st.lists(st.tuples(st.sampled_from(PARAMETERS), TEXTS), max_size=4))
    query += data.draw(st.sampled_from([[], [("path", "a"), ("dest_path", "b")]]))
    headers = data.draw(st.dictionaries(st.sampled_from(HEADERS), HEADER_VALUES, max_size=2))
    body = data.draw(BODIES)
    if isinstance(body, dict):
        body.setdefault("physical_address", f"local://{repository}/data/{hashlib.sha256(CONTENT).hexdigest()}")
        body.setdefault("id", secrets.token_hex(4))
        body.setdefault("name", secrets.token_hex(4))
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    is_answered(wire, lambda: wire.rest(route.method, "/".join(segments), query=query, headers=headers, body=encoded))


@pytest.mark.parametrize("seconds", [2**33, 9223372036, 2**53, 2**63 - 1, -(2**63), 1e18])
def test_times_that_are_none(wire: Wire, repository: str, seconds: float) -> None:
    """A date that cannot be shown or stored is refused, and no listing breaks on one that can."""
    branch = f"/repositories/{repository}/branches/main"
    body = {**SOUND, "date": seconds, "mtime": seconds}
    body["physical_address"] = f"local://{repository}/data/{hashlib.sha256(CONTENT).hexdigest()}"
    expected = 400 if abs(seconds) > 2**33 else 201
    assert wire.rest("POST", f"{branch}/commits", json_body=body).status == expected
    assert wire.rest("PUT", f"{branch}/objects", query={"path": "timed"}, json_body=body).status == expected
    assert wire.rest("GET", f"/repositories/{repository}/refs/main/commits").status == 200
    assert wire.s3("GET", f"/{repository}", query={"prefix": "main/"}).status == 200


@SHARED
@given(st.data())
def test_calls_of_the_s3_api(wire: Wire, repository: str, data: st.DataObject) -> None:
    """Any method on any key, signed as it should be."""
    method = data.draw(st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]))
    ref = data.draw(ARGUMENTS)
    target = f"/{repository}/{ref}/{data.draw(TEXTS)}" if ref else f"/{repository}"
    query = data.draw(st.dictionaries(st.sampled_from(PARAMETERS), TEXTS, max_size=3))
    headers = data.draw(st.dictionaries(st.sampled_from(HEADERS), HEADER_VALUES, max_size=2))
    body = data.draw(st.one_of(st.binary(max_size=40), st.sampled_from([b"<Delete/>", b"<a>"])))
    mode: Mode = data.draw(st.sampled_from(["hash", "unsigned", "chunked", "trailer", "presign"]))
    is_answered(wire, lambda: wire.s3(method, target, query=query, headers=headers, body=body, mode=mode))


@SHARED
@given(tree=TREES, root=st.sampled_from(["Delete", "CompleteMultipartUpload"]))
@example(tree=BOMB, root="")
@example(tree=FILE, root="")
@example(tree="<Object>" * 1000, root="Delete")
@example(tree="<Object><Key>a</Key></Object>" * 1001, root="Delete")
@example(tree="<Part><PartNumber>1</PartNumber></Part>" * 20_000, root="CompleteMultipartUpload")
@example(tree="<x/>" * 100_001, root="Delete")
def test_documents(wire: Wire, repository: str, tree: str, root: str) -> None:
    """Any XML, and what is none: bombs and outside entities are refused before they are read."""
    body = (f"<{root}>{tree}</{root}>" if root else tree).encode(errors="replace")
    begun = wire.s3("POST", f"/{repository}/main/fuzzed", query={"uploads": ""})
    upload = begun.body.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
    for target, query in ((f"/{repository}", {"delete": ""}), (f"/{repository}/main/fuzzed", {"uploadId": upload})):
        answer = is_answered(wire, partial(wire.s3, "POST", target, query=query, body=body))
        if tree in (BOMB, FILE):
            assert answer.status == 400


LAWFUL_PATHS: Final = TEXTS.filter(lambda text: 0 < len(text.encode(errors="replace")) <= 1024)


@SHARED
@given(path=LAWFUL_PATHS, content=st.binary(max_size=30), data=st.data())
def test_what_is_stored_comes_back(wire: Wire, repository: str, path: str, content: bytes, data: st.DataObject) -> None:
    """An odd path, type or metadata is refused, or comes back through both APIs with its bytes, and alone."""
    content_type = data.draw(CONTENT_TYPES)
    metadata = data.draw(st.dictionaries(TEXTS, TEXTS, max_size=3))
    way = data.draw(st.sampled_from(["rest", "form", "s3"]))
    objects = f"/repositories/{repository}/branches/main/objects"
    headers = {"Content-Type": content_type}
    if way == "s3":
        stored = is_answered(wire, lambda: wire.s3("PUT", f"/{repository}/main/{path}", body=content, headers=headers))
    else:
        body = content
        if way == "form":
            headers = {"Content-Type": "multipart/form-data; boundary=b0"}
            head = f'--b0\r\nContent-Disposition: form-data; name="content"\r\nContent-Type: {content_type}\r\n\r\n'
            body = head.encode("latin-1") + content + b"\r\n--b0--\r\n"
        stored = is_answered(wire, lambda: wire.rest("POST", objects, query={"path": path}, headers=headers, body=body))
    if stored.status >= 300:
        return
    is_answered(
        wire,
        lambda: wire.rest("PUT", f"{objects}/stat/user_metadata", query={"path": path}, json_body={"set": metadata}),
    )
    query = {"path": path}
    of_main = f"/repositories/{repository}/refs/main/objects"
    assert is_answered(wire, lambda: wire.rest("GET", of_main, query=query)).body == content
    assert is_answered(wire, lambda: wire.rest("HEAD", of_main, query=query)).status == 200
    assert is_answered(wire, lambda: wire.s3("GET", f"/{repository}/main/{path}")).body == content
    assert is_answered(wire, lambda: wire.s3("HEAD", f"/{repository}/main/{path}")).status == 200
    listed = is_answered(wire, lambda: wire.rest("GET", f"{of_main}/ls", query={"prefix": path, "amount": "1"}))
    assert listed.json()["results"][0]["path"] == path
    assert (
        is_answered(
            wire, lambda: wire.s3("GET", f"/{repository}", query={"list-type": "2", "prefix": f"main/{path}"})
        ).status
        == 200
    )
    assert wire.rest("DELETE", objects, query=query).status == 204


@SHARED
@given(st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=12))
def test_bytes_on_the_wire(endpoint: Endpoint, wire: Wire, pieces: list[bytes]) -> None:
    """What is no HTTP is refused or waited for; strangers are never let in, and the server goes on."""
    where = urlsplit(endpoint.url)
    answer = b""
    with contextlib.suppress(ConnectionError), socket.create_connection((where.hostname, where.port), 10) as connection:
        connection.sendall(b"".join(pieces))
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            answer += piece
    for status in re.findall(rb"^HTTP/1.1 (\d+)", answer, re.MULTILINE):
        assert int(status) in (100, 204) or 400 <= int(status) < 500, answer
    assert wire.rest("GET", "/healthcheck", anonymous=True).status == 204


HEAD: Final = b"GET /api/v1/repositories HTTP/1.1\r\nHost: x\r\n"
CHUNKED: Final = b"PUT /x/main/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (HEAD + b"X-A: ", b"a" * 10_000),
        (HEAD, b"X-A: b\r\n" * 1000),
        (b"GET /", b"a" * 10_000),
        (b"", b"a" * 10_000),
        (CHUNKED + b"X-Trailer: ", b"a" * 10_000),
        (CHUNKED, b"X-A: b\r\n" * 1000),
    ],
)
def test_endless_heads_are_cut_off(endpoint: Endpoint, begin: bytes, endless: bytes) -> None:
    """A stranger who never comes to the point is sent away before he has cost anything."""
    where = urlsplit(endpoint.url)
    sent = 0
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            while sent < 20_000_000:
                connection.sendall(endless)
                sent += len(endless)
    assert sent < 20_000_000  # what the system's buffers hold, and not what the server takes


def test_long_bodies(wire: Wire, repository: str) -> None:
    """JSON that is too long or too deep is refused, and long lists are as cheap as they should be."""
    path = f"/repositories/{repository}/branches/main/objects/delete"
    assert wire.rest("POST", path, json_body={"paths": ["x"] * 1001}).status == 400
    assert wire.rest("POST", path, json_body={"paths": ["x" * 1024] * 1000}).status == 200
    assert wire.rest("POST", path, body=b"[" * 1_000_000).status == 400
    assert wire.rest("POST", path, body=b'{"paths": [' + b"9" * 100_000 + b"]}").status == 400
    with contextlib.suppress(ConnectionError, http.client.HTTPException):  # it may hang up while it is being sent
        assert wire.rest("POST", path, body=b" " * (33 << 20)).status == 400
