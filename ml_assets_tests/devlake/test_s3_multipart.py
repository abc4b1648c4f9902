"""Multipart uploads: parts in any order become one object, exactly once, and nothing of an aborted one remains."""

from __future__ import annotations

import hashlib
import os
from xml.etree import ElementTree as ET

import pytest

from ml_assets_tests.devlake.wire import Answer, Mode, Wire


class Upload:
    """One upload to ``main/<key>``."""

    def __init__(self, wire: Wire, repository: str, key: str = "object", **headers: str) -> None:
        self.wire, self.path = wire, f"/{repository}/main/{key}"
        begun = wire.s3("POST", self.path, query={"uploads": ""}, headers=headers)
        assert begun.status == 200
        self.id = ET.fromstring(begun.body).findtext("{*}UploadId") or ""
        self.tags: dict[int, str] = {}

    def part(self, number: int, data: bytes = b"", *, mode: Mode = "hash", **headers: str) -> Answer:
        """Upload a part, or copy one."""
        query = {"partNumber": str(number), "uploadId": self.id}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.wire.s3("PUT", self.path, query=query, body=data, headers=sent, mode=mode)
        tag = answer.headers.get("etag") or (ET.fromstring(answer.body).findtext("{*}ETag") if answer.body else "")
        self.tags[number] = (tag or "").strip('"')
        return answer

    def complete(self, *, condition: str = "") -> Answer:
        """Make the object of the parts, in the order of their numbers."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{tag}&quot;</ETag></Part>"
            for number, tag in sorted(self.tags.items())
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        headers = {"If-None-Match": condition} if condition else {}
        return self.wire.s3("POST", self.path, query={"uploadId": self.id}, body=body, headers=headers)

    def abort(self) -> Answer:
        """Give it up."""
        return self.wire.s3("DELETE", self.path, query={"uploadId": self.id})


def tag_of(*parts: bytes) -> str:
    """The entity tag of an object of these parts, as S3 counts it."""
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"'


@pytest.mark.parametrize("mode", ["hash", "unsigned", "chunked", "trailer", "presign"])
def test_parts_become_one_object(wire: Wire, repository: str, mode: Mode) -> None:
    """Parts that arrive in any order are joined by number; type and metadata are those of the beginning."""
    first, second = os.urandom(3_000_000), os.urandom(10)
    upload = Upload(wire, repository, **{"content-type": "text/mp", "x-amz-meta-k": "v"})
    assert upload.part(2, second, mode=mode).status == 200
    assert upload.part(1, first, mode=mode).status == 200
    assert wire.s3("GET", upload.path).status == 404
    completed = ET.fromstring(upload.complete().body)
    assert completed.findtext("{*}ETag") == tag_of(first, second)
    assert completed.findtext("{*}Location") == f"http://{wire.host}{upload.path}"
    read = wire.s3("GET", upload.path)
    assert read.body == first + second
    assert (read.headers["content-type"], read.headers["x-amz-meta-k"]) == ("text/mp", "v")
    assert read.headers["etag"] == tag_of(first, second).replace("-2", "")
    middle = wire.s3("GET", upload.path, headers={"Range": "bytes=2999998-3000001"})
    assert middle.body == first[-2:] + second[:2]


def test_a_part_that_is_sent_again_replaces(wire: Wire, repository: str) -> None:
    """The last part of a number counts: a retry after a lost answer changes nothing."""
    upload = Upload(wire, repository)
    for data in (b"old", b"new", b"new"):
        upload.part(1, data)
    upload.complete()
    assert wire.s3("GET", upload.path).body == b"new"


def test_no_parts_are_an_empty_object(wire: Wire, repository: str) -> None:
    """An upload that is completed without parts makes an empty object, as in lakeFS."""
    upload = Upload(wire, repository)
    assert ET.fromstring(upload.complete().body).findtext("{*}ETag") == tag_of()
    assert wire.s3("GET", upload.path).body == b""


def test_the_listed_parts_make_the_tag(wire: Wire, repository: str) -> None:
    """As in lakeFS, the tag is that of the parts which the client lists, the bytes are those of all uploaded parts."""
    upload = Upload(wire, repository)
    upload.part(1, b"1")
    upload.part(2, b"2")
    del upload.tags[2]
    assert ET.fromstring(upload.complete().body).findtext("{*}ETag") == tag_of(b"1")
    read = wire.s3("GET", upload.path)
    assert (read.body, read.headers["etag"]) == (b"12", tag_of(b"1").replace("-1", ""))


def test_an_upload_belongs_to_its_key(wire: Wire, repository: str) -> None:
    """Under another key an upload does not exist."""
    upload = Upload(wire, repository)
    upload.part(1, b"1")
    own, upload.path = upload.path, f"/{repository}/main/other"
    assert (upload.part(2, b"2").code, upload.complete().code) == ("NoSuchUpload", "NoSuchUpload")
    assert upload.abort().code == "NoSuchKey"
    upload.path = own
    assert upload.complete().status == 200
    assert wire.s3("GET", own).body == b"1"


def test_parts_from_copies(wire: Wire, repository: str) -> None:
    """A part can be a copy of an object or of a range of it; a range that makes no sense is the whole object."""
    wire.s3("PUT", f"/{repository}/main/source", body=b"0123456789")
    source = f"/{repository}/main/source"
    upload = Upload(wire, repository)
    for number, span in ((1, ""), (2, "bytes=2-5"), (3, "bytes=90-95"), (4, "x")):
        answer = upload.part(number, x_amz_copy_source=source, x_amz_copy_source_range=span)
        assert (answer.status, b"<CopyObjectResult>" in answer.body) == (200, True)
    assert upload.complete().status == 200
    assert wire.s3("GET", upload.path).body == b"0123456789" + b"2345" + b"0123456789" * 2
    missing = Upload(wire, repository, "other").part(1, x_amz_copy_source=f"/{repository}/main/none")
    assert missing.code == "InvalidArgument"


def test_a_copy_of_a_joined_object_has_its_own_tag(wire: Wire, repository: str) -> None:
    """The tag of a copied part is the MD5 of its bytes, also where the source's tag is one of parts."""
    upload = Upload(wire, repository, "source")
    upload.part(1, b"a" * 100)
    upload.part(2, b"b" * 100)
    upload.complete()
    copy = Upload(wire, repository)
    copy.part(1, x_amz_copy_source=upload.path)
    assert copy.tags[1] == hashlib.md5(b"a" * 100 + b"b" * 100).hexdigest()


