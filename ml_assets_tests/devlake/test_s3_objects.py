"""Single objects through the gateway: what is written comes back, whole or in part, and nothing else is taken."""

from __future__ import annotations

import hashlib
import os
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.s3_errors import S3Error
from ml_assets.lib.devlake.s3_metadata import metadata_headers, received_metadata
from ml_assets.lib.devlake.s3_request import requested_range
from ml_assets.lib.devlake.sigv4 import Received
from ml_assets_tests.devlake.wire import Mode, Wire

MODES: list[Mode] = ["hash", "unsigned", "chunked", "trailer", "presign"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_001])
def test_what_is_written_comes_back(wire: Wire, repository: str, mode: Mode, size: int) -> None:
    """An object of any size, signed in any way, is read back byte for byte, with its MD5 as entity tag."""
    data = os.urandom(size)
    written = wire.s3("PUT", f"/{repository}/main/dir/a", body=data, mode=mode)
    assert (written.status, written.headers["etag"]) == (200, f'"{hashlib.md5(data).hexdigest()}"')
    read = wire.s3("GET", f"/{repository}/main/dir/a")
    assert (read.status, read.body, read.headers["etag"]) == (200, data, written.headers["etag"])
    head = wire.s3("HEAD", f"/{repository}/main/dir/a")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(size), b"")


def test_both_apis_see_one_object(wire: Wire, repository: str) -> None:
    """What S3 writes, REST reads, and the other way round."""
    wire.s3("PUT", f"/{repository}/main/a", body=b"through s3", headers={"Content-Type": "text/plain"})
    stat = wire.rest("GET", f"/repositories/{repository}/refs/main/objects/stat", query={"path": "a"}).json()
    assert (stat["size_bytes"], stat["content_type"]) == (10, "text/plain")
    wire.rest("POST", f"/repositories/{repository}/branches/main/objects", query={"path": "b"}, body=b"through rest")
    assert wire.s3("GET", f"/{repository}/main/b").body == b"through rest"


