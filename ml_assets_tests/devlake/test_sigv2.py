"""Signatures of version 2: the published examples, botocore as an independent signer, and what must be refused."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv2 import verify
from ml_assets.lib.devlake.sigv4 import Received, parse_query

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def secret_of(key: str) -> str | None:
    """The only key there is."""
    return SECRET if key == KEY else None


def received(method: str, url: str, signature: str, headers: Sequence[tuple[str, str]]) -> Received:
    """A request as it arrives."""
    path, _, query = url.partition("?")
    sent = [*headers, ("authorization", f"AWS {KEY}:{signature}")]
    return Received(method, path.encode(), parse_query(query.encode()), [(k.encode(), v.encode()) for k, v in sent])


DATES = {
    "get": "Tue, 27 Mar 2007 19:36:42 +0000",
    "put": "Tue, 27 Mar 2007 21:15:45 +0000",
    "list": "Tue, 27 Mar 2007 19:42:41 +0000",
    "fetch": "Tue, 27 Mar 2007 19:44:46 +0000",
    "upload": "Tue, 27 Mar 2007 21:06:08 +0000",
}
UPLOAD = [
    ("x-amz-acl", "public-read"),
    ("content-type", "application/x-download"),
    ("content-md5", "4gJE4saaMU4BqNR0kLY+lw=="),
    ("x-amz-meta-reviewedby", "joe@johnsmith.net"),
    ("x-amz-meta-reviewedby", "jane@johnsmith.net"),
    ("x-amz-meta-filechecksum", "0x02661779"),
    ("x-amz-meta-checksumalgorithm", "crc32"),
    ("content-disposition", "attachment; filename=database.dat"),
    ("content-encoding", "gzip"),
]


@pytest.mark.parametrize(
    ("name", "method", "url", "signature", "headers"),
    [
        ("get", "GET", "/johnsmith/photos/puppy.jpg", "bWq2s1WEIj+Ydj0vQ697zp+IXMU=", []),
        (
            "put",
            "PUT",
            "/johnsmith/photos/puppy.jpg",
            "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
            [("content-type", "image/jpeg"), ("content-length", "94328")],
        ),
        (
            "list",
            "GET",
            "/johnsmith/?prefix=photos&max-keys=50&marker=puppy",
            "htDYFYduRNen8P9ZfE/s9SuKy0U=",
            [("user-agent", "Mozilla/5.0")],
        ),
        ("fetch", "GET", "/johnsmith/?acl", "c2WLPFtWHVgbEmeEG93a4cG37dM=", []),
        ("upload", "PUT", "/static.johnsmith.net/db-backup.dat.gz", "ilyl83RwaSoYIEdixDQcA4OnAnc=", UPLOAD),
    ],
)
def test_published_examples(name: str, method: str, url: str, signature: str, headers: list[tuple[str, str]]) -> None:
    """The signatures printed in the S3 developer guide are accepted, and no others."""
    date = DATES[name]
    moment = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S %z")
    verify(received(method, url, signature, [("date", date), *headers]), secret_of, now=moment)
    with pytest.raises(S3Error) as refused:
        verify(received(method, f"/x{url}", signature, [("date", date), *headers]), secret_of, now=moment)
    assert refused.value.code is S3Code.SIGNATURE_DOES_NOT_MATCH


class Signer(HmacV1Auth):  # type: ignore[misc]  # botocore has no types
    """botocore's, at a time of our choice."""

    def __init__(self, date: str) -> None:
        super().__init__(Credentials(KEY, SECRET))
        self._date = date

    def _get_date(self) -> str:
        return self._date


HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-md5", "range", "x-amz-meta-a", "x-amz-copy-source", "x-amz-acl"]),
    st.text("abcXYZ /=;-", min_size=1).map(str.strip),
)
QUERIES = st.dictionaries(
    st.sampled_from(["uploadId", "partNumber", "uploads", "delete", "prefix", "response-content-type", "list-type"]),
    st.text("ab/ +=&%ü"),
)


