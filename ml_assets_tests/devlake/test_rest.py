"""The REST API: parameters and bodies are checked, answers have lakeFS's form. See test_conformance for the rest."""

from __future__ import annotations

import pytest

from ml_assets.lib.devlake.lakefs_only import ROUTES
from ml_assets.lib.devlake.ranges import BadRange, ByteRange, UnsatisfiableRange, parse_range
from ml_assets_tests.devlake.wire import Answer, Wire


@pytest.fixture
def base(repository: str) -> str:
    """The path of a new repository."""
    return f"/repositories/{repository}"


def put(wire: Wire, base: str, path: str, body: bytes, **headers: str) -> Answer:
    """Upload to main."""
    query = [("path", path)]
    return wire.rest("POST", f"{base}/branches/main/objects", query=query, body=body, headers=headers)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("true", 200),
        ("True", 200),
        ("T", 200),
        ("1", 200),
        ("f", 200),
        ("FALSE", 200),
        ("yes", 400),
        ("tRUE", 400),
        ("", 400),
    ],
)
def test_booleans(wire: Wire, base: str, value: str, status: int) -> None:
    """What Go's ParseBool reads is a boolean, everything else is 400."""
    assert wire.rest("GET", f"{base}/branches", query=[("show_hidden", value)]).status == status


@pytest.mark.parametrize(
    ("value", "status"),
    [("-1", 200), ("0", 200), ("1000", 200), ("1001", 400), ("-2", 400), ("x", 400), ("1.5", 400), ("", 400)],
)
def test_amounts(wire: Wire, base: str, value: str, status: int) -> None:
    """An amount is -1 to 1000."""
    for path in ("branches", "tags", "refs/main/commits", "refs/main/objects/ls", "branches/main/diff"):
        assert wire.rest("GET", f"{base}/{path}", query=[("amount", value)]).status == status


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("2000-01-01T00:00:00Z", 200),
        ("2000-01-01T00:00:00.123456789+02:00", 200),
        ("2000-01-01", 400),
        ("2000-13-01T00:00:00Z", 400),
        ("x", 400),
    ],
)
def test_times(wire: Wire, base: str, value: str, status: int) -> None:
    """A time is RFC 3339."""
    assert wire.rest("GET", f"{base}/refs/main/commits", query=[("since", value)]).status == status


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/branches", {"name": "b"}),
        ("POST", "/branches", {"name": 3, "source": "main"}),
        ("POST", "/branches", {"name": "b", "source": "main", "hidden": "yes"}),
        ("POST", "/branches", {"name": "b", "source": None}),
        ("POST", "/branches", []),
        ("POST", "/tags", {"id": "t"}),
        ("POST", "/branches/main/commits", {"message": "m", "metadata": {"k": 1}}),
        ("POST", "/branches/main/commits", {"message": "m", "date": "x"}),
        ("POST", "/branches/main/commits", {"message": "m", "date": True}),
        ("POST", "/branches/main/commits", {"message": "m", "date": 1e300}),
        ("POST", "/branches/main/commits", {"message": "\ud800"}),
        ("POST", "/branches/main/revert", {"ref": "main"}),
        ("POST", "/branches/main/revert", {"ref": "main", "parent_number": 1.5}),
        ("POST", "/branches/main/revert", {"ref": "main", "parent_number": 0, "commit_overrides": {"message": 1}}),
        ("POST", "/branches/main/cherry-pick", {}),
        ("POST", "/refs/main/merge/main", {"strategy": "ours"}),
        ("POST", "/refs/main/merge/main", []),
        ("PUT", "/branches/main", {"type": "x"}),
        ("POST", "/branches/main/objects/delete", {"paths": [1]}),
        ("PUT", "/settings/branch_protection", {}),
        ("PUT", "/settings/branch_protection", [{}]),
        ("PUT", "/settings/branch_protection", [{"pattern": "[bad"}]),
        ("POST", "/metadata", {"metadata": []}),
    ],
)
def test_bodies(wire: Wire, base: str, method: str, path: str, body: object) -> None:
    """A body of the wrong shape is 400 and changes nothing."""
    answer = wire.rest(method, base + path, json_body=body)
    assert answer.status == 400
    assert answer.json()["message"]
    assert [each["id"] for each in wire.rest("GET", f"{base}/branches").json()["results"]] == ["main"]