@pytest.mark.parametrize("mode", ["hash", "chunked"])
def test_another_payload_than_was_signed(wire: Wire, repository: str, mode: Mode) -> None:
    """A payload that changes on the way is refused and leaves no object."""
    send = wire.send

    def tampering(method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> object:
        return send(method, target, body.replace(b"good", b"evil"), headers)

    wire.send = tampering  # type: ignore[method-assign, assignment]
    written = wire.s3("PUT", f"/{repository}/main/a", body=b"good", mode=mode)
    assert (written.status, written.code) in [(400, "XAmzContentSHA256Mismatch"), (403, "SignatureDoesNotMatch")]
    assert wire.s3("GET", f"/{repository}/main/a").status == 404


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"}, "NotImplemented"),
        ({"x-amz-content-sha256": "nonsense"}, "NotImplemented"),
        ({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "InvalidRequest"),
        (
            {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-trailer": "x-amz-checksum-md5"},
            "InvalidRequest",
        ),
        (
            {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-decoded-content-length": "-1"},
            "InvalidArgument",
        ),
        ({"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, "InvalidRequest"),
    ],
)
def test_payloads_that_lakefs_does_not_take(
    wire: Wire, repository: str, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], code: str
) -> None:
    """What is announced as something unknown, or is not what was announced, is refused with a reason."""
    monkeypatch.setattr("ml_assets_tests.devlake.wire._payload_hash", lambda *_: headers["x-amz-content-sha256"])
    assert wire.s3("PUT", f"/{repository}/main/a", body=b"data\r\n", headers=headers).code == code


def test_conditions(wire: Wire, repository: str) -> None:
    """``If-None-Match: *`` writes only what is not there; an empty one is none; lakeFS knows no other condition."""
    path = f"/{repository}/main/a"
    statuses = [
        wire.s3("PUT", path, body=b"x", headers={"If-None-Match": condition}).status
        for condition in ("*", "*", "", '"etag"')
    ]
    assert statuses == [200, 412, 200, 501]
    assert wire.s3("PUT", path, body=b"x", headers={"If-Match": "*"}).status == 501


def test_ranges(wire: Wire, repository: str) -> None:
    """Ranges give their bytes, also across the pieces that are read at a time; nonsense gives the whole object."""
    data = os.urandom(2_500_000)
    path = f"/{repository}/main/a"
    wire.s3("PUT", path, body=data, mode="unsigned")
    for header, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=1048575-1048577", 1048575, 1048578),
        ("bytes=5-2199999", 5, 2200000),
        ("bytes=2400000-", 2400000, 2500000),
        ("bytes=-7", 2499993, 2500000),
        ("bytes=-9999999", 0, 2500000),
    ):
        part = wire.s3("GET", path, headers={"Range": header})
        assert (part.status, part.body) == (206, data[start:stop])
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/2500000"
        head = wire.s3("HEAD", path, headers={"Range": header})
        assert (head.status, head.headers["content-length"]) == (206, str(stop - start))
    for header in ("bytes=5-2", "bytes=0-1,3-4", "bytes=a-b", f"bytes={'9' * 5000}-"):
        assert wire.s3("GET", path, headers={"Range": header}).body == data
    assert wire.s3("GET", path, headers={"Range": "bytes=2500000-"}).code == "InvalidRange"


@given(st.text(st.sampled_from("bytes=-0123456789, "), max_size=20), st.integers(0, 300))
def test_a_range_is_within_the_object(header: str, size: int) -> None:
    """Whatever is asked for, the answer is refused, or all, or at least one byte that is there."""
    for asked in (header, f"bytes={header}"):
        try:
            span = requested_range(asked, size)
        except S3Error:
            continue
        assert span is None or 0 <= span[0] < span[1] <= size


KEYS = ["a b/c+d", "ünï/日本", "pct%41", "x//y", "dir/", "q'\"<&>", "a?b#c", "x" * 1000, ".hidden", "..", "a/../b", "*"]


@pytest.mark.parametrize("key", KEYS)
def test_odd_keys(wire: Wire, repository: str, key: str) -> None:
    """A key is any text: it is never taken for a path of the file system, and comes back in a listing."""
    assert wire.s3("PUT", f"/{repository}/main/{key}", body=key.encode()).status == 200
    assert wire.s3("GET", f"/{repository}/main/{key}").body == key.encode()
    listing = ET.fromstring(wire.s3("GET", f"/{repository}", query={"list-type": "2", "prefix": "main/"}).body)
    assert [element.text for element in listing.iter("Key")] == [f"main/{key}"]
    assert wire.s3("DELETE", f"/{repository}/main/{key}").status == 204
    assert wire.s3("GET", f"/{repository}/main/{key}").code == "NoSuchKey"


def test_a_path_that_is_no_text(wire: Wire, repository: str) -> None:
    """A URL that is not UTF-8 is refused."""
    wire_path = f"/{repository}/main/%ff"
    answer = wire.send("GET", f"{wire_path}?X-Amz-Algorithm=x")
    assert answer.status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("key", ["main", "main/", "nope", "nope/"])
def test_a_branch_is_no_object(wire: Wire, repository: str, method: str, key: str) -> None:
    """``repo/main/`` is 404 for every method, as in lakeFS: PyArrow's folder markers must fail here, too."""
    answer = wire.s3(method, f"/{repository}/{key}")
    assert (answer.status, answer.body) == (404, b"")


def test_writes_need_a_branch(wire: Wire, repository: str) -> None:
    """A tag, a commit or a missing branch cannot be written to; deleting there is no error."""
    base = f"/repositories/{repository}"
    head = wire.rest("GET", f"{base}/branches/main").json()["commit_id"]
    wire.rest("POST", f"{base}/tags", json_body={"id": "t1", "ref": "main"})
    for ref in ("t1", head, "nope"):
        assert wire.s3("PUT", f"/{repository}/{ref}/a", body=b"x").code == "NoSuchBucket"
        assert wire.s3("DELETE", f"/{repository}/{ref}/a").status == 204
    for ref in ("main~1", "main@", "a.b"):
        assert wire.s3("PUT", f"/{repository}/{ref}/a", body=b"x").status == 400
    assert wire.s3("PUT", "/no-such-repo/main/a", body=b"x").code == "NoSuchBucket"


def test_protected_and_read_only(wire: Wire, repository: str) -> None:
    """A protected branch and a read-only repository refuse writes, each with lakeFS's own code."""
    rules = f"/repositories/{repository}/settings/branch_protection"
    assert wire.rest("PUT", rules, json_body=[{"pattern": "main"}]).status == 204
    for method in ("PUT", "DELETE"):
        assert wire.s3(method, f"/{repository}/main/a").code == "ErrWriteToProtectedBranch"
    name = f"{repository}-ro"
    made = {"name": name, "storage_namespace": f"local://{name}", "read_only": True}
    wire.rest("POST", "/repositories", json_body=made)
    for method, query in (("PUT", {}), ("DELETE", {}), ("POST", {"uploads": ""})):
        assert wire.s3(method, f"/{name}/main/a", query=query).code == "ErrReadOnlyRepository"
    delete = b"<Delete><Object><Key>main/a</Key></Object></Delete>"
    assert wire.s3("POST", f"/{name}", query={"delete": ""}, body=delete).code == "ErrReadOnlyRepository"


def test_metadata_travels(wire: Wire, repository: str) -> None:
    """User metadata comes back through S3, beyond ASCII as encoded words, and shows up in REST under its own name."""
    sent = {"x-amz-meta-Plain": "a b", "x-amz-meta-word": "=?utf-8?q?gr=C3=BC=C3=9Fe?=", "content-type": "text/csv"}
    wire.s3("PUT", f"/{repository}/main/a", body=b"x", headers=sent)
    head = wire.s3("HEAD", f"/{repository}/main/a")
    assert head.headers["x-amz-meta-plain"] == "a b"
    assert head.headers["x-amz-meta-word"] == "=?utf-8?q?gr=C3=BC=C3=9Fe?="
    assert head.headers["content-type"] == "text/csv"
    stat = wire.rest("GET", f"/repositories/{repository}/refs/main/objects/stat", query={"path": "a"}).json()
    assert stat["metadata"] == {"X-Amz-Meta-plain": "a b", "X-Amz-Meta-word": "grüße"}


def test_encoded_words_are_as_long_as_they_may_be() -> None:
    """Long text comes as several words of 75 characters at most, a space as an underscore; no character is split."""
    [header] = metadata_headers({"X-Amz-Meta-a": "\u05d4 " * 10 + "=?_\t~"}).values()
    first, second = "=D7=94_" * 9, "=D7=94_=3D=3F=5F=09~"
    assert header == f"=?utf-8?q?{first}?= =?utf-8?q?{second}?="
    [header] = metadata_headers({"X-Amz-Meta-a": "x" * 61 + "\u05d4"}).values()
    assert header == f"=?utf-8?q?{'x' * 61}?= =?utf-8?q?=D7=94?="


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-meta-a": "x" * 2048}, "MetadataTooLarge"),
        ({"x-amz-meta-a": "=?nonsense?q?x?="}, "InvalidArgument"),
        ({"x-amz-meta-a": "=?utf-8?b?x?="}, "InvalidArgument"),
    ],
)
def test_metadata_that_is_refused(wire: Wire, repository: str, headers: dict[str, str], code: str) -> None:
    """Too much metadata, and encoded words that are none, are refused."""
    assert wire.s3("PUT", f"/{repository}/main/a", body=b"x", headers=headers).code == code


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_metadata_goes_there_and_back(value: str) -> None:
    """Any text survives the way into headers and back, and never breaks out of its header."""
    headers = metadata_headers({"X-Amz-Meta-key": value, "other": "x", "X-Amz-Meta-bad key": "y"})
    assert headers.pop("x-amz-missing-meta") == "1"
    [(name, header)] = headers.items()
    assert header.isprintable() or "\t" in header
    received = received_metadata(Received("PUT", b"/", (), [(name.encode(), header.encode("ascii"))]))
    if "=?" not in value:
        assert received == {"X-Amz-Meta-key": value}


