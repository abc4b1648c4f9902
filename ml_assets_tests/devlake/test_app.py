"""One port: which API a request reaches, and who is let in."""

from __future__ import annotations

import base64
import json
import socket
import time

import pytest

from ml_assets.lib.devlake import app
from ml_assets.lib.devlake.app import TOKEN_LIFE_S, App
from ml_assets.lib.devlake.credentials import Credentials
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.server import Endpoint
from ml_assets_tests.devlake.wire import Wire


def basic(text: str) -> str:
    """A header that carries *text* as user and password."""
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize("path", ["/healthcheck", "/setup_lakefs"])
def test_open_to_all(wire: Wire, path: str) -> None:
    """What a client asks before it has a key needs none."""
    assert wire.rest("GET", path, anonymous=True).status < 300


STRANGERS = [
    *("", "Basic", "Basic !!!", "Basic ÿÿÿÿ", basic("nobody"), basic("nobody:nothing"), basic(":")),
    *("Bearer", "Bearer a.b.c", "Bearer ..", "Bearer ÿ.ÿ.ÿ", "Digest x"),
]


@pytest.mark.parametrize("authorization", STRANGERS)
def test_strangers_stay_outside(wire: Wire, authorization: str) -> None:
    """Without the key there is one answer, whatever is wrong, and a call that does not exist is 404 first."""
    for method, path, status in (("GET", "/repositories", 401), ("DELETE", "/repositories", 404), ("GET", "/no", 404)):
        answer = wire.rest(method, path, anonymous=True, headers={"Authorization": authorization})
        assert answer.status == status
        assert answer.json() == {"message": "error authenticating request" if status == 401 else "invalid API endpoint"}


def test_a_right_key_with_a_wrong_secret(wire: Wire) -> None:
    """Half of the key opens nothing, neither to REST nor to S3."""
    header = {"Authorization": basic(f"{wire.key}:wrong")}
    assert wire.rest("GET", "/repositories", anonymous=True, headers=header).status == 401
    wire.secret = "wrong"
    assert wire.s3("GET", "/").code == "SignatureDoesNotMatch"


def test_login_gives_a_token(wire: Wire) -> None:
    """The token of a login opens the API, and carries neither the key nor the secret."""
    keys = {"access_key_id": wire.key, "secret_access_key": wire.secret}
    login = wire.rest("POST", "/auth/login", json_body=keys, anonymous=True)
    assert login.status == 200
    token = login.json()["token"]
    assert abs(login.json()["token_expiration"] - time.time() - TOKEN_LIFE_S) < 60
    assert wire.rest("GET", "/repositories", headers={"Authorization": f"Bearer {token}"}).status == 200
    assert wire.secret not in base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
    for forged in (token[:-2], token[1:], f"{token}a", token.replace(".", "..", 1)):
        assert wire.rest("GET", "/repositories", headers={"Authorization": f"Bearer {forged}"}).status == 401


def test_a_token_expires(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A token is good until its time is over, also for a server that was started anew."""
    credentials = Credentials(endpoint.access_key_id, endpoint.secret_access_key)
    lakes = [Lake(tmp_path_factory.mktemp("lake")) for _ in range(2)]
    first, second = (App(lake, credentials) for lake in lakes)
    now = int(time.time())
    assert second._is_token(first._token(now + 60))
    assert not second._is_token(first._token(now - 1))
    for lake in lakes:
        lake.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"access_key_id": "a"}', 400),
        (b" " * 2_000_000 + b"{}", 400),
        (b'{"access_key_id": 1, "secret_access_key": 2}', 400),
        (b'{"access_key_id": "a", "secret_access_key": "b"}', 401),
    ],
)
def test_logins_that_fail(wire: Wire, body: bytes, status: int) -> None:
    """A malformed login is 400, a wrong one 401."""
    assert wire.rest("POST", "/auth/login", body=body, anonymous=True).status == status


@pytest.mark.parametrize("path", ["/", "/repo", "/api", "/api/v1", "/api/v2/repositories", "//"])
def test_there_is_nothing_else(wire: Wire, path: str) -> None:
    """Beside the two APIs there is no page, and the answer says where they are."""
    answer = wire.send("GET", path)
    assert answer.status == 404
    assert b"/api/v1" in answer.body
    assert "json" not in answer.headers["content-type"], "lakectl doctor would not say that the URL is wrong"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/repo/main/a?X-Amz-Credential=x", {}),
        ("/repo/main/a?AWSAccessKeyId=x&Signature=y", {}),
        ("/repo/main/a", {"Authorization": "AWS key:signature"}),
        ("/repo/main/a", {"Authorization": "AWS4-HMAC-SHA256 x"}),
        ("/api/v1/repositories", {"Authorization": "AWS4-HMAC-SHA256 x"}),
    ],
)
def test_what_is_signed_goes_to_s3(wire: Wire, target: str, headers: dict[str, str]) -> None:
    """Any trace of an AWS signature leads to the gateway, which answers in XML."""
    answer = wire.send("GET", target, headers=headers)
    assert (answer.status, answer.code) == (400, "MissingFields")


def test_an_s3_endpoint_that_ends_in_the_api(wire: Wire) -> None:
    """Who appends /api/v1 to the S3 endpoint is told so."""
    assert wire.s3("GET", "/api/v1/repo/main/a").code == "ErrNoSuchBucketPossibleAPIEndpoint"


def test_a_body_that_is_not_wanted(endpoint: Endpoint) -> None:
    """After a refusal before ``100 Continue`` the connection is closed: no later request is taken for the body."""
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    for headers in ("Authorization: AWS4-HMAC-SHA256 x\r\n", ""):
        with socket.create_connection((host, int(port))) as connection:
            request = (
                f"PUT /repo/main/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n{headers}\r\n"
            )
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"100 Continue" not in answer
        assert answer.lower().count(b"connection: close") == 1


def test_a_body_that_is_wanted(wire: Wire, repository: str) -> None:
    """A client that waits for ``100 Continue`` gets it once its request is known to be good."""
    headers = {"Expect": "100-continue"}
    answer = wire.s3("PUT", f"/{repository}/main/a", body=b"data", headers=headers)
    assert (answer.status, answer.headers.get("connection")) == (200, None)


def test_a_client_that_hangs_up(endpoint: Endpoint, wire: Wire, repository: str) -> None:
    """Half an upload leaves no object, and the server goes on."""
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    path = f"/api/v1/repositories/{repository}/branches/main/objects?path=half"
    with socket.create_connection((host, int(port))) as connection:
        authorization = basic(f"{wire.key}:{wire.secret}")
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 9000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 3_000_000)
    assert wire.rest("GET", f"/repositories/{repository}/refs/main/objects/stat", query={"path": "half"}).status == 404


def test_the_committer(wire: Wire, repository: str) -> None:
    """Commits are made by the one user there is."""
    wire.s3("PUT", f"/{repository}/main/a", body=b"1")
    commit = wire.rest("POST", f"/repositories/{repository}/branches/main/commits", json_body={"message": "m"})
    assert commit.json()["committer"] == app.USER
    assert json.loads(wire.rest("GET", "/user").body)["user"]["id"] == app.USER