@pytest.mark.parametrize("body", [b"", b"{bad", b"[" * 100_000, b"\xff", b'{"name": NaN}', b"x" * (33 << 20)])
def test_bodies_that_are_no_json(wire: Wire, base: str, body: bytes) -> None:
    """Nor is anything that cannot be read, however long or deep."""
    assert wire.rest("POST", f"{base}/branches", body=body).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nosuch"),
        ("POST", "/config"),
        ("GET", "/repositories/"),
        ("PATCH", "/repositories/x"),
        ("GET", "/repositories/x/nosuch"),
    ],
)
def test_unknown_calls(wire: Wire, method: str, path: str) -> None:
    """They are 404, also for strangers."""
    for anonymous in (False, True):
        answer = wire.rest(method, path, anonymous=anonymous)
        assert (answer.status, answer.json()) == (404, {"message": "invalid API endpoint"})


def test_calls_that_only_lakefs_has(wire: Wire) -> None:
    """They are 501, and say where to go."""
    for route in ROUTES:
        answer = wire.rest(route.method, route.path.replace("{}", "x"))
        assert answer.status == 501, route
        assert "lakeFS" in answer.json()["message"]


def test_a_quoted_slash_stays_in_its_segment(wire: Wire, base: str) -> None:
    """A ref with a slash is a ref, not another path; an empty one is 400."""
    assert wire.rest("GET", f"{base}/branches/a%2Fb").status == 400
    assert wire.rest("GET", f"{base}/refs/a%2Fb/commits").status == 404
    assert wire.rest("GET", f"{base}/refs//commits").status == 400
    assert wire.rest("GET", f"{base}/refs/%ff/commits").status == 400


def test_a_branch_may_be_called_like_a_fixed_segment(wire: Wire, base: str) -> None:
    """``refs/dump`` is a call of its own, and ``dump`` is a ref all the same."""
    assert wire.rest("POST", f"{base}/branches", json_body={"name": "dump", "source": "main"}).status == 201
    assert wire.rest("GET", f"{base}/refs/dump/commits").status == 200


def form(boundary: str, *parts: tuple[str, str, bytes]) -> bytes:
    """A multipart form."""
    body = b""
    for name, content_type, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n'
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        body += f"{head}{kind}\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_form_uploads(wire: Wire, base: str, size: int) -> None:
    """The part called content is the object, with the part's own type."""
    content = bytes(number % 251 for number in range(size))
    body = form("xyz", ("other", "a/b", b"no"), ("content", "text/csv", content), ("content", "c/d", b"late"))
    answer = put(wire, base, "f", body, **{"Content-Type": "multipart/form-data; boundary=xyz"})
    assert (answer.status, answer.json()["content_type"]) == (201, "text/csv")
    read = wire.rest("GET", f"{base}/refs/main/objects", query=[("path", "f")])
    assert (read.body, read.headers["content-type"]) == (content, "text/csv")