@pytest.mark.parametrize("source", ["/{repository}/main/a", "{repository}/main/a", "/{repository}/main%2Fa"])
def test_copies(wire: Wire, repository: str, source: str) -> None:
    """A copy has the bytes, the type and the metadata of its source, unless the metadata is replaced."""
    headers = {"x-amz-meta-k": "v", "content-type": "text/x"}
    wire.s3("PUT", f"/{repository}/main/a", body=b"copy me", headers=headers)
    asked = {"x-amz-copy-source": source.format(repository=repository)}
    assert wire.s3("PUT", f"/{repository}/main/b", headers=asked).status == 200
    replace = {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-n": "w"}
    assert wire.s3("PUT", f"/{repository}/main/c", headers=asked | replace).status == 200
    for key, metadata in (("b", {"x-amz-meta-k": "v"}), ("c", {"x-amz-meta-n": "w"})):
        copy = wire.s3("GET", f"/{repository}/main/{key}")
        assert (copy.body, copy.headers["content-type"]) == (b"copy me", "text/x")
        assert {name: value for name, value in copy.headers.items() if "meta" in name} == metadata


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("garbage", 400, "InvalidArgument"),
        ("/{repository}/main", 400, "InvalidArgument"),
        ("/{repository}/main/none", 404, "NoSuchKey"),
        ("/{repository}/nope/a", 404, "NoSuchKey"),
        ("/no-such-repo/main/a", 404, "NoSuchKey"),
    ],
)
def test_copies_of_nothing(wire: Wire, repository: str, source: str, status: int, code: str) -> None:
    """A copy without a source is refused, and makes no object."""
    headers = {"x-amz-copy-source": source.format(repository=repository)}
    answer = wire.s3("PUT", f"/{repository}/main/b", headers=headers)
    assert (answer.status, answer.code) == (status, code)


def test_sub_resources(wire: Wire, repository: str) -> None:
    """What lakeFS does not have is refused; tags and versions of an object are empty."""
    path = f"/{repository}/main/a"
    wire.s3("PUT", path, body=b"x")
    for method, name in (
        ("GET", "acl"),
        ("PUT", "acl"),
        ("PUT", "tagging"),
        ("DELETE", "tagging"),
        ("POST", "restore"),
    ):
        assert wire.s3(method, path, query={name: ""}).code == "ERRLakeFSNotSupported"
    assert b"<TagSet></TagSet>" in wire.s3("GET", path, query={"tagging": ""}).body
    assert wire.s3("GET", path, query={"versioning": ""}).status == 200
    assert wire.s3("GET", path).body == b"x"