def test_an_upload_ends_once(wire: Wire, repository: str) -> None:
    """A completed or aborted upload is gone for parts, completion and abortion."""
    completed, aborted = Upload(wire, repository, "a"), Upload(wire, repository, "b")
    completed.part(1, b"1")
    assert completed.complete().status == 200
    aborted.part(1, b"1")
    assert aborted.abort().status == 204
    for upload in (completed, aborted):
        assert upload.part(2, b"2").code == "NoSuchUpload"
        assert upload.complete().code == "NoSuchUpload"
        assert upload.abort().code == "NoSuchKey"
    assert wire.s3("GET", completed.path).body == b"1"
    assert wire.s3("GET", aborted.path).status == 404


def test_the_condition_of_a_completion(wire: Wire, repository: str) -> None:
    """``If-None-Match: *`` on completion refuses to replace, and the upload stays open."""
    wire.s3("PUT", f"/{repository}/main/object", body=b"first")
    upload = Upload(wire, repository)
    upload.part(1, b"second")
    assert upload.complete(condition="*").status == 412
    assert upload.complete(condition='"etag"').status == 501
    assert wire.s3("GET", upload.path).body == b"first"
    assert upload.complete().status == 200
    assert wire.s3("GET", upload.path).body == b"second"


def test_a_protected_branch_is_found_out_at_the_end(wire: Wire, repository: str) -> None:
    """An upload to a protected branch begins and is refused on completion, as in lakeFS."""
    wire.rest("PUT", f"/repositories/{repository}/settings/branch_protection", json_body=[{"pattern": "*"}])
    upload = Upload(wire, repository)
    assert upload.part(1, b"1").status == 200
    assert upload.complete().code == "ErrWriteToProtectedBranch"


@pytest.mark.parametrize("number", ["x", "", "1.5", "9" * 5000])
def test_part_numbers_are_numbers(wire: Wire, repository: str, number: str) -> None:
    """A part number that is none is refused."""
    upload = Upload(wire, repository)
    query = {"partNumber": number, "uploadId": upload.id}
    assert wire.s3("PUT", upload.path, query=query, body=b"1").code == "InvalidArgument"


@pytest.mark.parametrize("body", [b"", b"garbage", b"<Other/>"])
def test_a_completion_that_is_no_document(wire: Wire, repository: str, body: bytes) -> None:
    """A malformed completion is refused, and the upload stays open."""
    upload = Upload(wire, repository)
    upload.part(1, b"1")
    assert wire.s3("POST", upload.path, query={"uploadId": upload.id}, body=body).code == "MalformedXML"
    assert upload.complete().status == 200


def test_uploads_need_a_branch(wire: Wire, repository: str) -> None:
    """An upload to what is no branch, or to no path, does not begin."""
    assert wire.s3("POST", f"/{repository}/nope/x", query={"uploads": ""}).code == "NoSuchBucket"
    assert wire.s3("POST", f"/{repository}/main~1/x", query={"uploads": ""}).status == 400
    assert wire.s3("POST", f"/{repository}/main/", query={"uploads": ""}).status == 404


def test_parts_are_not_listed(wire: Wire, repository: str) -> None:
    """As with lakeFS's local block store, the parts of an upload cannot be listed."""
    upload = Upload(wire, repository)
    assert wire.s3("GET", upload.path, query={"uploadId": upload.id}).code == "NotImplemented"
