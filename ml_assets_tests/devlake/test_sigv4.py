"""Signatures: the published examples, botocore as an independent signer, and everything that must be refused."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.lib.devlake.s3_errors import S3Code, S3Error
from ml_assets.lib.devlake.sigv4 import ChunkSignatures, Received, Signed, parse_query, verify

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE_TIME = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "lake.example:8000"


def secret_of(key: str) -> str | None:
    """The only key there is."""
    return SECRET if key == KEY else None


def example(signature: str, **headers: str) -> Received:
    """The GET example of the S3 API reference, with *headers* in place of its own."""
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={signature}"
    )
    sent = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": hashlib.sha256().hexdigest(),
        "x-amz-date": "20130524T000000Z",
        "authorization": authorization,
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return Received("GET", b"/test.txt", (), [(name.encode(), value.encode()) for name, value in sent.items()])


GOOD = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


def test_published_header_example() -> None:
    """The signature printed in the S3 API reference is accepted."""
    assert verify(example(GOOD), secret_of, now=EXAMPLE_TIME).scope == "20130524/us-east-1/s3/aws4_request"


def test_published_presigned_example() -> None:
    """The presigned URL printed in the S3 API reference is accepted."""
    query = (
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256"
        b"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = Received("GET", b"/test.txt", parse_query(query), [(b"host", b"examplebucket.s3.amazonaws.com")])
    verify(request, secret_of, now=EXAMPLE_TIME)


def published_chunks() -> ChunkSignatures:
    """Chunk signatures that start from the seed printed in the S3 API reference."""
    key = verify(example(GOOD), secret_of, now=EXAMPLE_TIME).signing_key
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    return ChunkSignatures(Signed("20130524T000000Z", "20130524/us-east-1/s3/aws4_request", seed, key))


def test_published_chunk_examples() -> None:
    """The three chunk signatures printed in the S3 API reference are accepted in order."""
    chunks = published_chunks()
    for size, signature in (
        (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ):
        chunks.check(signature, hashlib.sha256(b"a" * size).hexdigest())


def test_chunks_out_of_order_are_refused() -> None:
    """A chunk signs the one before it, so the second cannot come first."""
    with pytest.raises(S3Error) as refused:
        published_chunks().check(
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", hashlib.sha256(b"a" * 1024).hexdigest()
        )
    assert refused.value.code is S3Code.SIGNATURE_DOES_NOT_MATCH


AUTHORIZATION = dict(example(GOOD).headers)[b"authorization"].decode()


@pytest.mark.parametrize(
    ("request_", "now", "code"),
    [
        (example("0" * 64), EXAMPLE_TIME, S3Code.SIGNATURE_DOES_NOT_MATCH),
        (example(GOOD, range="bytes=0-99"), EXAMPLE_TIME, S3Code.SIGNATURE_DOES_NOT_MATCH),
        (example(GOOD, x_amz_content_sha256="UNSIGNED-PAYLOAD"), EXAMPLE_TIME, S3Code.SIGNATURE_DOES_NOT_MATCH),
        (example(GOOD), EXAMPLE_TIME + timedelta(minutes=15), None),
        (example(GOOD), EXAMPLE_TIME + timedelta(minutes=15, seconds=1), S3Code.REQUEST_TIME_TOO_SKEWED),
        (example(GOOD), EXAMPLE_TIME - timedelta(minutes=15, seconds=1), S3Code.NOT_YET_VALID),
        (example(GOOD, authorization=AUTHORIZATION.replace(KEY, "nobody")), EXAMPLE_TIME, S3Code.ACCESS_DENIED),
        (example(GOOD, authorization="AWS4-HMAC-SHA256 nonsense"), EXAMPLE_TIME, S3Code.MISSING_FIELDS),
        (example(GOOD, authorization="AWS key:signature"), EXAMPLE_TIME, S3Code.MISSING_FIELDS),
        (example(GOOD, authorization=""), EXAMPLE_TIME, S3Code.MISSING_FIELDS),
        (example(GOOD, x_amz_date=""), EXAMPLE_TIME, S3Code.MISSING_DATE),
        (example(GOOD, x_amz_date="20131399T000000Z"), EXAMPLE_TIME, S3Code.MALFORMED_DATE),
        (example(GOOD, x_amz_date="Fri, 24 May 2013 00:00:00 GMT"), EXAMPLE_TIME, S3Code.MALFORMED_DATE),
        (example(GOOD, x_amz_date="20130525T000000Z"), EXAMPLE_TIME, S3Code.CREDENTIAL_DATE),
    ],
)
def test_what_is_refused(request_: Received, now: datetime, code: S3Code | None) -> None:
    """Each way to be wrong has its own error, and a quarter of an hour of clock skew is none."""
    if code is None:
        verify(request_, secret_of, now=now)
        return
    with pytest.raises(S3Error) as refused:
        verify(request_, secret_of, now=now)
    assert refused.value.code is code


def presigned(**changes: str) -> Received:
    """A URL presigned now by botocore, with query parameters changed afterwards."""
    request = AWSRequest("GET", f"http://{HOST}/repo/main/a%20b")
    S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "us-east-1", expires=60).add_auth(request)
    url = urlsplit(request.url)
    query = [(name, changes.get(name.removeprefix("X-Amz-"), value)) for name, value in parse_query(url.query.encode())]
    return Received("GET", url.path.encode(), query, [(b"host", HOST.encode())])


def test_presigned_url_expires() -> None:
    """A presigned URL is good until its own time is over."""
    now = datetime.now(UTC)
    verify(presigned(), secret_of, now=now)
    with pytest.raises(S3Error) as refused:
        verify(presigned(), secret_of, now=now + timedelta(seconds=62))
    assert refused.value.code is S3Code.PRESIGN_EXPIRED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Algorithm": "AWS4-ECDSA-P256-SHA256"}, S3Code.PRESIGN_MALFORMED),
        ({"Credential": "a/b"}, S3Code.PRESIGN_MALFORMED),
        ({"Expires": "604801"}, S3Code.PRESIGN_MALFORMED),
        ({"Expires": "-1"}, S3Code.PRESIGN_MALFORMED),
        ({"Expires": "59"}, S3Code.SIGNATURE_DOES_NOT_MATCH),
        ({"SignedHeaders": "host\nhost"}, S3Code.PRESIGN_MALFORMED),
        ({"Signature": "\udcff"}, S3Code.SIGNATURE_DOES_NOT_MATCH),
    ],
)
def test_presigned_url_cannot_be_edited(changes: dict[str, str], code: S3Code) -> None:
    """A presigned URL with any part changed is refused."""
    with pytest.raises(S3Error) as refused:
        verify(presigned(**changes), secret_of, now=datetime.now(UTC))
    assert refused.value.code is code


def test_presigned_url_needs_all_its_fields() -> None:
    """Without one of its parameters a presigned URL has missing fields."""
    whole = presigned()
    for name, _ in whole.query:
        query = [pair for pair in whole.query if pair[0] != name]
        with pytest.raises(S3Error) as refused:
            verify(Received("GET", whole.path, query, whole.headers), secret_of, now=datetime.now(UTC))
        assert refused.value.code is S3Code.MISSING_FIELDS


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(
    path=st.lists(TEXT, max_size=3),
    query=st.dictionaries(TEXT, TEXT, max_size=3),
    metadata=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
def test_whatever_botocore_signs_is_accepted(path: list[str], query: dict[str, str], metadata: str) -> None:
    """An independent signer and this verifier agree on any path, query and header."""
    target = "/repo/" + quote("/".join(path), safe="/-_.~")
    encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items())
    url = f"http://{HOST}{target}?{encoded}"
    request = AWSRequest("PUT", url, headers={"x-amz-meta-a": metadata}, data=b"body")
    S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    headers.append((b"host", HOST.encode()))
    received = Received("PUT", target.encode(), parse_query(encoded.encode()), headers)
    verify(received, secret_of, now=datetime.now(UTC))


def test_the_signing_key_is_not_shown() -> None:
    """The derived key stays out of logs."""
    signed = verify(example(GOOD), secret_of, now=EXAMPLE_TIME)
    assert "signing_key" not in repr(signed)
