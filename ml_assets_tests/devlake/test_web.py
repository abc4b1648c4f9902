"""The pages for people: there for who has the keys, harmless whatever is in the lake."""

from __future__ import annotations

import base64
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.devlake.wire import Wire


class Page(NamedTuple):
    """What the server answered."""

    status: int
    headers: dict[str, str]
    text: str


def get(endpoint: Endpoint, path: str, secret: str | None = None) -> Page:
    """A page as a browser gets it, with *secret* as password; ``""`` means no keys at all."""
    given = endpoint.secret_access_key.get_secret_value() if secret is None else secret
    keys = base64.b64encode(f"{endpoint.access_key_id}:{given}".encode()).decode()
    connection = HTTPConnection(urlsplit(endpoint.url).netloc)
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {keys}"} if given else {})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Page(answer.status, headers, answer.read().decode())
    finally:
        connection.close()


@pytest.fixture
def committed(wire: Wire, repository: str) -> str:
    """A repository whose ``main`` has two objects, committed with words that look like markup."""
    for path in ("a/<b>.txt", "c.txt"):
        at = f"/repositories/{repository}/branches/main/objects"
        assert wire.rest("POST", at, query={"path": path}, body=b"hello").status == 201
    body = {"message": "<script>alert(1)</script>", "metadata": {"run": "<i>"}}
    assert wire.rest("POST", f"/repositories/{repository}/branches/main/commits", json_body=body).status == 201
    return repository


@pytest.mark.parametrize("place", ["commits/main", "objects?ref=main"])
@pytest.mark.parametrize("secret", ["", "wrong"])
def test_strangers_are_asked_for_the_keys(endpoint: Endpoint, committed: str, place: str, secret: str) -> None:
    """Without the right keys the browser is told to ask for them, and nothing of the lake is shown."""
    answer = get(endpoint, f"/repositories/{committed}/{place}", secret)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert "c.txt" not in answer.text


def test_a_commit_shows_what_it_changed_and_runs_nothing(endpoint: Endpoint, committed: str) -> None:
    """Message, metadata and paths are shown as text: markup in them stays text, and no script may run."""
    answer = get(endpoint, f"/repositories/{committed}/commits/main")
    assert answer.status == 200
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text
    assert "&lt;i&gt;" in answer.text
    assert "a/&lt;b&gt;.txt" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_objects_are_listed_by_folder(endpoint: Endpoint, committed: str) -> None:
    """A folder is a link to what is in it, an object has its size."""
    top = get(endpoint, f"/repositories/{committed}/objects?ref=main").text
    assert "path=a%2F" in top
    assert "5 bytes" in top
    assert "a/&lt;b&gt;.txt" in get(endpoint, f"/repositories/{committed}/objects?ref=main&path=a/").text


@pytest.mark.parametrize("path", ["{}/commits/nothing", "no-such-repository/objects?ref=main"])
def test_what_is_not_there_is_404(endpoint: Endpoint, committed: str, path: str) -> None:
    """A ref or repository that does not exist is said so."""
    assert get(endpoint, f"/repositories/{path.format(committed)}").status == 404