def test_form_uploads_without_a_type(wire: Wire, base: str) -> None:
    """The answer repeats that there was none; the object has the default."""
    body = form("xyz", ("content", "", b"a,b"))
    answer = put(wire, base, "f", body, **{"Content-Type": "multipart/form-data; boundary=xyz"})
    assert answer.json()["content_type"] == ""
    stat = wire.rest("GET", f"{base}/refs/main/objects/stat", query=[("path", "f")]).json()
    assert stat["content_type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=xyz", b""),
        ("multipart/form-data; boundary=xyz", b"nonsense"),
        ("multipart/form-data; boundary=xyz", form("xyz", ("other", "", b"x"))),
        ("multipart/form-data; boundary=xyz", form("xyz", ("content", "", b"x" * 100))[:60]),
        ("multipart/form-data; boundary=xyz", form("xyz", ("content", "", b"x" * 100))[:-20]),
    ],
)
def test_broken_forms(wire: Wire, base: str, content_type: str, body: bytes) -> None:
    """A form that ends early, or has no such part, stores nothing."""
    assert put(wire, base, "f", body, **{"Content-Type": content_type}).status == 400
    assert wire.rest("GET", f"{base}/refs/main/objects/stat", query=[("path", "f")]).status == 404


def test_metadata_headers(wire: Wire, base: str) -> None:
    """User metadata comes in headers, under lower-case names, in UTF-8."""
    put(wire, base, "m", b"", **{"X-Lakefs-Meta-Owner": "Jürgen", "x-lakefs-meta-b": "2"})
    stat = wire.rest("GET", f"{base}/refs/main/objects/stat", query=[("path", "m")]).json()
    assert stat["metadata"] == {"owner": "Jürgen", "b": "2"}


def test_what_lakectl_notes_about_a_file(wire: Wire, base: str) -> None:
    """Time and permissions of an uploaded file come in headers of their own: without them every file looks changed."""
    sent = {"X-Lakefs-Internal-Client-Mtime": "1700000000", "x-lakefs-meta-owner": "me"}
    assert put(wire, base, "m", b"", **sent).json()["metadata"] == {
        "::lakefs::client-mtime": "1700000000",
        "owner": "me",
    }
    [listed] = wire.rest("GET", f"{base}/refs/main/objects/ls").json()["results"]
    assert listed["metadata"]["::lakefs::client-mtime"] == "1700000000"