@given(path=st.text(min_size=1), query=QUERIES, headers=HEADERS, method=st.sampled_from(["GET", "PUT", "POST"]))
def test_what_botocore_signs(path: str, query: dict[str, str], headers: dict[str, str], method: str) -> None:
    """Whatever the path, the parameters and the headers; and not if one that counts is changed on the way."""
    parameters = "&".join(f"{name}={quote(value, safe='')}" if value else name for name, value in query.items())
    url = f"http://lake.example/{quote(path, safe='/', errors='replace')}?{parameters}"
    request = AWSRequest(method, url, headers)
    Signer(format_datetime(NOW, usegmt=True)).add_auth(request)
    parts = urlsplit(url)
    sent = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    arrived = Received(method, parts.path.encode(), parse_query(parts.query.encode()), sent)
    verify(arrived, secret_of, now=NOW)
    for changed in (
        Received("DELETE", arrived.path, arrived.query, sent),
        Received(method, arrived.path + b"x", arrived.query, sent),
        Received(method, arrived.path, [*arrived.query, ("versionId", "x")], sent),
        Received(method, arrived.path, arrived.query, [*sent, (b"x-amz-meta-b", b"x")]),
    ):
        with pytest.raises(S3Error) as refused:
            verify(changed, secret_of, now=NOW)
        assert refused.value.code is S3Code.SIGNATURE_DOES_NOT_MATCH


@pytest.mark.parametrize(
    ("date", "code"),
    [
        (format_datetime(NOW - timedelta(minutes=16)), S3Code.REQUEST_TIME_TOO_SKEWED),
        (format_datetime(NOW + timedelta(minutes=16)), S3Code.NOT_YET_VALID),
        ("yesterday", S3Code.MALFORMED_DATE),
        ("Tue, 27 Mar 99999999999 19:36:42 +0000", S3Code.MALFORMED_DATE),
    ],
)
def test_at_another_time(date: str, code: S3Code) -> None:
    """A request is good for a quarter of an hour."""
    request = AWSRequest("GET", "http://lake.example/a/b")
    Signer(date).add_auth(request)
    sent = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    with pytest.raises(S3Error) as refused:
        verify(Received("GET", b"/a/b", [], sent), secret_of, now=NOW)
    assert refused.value.code is code


@pytest.mark.parametrize("date", [format_datetime(NOW, usegmt=True), "20261121T120000Z"])
def test_its_own_date(date: str) -> None:
    """A client that cannot say the date says x-amz-date, in either form; it counts, and not the other."""
    digest = hmac.digest(SECRET.encode(), f"GET\n\n\n\nx-amz-date:{date}\n/a/b".encode(), "sha1")
    headers = [("date", "Mon, 01 Jan 2001 00:00:00 GMT"), ("x-amz-date", date)]
    verify(received("GET", "/a/b", base64.b64encode(digest).decode(), headers), secret_of, now=NOW)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS ", S3Code.MISSING_FIELDS),
        (f"AWS {KEY}", S3Code.MISSING_FIELDS),
        (f"AWS {KEY}:not base64", S3Code.MISSING_FIELDS),
        (f"AWS {KEY}:abc", S3Code.MISSING_FIELDS),
        (f"AWS {KEY}:", S3Code.MISSING_FIELDS),
        ("AWS somebody:bWq2s1WEIj+Ydj0vQ697zp+IXMU=", S3Code.ACCESS_DENIED),
        (f"AWS {KEY}:bWq2s1WEIj+Ydj0vQ697zp+IXMU=", S3Code.SIGNATURE_DOES_NOT_MATCH),
        (f"AWS {KEY}:AAAA", S3Code.SIGNATURE_DOES_NOT_MATCH),
    ],
)
def test_refused(authorization: str, code: S3Code) -> None:
    """What is no signature, is of nobody, or is another's."""
    date = format_datetime(NOW).encode()
    request = Received("GET", b"/a/b", [], [(b"date", date), (b"authorization", authorization.encode())])
    with pytest.raises(S3Error) as refused:
        verify(request, secret_of, now=NOW)
    assert refused.value.code is code
    assert not re.search(SECRET, str(refused.value))


def test_no_date() -> None:
    """Without one it would be good for ever."""
    with pytest.raises(S3Error) as refused:
        verify(received("GET", "/a/b", "AAAA", []), secret_of, now=NOW)
    assert refused.value.code is S3Code.MISSING_FIELDS
