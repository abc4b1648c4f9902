"""Repositories as buckets: listings in both versions, and deleting many objects at once."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ml_assets_tests.devlake.wire import Wire

KEYS = ["a", "a/1", "a/2", "b/c/d", "é/ü", "z"]


def put(wire: Wire, repository: str, *keys: str) -> None:
    """Write an object at each key of ``main``."""
    for key in keys:
        assert wire.s3("PUT", f"/{repository}/main/{key}", body=key.encode()).status == 200


def texts(body: bytes, name: str) -> list[str]:
    """The text of every element of this name."""
    return [element.text or "" for element in ET.fromstring(body).iter() if element.tag.rpartition("}")[2] == name]


def listing(wire: Wire, repository: str, **query: str) -> dict[str, list[str]]:
    """Keys, common prefixes and the rest of a listing's fields."""
    answer = wire.s3("GET", f"/{repository}", query={name.replace("_", "-"): value for name, value in query.items()})
    assert answer.status == 200
    names = ("Key", "Prefix", "IsTruncated", "NextContinuationToken", "NextMarker", "KeyCount", "MaxKeys")
    return {name: texts(answer.body, name) for name in names}


def test_all_buckets(wire: Wire, repository: str) -> None:
    """The root lists the repositories; no other method works there."""
    assert repository in texts(wire.s3("GET", "/").body, "Name")
    assert texts(wire.s3("GET", "/", query={"prefix": repository}).body, "Name") == [repository]
    for method in ("PUT", "POST", "DELETE", "HEAD"):
        assert wire.s3(method, "/").status == 404


def test_a_bucket(wire: Wire, repository: str) -> None:
    """A repository exists, cannot be made again, and cannot be removed through S3."""
    assert wire.s3("HEAD", f"/{repository}").status == 200
    assert wire.s3("HEAD", "/no-such-repo").status == 404
    assert wire.s3("PUT", f"/{repository}").code == "BucketAlreadyExists"
    assert wire.s3("PUT", "/no-such-repo").code == "NotImplemented"
    assert wire.s3("DELETE", f"/{repository}").code == "ERRLakeFSNotSupported"
    assert wire.s3("GET", "/no-such-repo").code == "NoSuchBucket"
    assert wire.s3("PATCH", f"/{repository}").status == 404


def test_without_a_slash_it_lists_branches(wire: Wire, repository: str) -> None:
    """A prefix without a slash lists branches as folders, page by page."""
    for name in ("dev", "exp-1", "exp-2"):
        wire.rest("POST", f"/repositories/{repository}/branches", json_body={"name": name, "source": "main"})
    assert listing(wire, repository, list_type="2")["Prefix"] == ["", "dev/", "exp-1/", "exp-2/", "main/"]
    assert listing(wire, repository, list_type="2", prefix="exp")["Prefix"] == ["exp", "exp-1/", "exp-2/"]
    page = listing(wire, repository, list_type="2", max_keys="3")
    assert page["NextContinuationToken"] == ["exp-2"]
    rest = listing(wire, repository, list_type="2", continuation_token="exp-2")
    assert rest["Prefix"] == ["", "main/"]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_add_up(wire: Wire, repository: str, version: str, size: int, delimiter: str) -> None:
    """Pages of any size give each key and each common prefix once, in order, and then end."""
    put(wire, repository, *KEYS)
    query = {"list_type": version, "prefix": "main/", "delimiter": delimiter, "max_keys": str(size)}
    found: list[str] = []
    start: dict[str, str] = {}
    for _ in range(2 * len(KEYS)):
        page = listing(wire, repository, **query, **start)
        names = sorted(page["Key"] + page["Prefix"][1:], key=str.encode)
        assert len(names) <= size
        assert page["MaxKeys"] == [str(size)]
        found += names
        if page["IsTruncated"] == ["false"]:
            break
        next_key = (page["NextContinuationToken"] or page["NextMarker"] or [names[-1]])[0]
        start = {"continuation_token" if version == "2" else "marker": next_key}
    expected = ["a", "a/", "b/", "z", "é/"] if delimiter else ["a", "a/1", "a/2", "b/c/d", "z", "é/ü"]
    assert found == [f"main/{key}" for key in expected]


def test_odd_questions(wire: Wire, repository: str) -> None:
    """What makes no sense is refused or counts as nothing asked, as in lakeFS."""
    put(wire, repository, "a", "b")
    assert listing(wire, repository, max_keys="x", prefix="main/")["Key"] == ["main/a", "main/b"]
    assert listing(wire, repository, max_keys="-1", prefix="main/")["Key"] == ["main/a", "main/b"]
    none = listing(wire, repository, max_keys="0", prefix="main/")
    assert (none["Key"], none["IsTruncated"]) == ([], ["true"])
    assert listing(wire, repository, prefix="nope/")["Key"] == []
    bad: list[dict[str, str]] = [
        {"list-type": "2", "prefix": "nope/"},
        {"list-type": "3"},
        {"list-type": "2", "prefix": "main/", "start-after": "dev/a"},
        {"prefix": "main/", "marker": "dev/a"},
        {"prefix": "//"},
        {"prefix": "main~x/"},
    ]
    for query in bad:
        assert wire.s3("GET", f"/{repository}", query=query).code == "BadRequest"