def test_refusals_say_what_was_being_done(wire: Wire, base: str) -> None:
    """As lakeFS says it: people read these texts in the output of lakectl."""

    def said(method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        answer = wire.rest(method, f"{base}/{path}", body=body)
        return answer.status, answer.json()["message"]

    picking = b'{"ref": "dev", "parent_number": 1}'
    assert said("GET", "commits/nope") == (404, "commit not found")
    assert said("POST", "branches/main/commits", b'{"message": "m"}') == (400, "commit: no changes")
    assert wire.rest("POST", f"{base}/branches", body=b'{"name": "dev", "source": "main"}').status == 201
    assert said("POST", "refs/dev/merge/main", b"{}") == (400, "update branch main: no changes")
    missing = "update branch main: get commit by ref nope: not found"
    assert said("POST", "refs/nope/merge/main", b"{}") == (404, missing)
    for branch in ("dev", "main"):
        query = [("path", "a")]
        assert wire.rest("POST", f"{base}/branches/{branch}/objects", query=query, body=branch.encode()).status == 201
        assert wire.rest("POST", f"{base}/branches/{branch}/commits", body=b'{"message": "m"}').status == 201
    assert said("POST", "branches/main/cherry-pick", picking) == (409, "update branch: conflict found")
    assert said("POST", "branches/main/revert", picking) == (409, "update branch: conflict found")


_WITH_A_SPACE = "v1.0%20x"
_IN_JSON = '"v1.0 x"'


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        # lakeFS looks these up without a look at their characters ...
        (f"GET commits/{_WITH_A_SPACE}", "", (404, "commit not found")),
        ("GET commits/v1.0%0Ax", "", (404, "commit not found")),
        ("GET commits/main%20", "", (404, "commit not found")),
        (f"GET commits/{_WITH_A_SPACE}~1", "", (404, "commit not found")),
        (f"GET refs/main/commits?stop_at={_WITH_A_SPACE}", "", (404, "stop_at: not found")),
        (f"GET refs/main/commits?after={_WITH_A_SPACE}", "", (404, "from ref: not found")),
        ("POST tags", f'{{"id": "t", "ref": {_IN_JSON}}}', (404, "not found")),
        ("POST tags", f'{{"id": "main", "ref": {_IN_JSON}}}', (409, "branch name main: conflict found")),
        ("POST tags", '{"id": "t", "ref": ""}', (400, "ref: invalid value: validation error")),
        # ... and all others with one.
        (f"GET refs/{_WITH_A_SPACE}/commits", "", 400),
        (f"GET refs/{_WITH_A_SPACE}/diff/main", "", 400),
        (f"GET refs/main/diff/{_WITH_A_SPACE}", "", 400),
        (f"GET refs/main/diff/{_WITH_A_SPACE}?type=two_dot", "", 400),
        (f"GET refs/{_WITH_A_SPACE}/merge/main", "", 400),
        (f"GET refs/main/merge/{_WITH_A_SPACE}", "", 400),
        (f"POST refs/{_WITH_A_SPACE}/merge/main", "{}", 400),
        (f"POST refs/main/merge/{_WITH_A_SPACE}", "{}", 400),
        (f"GET refs/{_WITH_A_SPACE}/objects/ls", "", 400),
        (f"GET refs/{_WITH_A_SPACE}/objects?path=a", "", 400),
        (f"GET refs/{_WITH_A_SPACE}/objects/stat?path=a", "", 400),
        (f"GET branches/{_WITH_A_SPACE}", "", 400),
        (f"GET branches/{_WITH_A_SPACE}/diff", "", 400),
        (f"GET tags/{_WITH_A_SPACE}", "", 400),
        ("POST branches", f'{{"name": "b", "source": {_IN_JSON}}}', 400),
        (f"PUT branches/main/hard_reset?ref={_WITH_A_SPACE}", "", 400),
        ("POST branches/main/revert", f'{{"ref": {_IN_JSON}, "parent_number": 0}}', 400),
        ("POST branches/main/cherry-pick", f'{{"ref": {_IN_JSON}}}', 400),
        ("POST branches/main/objects/copy?dest_path=z", f'{{"src_path": "a", "src_ref": {_IN_JSON}}}', 400),
    ],
)
def test_refs_that_hold_white_space(
    wire: Wire, base: str, call: str, body: str, expected: int | tuple[int, str]
) -> None:
    """What lakeFS 1.84.0 answered to the same calls; no branch, tag or commit can be called so."""
    method, path = call.split(" ")
    answer = wire.rest(method, f"{base}/{path}", body=body.encode())
    assert (answer.status if isinstance(expected, int) else (answer.status, answer.json()["message"])) == expected


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("ref", ["root", "main", "main~1", "main^0"])
def test_the_first_commit_has_no_parent_of_any_number(wire: Wire, base: str, ref: str, number: int) -> None:
    """However it is named, and whatever the branch: lakeFS 1.84.0 answers 400 to a cherry-pick of it."""
    assert wire.rest("POST", f"{base}/tags", body=b'{"id": "root", "ref": "main"}').status == 201
    if ref == "main~1":
        assert put(wire, base, "a", b"1").status == 201
        assert wire.rest("POST", f"{base}/branches/main/commits", body=b'{"message": "m"}').status == 201
    answer = wire.rest("POST", f"{base}/branches/main/cherry-pick", json_body={"ref": ref, "parent_number": number})
    assert (answer.status, "does not have the given parent number" in answer.json()["message"]) == (400, True)


def test_large_objects_are_streamed_whole(wire: Wire, base: str) -> None:
    """Nine megabytes come back as they were, whole and in a range over pieces."""
    content = bytes(number % 253 for number in range(9_000_001))
    assert put(wire, base, "big", content).status == 201
    assert wire.rest("GET", f"{base}/refs/main/objects", query=[("path", "big")]).body == content
    part = wire.rest(
        "GET", f"{base}/refs/main/objects", query=[("path", "big")], headers={"Range": "bytes=1000000-4999999"}
    )
    assert (part.status, part.body) == (206, content[1_000_000:5_000_000])


