"""The second lock: lakeFS asks the guard before anything is merged into a protected target, whoever merges it.

A merge may land if every object that it changes belongs to a unit whose publication, in the same merge, says that it
was audited and passed, and whose data is what was audited. The gate's own merges are like that. `protect` is what makes
lakeFS ask; the guard believes nothing of what it is told but which commit to look at, and reads that itself.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ml_assets.lib.core.errors import BadRef, GateError, LakeError, RefNotFound
from ml_assets.lib.core.names import PUBLICATIONS, WAREHOUSE, Unit
from ml_assets.lib.core.publication import passes
from ml_assets.lib.core.refs import Commit
from ml_assets.lib.gate.records import Records, output_prefixes

if TYPE_CHECKING:
    from pydantic import SecretStr

    from ml_assets.lib.lake.client import Lake

PATH: Final = "/ml-assets/guard"
PORT: Final = 8350
"""Where the guard of a real lakeFS listens, unless told otherwise."""

TOKEN_VARIABLE: Final = "LAKEFSACTION_ML_ASSETS_TOKEN"  # noqa: S105 - the name of a variable
"""Where lakeFS and the guard have the secret that they share. lakeFS gives variables of this prefix to hooks."""

THREADS: Final = 16
"""Merges that are judged at a time."""

LONGEST_QUESTION: Final = 1 << 20
"""Bytes of a request."""

_SHOWN: Final = 5
"""Stray objects that a refusal names."""
_LOG: Final = logging.getLogger(__name__)


def objections(lake: Lake, merged: Commit) -> list[str]:
    """Why *merged* must not land on the branch of its first parent; empty if it may.

    Raises:
        LakeError: The lake could not be read.
    """
    records = Records(lake, lambda _publication: True)
    before = lake.info(merged).parents[0]
    owners = dict(_owners(lake, merged))
    strays: list[str] = []
    touched: set[Unit] = set()
    for row in lake.diff(before, merged, base="left"):
        owner = owners.get(_place(row.path))
        if owner is not None:
            touched.add(owner)
        elif len(strays) < _SHOWN:
            strays.append(row.path)
    found = [f"{path} belongs to nothing that is published there" for path in strays]
    return found + [said for unit in sorted(touched) if (said := _objection(records, unit, merged))]


def _owners(lake: Lake, merged: Commit) -> Iterator[tuple[str, Unit]]:
    """Where the objects of each published unit are, publication included."""
    for stat in lake.ls(merged, PUBLICATIONS):
        stage, _, rest = stat.path.removeprefix(PUBLICATIONS).removesuffix(".json").partition("/")
        name, _, version = rest.partition("/")
        try:
            unit = Unit(stage, name, version)
        except BadRef:
            continue
        if unit.publication_path == stat.path:
            yield stat.path, unit
            for prefix in output_prefixes(unit):
                yield prefix, unit


def _place(path: str) -> str:
    """The prefix of a unit's data that *path* may lie below: the folder of a table, else the path itself."""
    if not path.startswith(f"{WAREHOUSE}/"):
        return path
    return "".join(f"{part}/" for part in path.split("/")[:3])


def _objection(records: Records, unit: Unit, merged: Commit) -> str | None:
    try:
        publication = records.get(unit, merged)
        if publication is None or publication.unit != unit:
            return f"{unit}: its publication is that of another unit"
        if not publication.verdict:
            return f"{unit}: it was never audited"
        if not passes(publication.verdict):
            failed = ", ".join(result.check for result in publication.verdict if not passes((result,)))
            return f"{unit}: its audit did not pass: {failed}"
        if not records.valid(publication, merged):
            return f"{unit}: its data is not what was audited"
    except (GateError, RefNotFound) as error:  # no publication, or of a commit that is not there
        return f"{unit}: {error.problem}"
    return None


class Guard:
    """Answers lakeFS, as an ASGI application: 200 for a merge that may land, 403 with the reasons for one that may not.

    Args:
        open_lake: Gives the repository of a name, to be read.
        token: What lakeFS has to show.
    """

    def __init__(self, open_lake: Callable[[str], Lake], token: SecretStr) -> None:
        self._open_lake = open_lake
        self._expected = f"Bearer {token.get_secret_value()}".encode()
        # Threads of its own: each waits for a lake that may be served by this very process.
        self._threads = ThreadPoolExecutor(THREADS, "guard")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path != PATH or request.method != "POST":
            return PlainTextResponse(f"the guard of ml-assets: lakeFS asks it by POST {PATH}\n", 404)
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, self._expected):
            return PlainTextResponse(f"wrong token: {TOKEN_VARIABLE} must be the same for lakeFS and the guard\n", 401)
        question = bytearray()
        async for piece in request.stream():
            question += piece
            if len(question) > LONGEST_QUESTION:
                return PlainTextResponse("too long\n", 413)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._judge, bytes(question))

    def _judge(self, question: bytes) -> Response:
        try:
            asked = json.loads(question)
            event, repository, branch = str(asked["event_type"]), str(asked["repository_id"]), str(asked["branch_id"])
            merged = Commit(asked["commit_id"]) if event == "pre-merge" else None
        except (ValueError, LookupError, TypeError) as error:
            return PlainTextResponse(f"not a question of lakeFS: {type(error).__name__}\n", 400)
        if merged is None:
            return _refusal(f"a {event.removeprefix('pre-')} cannot be judged", repository, branch)
        try:
            found = objections(self._open_lake(repository), merged)
        except LakeError as error:
            _LOG.warning("could not judge: %s", error)
            return PlainTextResponse(f"could not judge: {error}\n", 503)
        return _refusal("\n".join(found), repository, branch) if found else PlainTextResponse("audited and passed\n")


def _refusal(reasons: str, repository: str, branch: str) -> Response:
    _LOG.info("refused on %s of %s: %s", branch, repository, reasons)
    said = f"{reasons}\nOnly what was audited and passed gets onto {branch}: publish with `ml-assets materialize`.\n"
    return PlainTextResponse(said, 403)


def guard_of(endpoint: str, access_key_id: str, secret_access_key: SecretStr, token: SecretStr) -> Guard:
    """The guard of all repositories of a server, whose keys need to be able to read them."""

    @lru_cache(maxsize=16)
    def open_lake(repository: str) -> Lake:
        from ml_assets.lib.lake.client import Lake

        return Lake(endpoint, repository, access_key_id, secret_access_key)

    return Guard(open_lake, token)


def serve(guard: Guard, *, host: str, port: int) -> None:
    """Answer in the foreground, until SIGTERM or SIGINT."""
    import uvicorn

    uvicorn.run(guard, host=host, port=port, lifespan="off", ws="none", access_log=False, server_header=False)
