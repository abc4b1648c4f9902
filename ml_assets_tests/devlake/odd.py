"""What no sane client sends: texts, numbers, headers, documents and bytes that have broken servers before."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

_WORDS = r"""
. .. ../.. ../../../../etc/passwd / // /etc/passwd \..\.. a/../b a//b %2e%2e %00 main~1 main^1 main^0 main@ main$ main~
main~-1 main~999999999999999999 ~ ^ @ $ main~1~1^1 main@@ main^99 @{ HEAD -x --help * ? [ [a {a, ' " <x> &amp; null None
true 0 -1 1e400 NaN local://x : é ß
"""
_LONG = [
    "9" * 40,
    "f" * 64,
    "0" * 64,
    "a" * 1024,
    "a" * 1025,
    "a" * 20_000,
    "é" * 600,
    "~1" * 500,
    "{" * 300,
    "*a" * 300,
]
_CONTROLS = [
    "",
    "\0",
    "a\0b",
    "\n",
    "a\r\nX-Injected: 1",
    "\t",
    " ",
    "\x7f",
    "\x1b[31m",
    "\u202e",
    "\ufeff",
    "\U0001f600",
]
_QUOTES = ["';DROP TABLE branch;--"]

TEXTS: Final = st.one_of(
    st.sampled_from([*_WORDS.split(), *_LONG, *_CONTROLS, *_QUOTES]),
    st.sampled_from(["main", "dev", "tag", "a", "p/b"]),
    st.text(max_size=12),
)

_NUMBERS = [0, -1, 1, 2, 1000, 1001, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400]
_SCALARS = st.one_of(st.none(), st.booleans(), st.sampled_from(_NUMBERS), st.floats(), TEXTS)
VALUES: Final = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
"""JSON."""

_FIELDS = """
message metadata date allow_empty name source type path paths ref parent_number commit_overrides src_path src_ref
physical_address checksum size_bytes mtime content_type force set id strategy squash_merge default_retention_days
branches pattern keys hidden storage_namespace default_branch sample_data read_only shallow branch_id retention_days
"""
FIELDS: Final = _FIELDS.split()
"""Of the bodies of calls."""

_PARAMETERS = """
amount after prefix delimiter path dest_path type since stop_at limit objects prefixes user_metadata presign
first_parent ref force show_hidden include_right_stats search list-type marker max-keys start-after
continuation-token uploads uploadId partNumber delete versioning location acl tagging encoding-type fetch-owner
versionId policy
"""
PARAMETERS: Final = _PARAMETERS.split()
"""Of queries."""

_HEADERS = """
Range If-None-Match If-Match Content-Type x-amz-copy-source x-amz-copy-source-range x-amz-metadata-directive
x-amz-content-sha256 x-amz-date x-amz-trailer x-amz-decoded-content-length Content-Encoding Cookie X-Forwarded-For
x-lakefs-meta-a x-amz-meta-a x-amz-meta-a_b!
"""
HEADERS: Final = _HEADERS.split()

_HEADER_WORDS = """
* " bytes= bytes=- bytes=0- bytes=-0 bytes=5-1 bytes=0-0,2-3 bytes=a-b multipart/form-data
multipart/form-data;boundary=b =?utf-8?q?=00=0D=0A?= =?x?y?z?= =?utf-8?b?!!?= /repo/main/a repo/main % /%00/%ff/%
STREAMING-UNSIGNED-PAYLOAD-TRAILER UNSIGNED-PAYLOAD aws-chunked
"""
_LONG_HEADERS = ["", "bytes=-" + "9" * 5000, "bytes=" + " " * 9000, "bytes=" + "1-1" * 3000 + "x", "\xff"]
_VISIBLE = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
HEADER_VALUES: Final = st.one_of(
    st.sampled_from([*_HEADER_WORDS.split(), *_LONG_HEADERS]), st.text(_VISIBLE, max_size=12)
)
CONTENT_TYPES: Final = st.text(_VISIBLE, max_size=20)

_NAMES = st.sampled_from(["Key", "Object", "Delete", "Part", "ETag", "PartNumber", "CompleteMultipartUpload", "x"])
_TEXT = ["a", "p/b", "1", "&amp;", "&#0;", "&#x1F600;", "]]>", "<![CDATA[x]]>", "<!-- x -->", "<?x?>"]
TREES: Final = st.recursive(
    st.one_of(st.sampled_from(_TEXT), st.text(max_size=5)),
    lambda inner: st.builds(
        lambda name, found: f"<{name}>{''.join(found)}</{name}>", _NAMES, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)
"""XML, or nearly."""

BOMB: Final = (
    '<!DOCTYPE x [<!ENTITY a0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    + "]><Delete><Object><Key>&a8;</Key></Object></Delete>"
)
FILE: Final = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><Delete><Object><Key>&f;</Key></Object></Delete>'

_LINES = rb"""
GET / HTTP/1.1
POST /api/v1/auth/login HTTP/1.1
PUT /x/main/a HTTP/1.1
Host: x
Content-Length: 5
Content-Length: -1
Content-Length: 99999999999999999999
Transfer-Encoding: chunked
Transfer-Encoding: gzip
Expect: 100-continue
Connection: upgrade
5
hello
0
ffffffffffffffffff
X-A: b
: b
Authorization: AWS4-HMAC-SHA256 x
Authorization: AWS x:y
"""
_BYTES = [b"\r\n", b"GET /\xff HTTP/1.1\r\n", b"X-A\0: b\r\n", b"\0", b"Authorization: Basic \xff\r\n", b"{}"]
LINES: Final = st.sampled_from([*(line + b"\r\n" for line in _LINES.split(b"\n")), *_BYTES])
"""HTTP, or nearly."""