def test_linking_what_is_stored(wire: Wire, base: str) -> None:
    """An address that an object has can be staged elsewhere in the repository; any other is 400."""
    stored = put(wire, base, "a", b"x").json()
    words = {"checksum": stored["checksum"], "size_bytes": 1}
    for address, status in ((stored["physical_address"], 201), ("local://other/data/x", 400), ("s3://b/x", 400)):
        linked = wire.rest(
            "PUT",
            f"{base}/branches/main/objects",
            query=[("path", "b")],
            json_body={**words, "physical_address": address},
        )
        assert linked.status == status
    assert wire.rest("GET", f"{base}/refs/main/objects", query=[("path", "b")]).body == b"x"


def test_right_stats(wire: Wire, base: str) -> None:
    """A diff shows the right side's object when asked."""
    wire.rest("POST", f"{base}/branches", json_body={"name": "dev", "source": "main"})
    put(wire, base, "a", b"x")
    wire.rest("POST", f"{base}/branches/main/commits", json_body={"message": "m"})
    [plain] = wire.rest("GET", f"{base}/refs/dev/diff/main").json()["results"]
    [shown] = wire.rest("GET", f"{base}/refs/dev/diff/main", query=[("include_right_stats", "true")]).json()["results"]
    assert plain == {"type": "added", "path": "a", "path_type": "object", "size_bytes": 1}
    assert shown["right"]["content_type"] == "application/octet-stream"


def test_sample_data(wire: Wire, repository: str) -> None:
    """A repository with sample data has a table to play with, on a protected branch."""
    body = {"name": f"{repository}-s", "storage_namespace": f"local://{repository}-s", "sample_data": True}
    assert wire.rest("POST", "/repositories", json_body=body).status == 201
    sample = f"/repositories/{repository}-s"
    assert wire.rest("GET", f"{sample}/refs/main/objects", query=[("path", "lakes.parquet")]).body.startswith(b"PAR1")
    assert put(wire, sample, "x", b"").status == 403


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=10-", ByteRange(10, 90)),
        ("bytes=-5", ByteRange(95, 5)),
        ("bytes=-500", ByteRange(0, 100)),
        ("bytes=99-500", ByteRange(99, 1)),
        ("bytes=100-", UnsatisfiableRange),
        ("bytes=-0", UnsatisfiableRange),
        ("bytes=5-2", BadRange),
        ("bytes=0-1,3-4", BadRange),
        ("bytes=-", BadRange),
        ("items=0-1", BadRange),
        ("bytes=a-b", BadRange),
    ],
)
def test_ranges(header: str, expected: ByteRange | type[ValueError]) -> None:
    """One range of bytes, cut at the end of the object."""
    if isinstance(expected, ByteRange):
        assert parse_range(header, 100) == expected
    else:
        with pytest.raises(expected):
            parse_range(header, 100)


def test_types_that_are_no_ascii(wire: Wire, base: str) -> None:
    """A content type comes back byte for byte; one that could not be a header is refused where it comes in as JSON."""
    put(wire, base, "a", b"x", **{"Content-Type": "text/ü日"})
    read = wire.rest("GET", f"{base}/refs/main/objects", query=[("path", "a")])
    assert read.headers["content-type"].encode("latin-1").decode() == "text/ü日"
    stored = wire.rest("GET", f"{base}/refs/main/objects/stat", query=[("path", "a")]).json()
    words = {
        "physical_address": stored["physical_address"],
        "checksum": "x",
        "size_bytes": 1,
        "content_type": "a\r\nb: c",
    }
    assert wire.rest("PUT", f"{base}/branches/main/objects", query=[("path", "b")], json_body=words).status == 400