@pytest.mark.parametrize("name", ["acl", "policy", "lifecycle", "versions", "cors", "tagging"])
def test_unsupported_sub_resources(wire: Wire, repository: str, name: str) -> None:
    """What lakeFS does not have is refused with its own code."""
    assert wire.s3("GET", f"/{repository}", query={name: ""}).code == "ERRLakeFSNotSupported"


def test_supported_sub_resources(wire: Wire, repository: str) -> None:
    """Location and versioning are the ordinary ones; uploads are not listed."""
    assert b"LocationConstraint" in wire.s3("GET", f"/{repository}", query={"location": ""}).body
    assert b"VersioningConfiguration" in wire.s3("GET", f"/{repository}", query={"versioning": ""}).body
    assert wire.s3("GET", f"/{repository}", query={"uploads": ""}).code == "NotImplemented"


def delete(wire: Wire, repository: str, keys: list[str], *, quiet: bool = False) -> Any:
    """Ask for the removal of *keys*."""
    objects = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = f"<Delete {namespace}><Quiet>{str(quiet).lower()}</Quiet>{objects}</Delete>"
    return wire.s3("POST", f"/{repository}", query={"delete": ""}, body=body.encode())


def test_delete_many(wire: Wire, repository: str) -> None:
    """Keys are removed, missing ones count as removed, and only an empty key or a bad path is an error."""
    put(wire, repository, "a", "b", "c")
    keys = ["main/a", "/main/b", "main/never", "nope/x", "noslash", "main/", "", f"main/{'x' * 1025}", "a.b/x"]
    answer = delete(wire, repository, keys)
    root = ET.fromstring(answer.body)
    errors = [(error.findtext("{*}Key"), error.findtext("{*}Code")) for error in root.findall("{*}Error")]
    assert errors == [("", "ErrDeletingKey"), (keys[7], "ErrDeletingKey"), ("a.b/x", "ErrDeletingKey")]
    deleted = [element.findtext("{*}Key") for element in root.findall("{*}Deleted")]
    assert deleted == keys[:6]
    assert listing(wire, repository, prefix="main/")["Key"] == ["main/c"]


def test_delete_quietly(wire: Wire, repository: str) -> None:
    """A quiet request is told of errors only."""
    put(wire, repository, "a")
    answer = delete(wire, repository, ["main/a", ""], quiet=True)
    assert (texts(answer.body, "Deleted"), texts(answer.body, "Code")) == ([], ["ErrDeletingKey"])


def test_delete_on_a_protected_branch(wire: Wire, repository: str) -> None:
    """Each key of a protected branch is refused, and the others are removed."""
    wire.rest("POST", f"/repositories/{repository}/branches", json_body={"name": "dev", "source": "main"})
    put(wire, repository, "a")
    wire.rest("PUT", f"/repositories/{repository}/settings/branch_protection", json_body=[{"pattern": "main"}])
    answer = delete(wire, repository, ["main/a", "dev/b"])
    assert texts(answer.body, "Code") == ["ErrWriteToProtectedBranch"]
    assert wire.s3("GET", f"/{repository}/main/a").status == 200


BOMB = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "BadRequest"),
        (b"garbage", "BadRequest"),
        (b"<Delete>", "BadRequest"),
        (b"<Other></Other>", "BadRequest"),
        (b"<Delete></Delete>", "MalformedXML"),
        (b"<Delete>" + b"<Object><Key>main/a</Key></Object>" * 1001 + b"</Delete>", "MalformedXML"),
        (BOMB, "BadRequest"),
        (b"<Delete>" + b" " * (8 << 20) + b"</Delete>", "BadRequest"),
    ],
    ids=["empty", "garbage", "open", "other", "none", "too many", "bomb", "too long"],
)
def test_deletions_that_are_refused(wire: Wire, repository: str, body: bytes, code: str) -> None:
    """A document that is malformed, too long, or declares entities is refused before anything is removed."""
    assert wire.s3("POST", f"/{repository}", query={"delete": ""}, body=body).code == code


def test_other_posts(wire: Wire, repository: str) -> None:
    """There are no forms to be posted."""
    assert wire.s3("POST", f"/{repository}").code == "ERRLakeFSNotSupported"
    assert wire.s3("POST", f"/{repository}/main/a").status == 405
