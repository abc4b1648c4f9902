"""Two pages for people, at the addresses that lakeFS's own user interface has: a commit, and the objects at a ref.

So the links in Dagster lead somewhere on the embedded lake too. Read only, behind the same keys as everything else (the
browser asks for them), without script, and every word of a user is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import parse_qs, quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from ml_assets.lib.devlake.diffs import Difference
from ml_assets.lib.devlake.errors import DevlakeError
from ml_assets.lib.devlake.history import Commit
from ml_assets.lib.devlake.page import CommonPrefix, Window
from ml_assets.lib.devlake.repo import Lake

ROWS: Final = 1000
"""Most rows of a page; what is left out is said."""

_PATH: Final = re.compile(r"/repositories/([^/]+)/(commits/([^/]+)|objects)")
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "cache-control": "no-store",
}
_STYLE: Final = "body{font:15px system-ui;margin:2em;max-width:75em}td{padding:.15em 1em .15em 0}code{color:#555}"


def is_page(path: str) -> bool:
    """Whether *path* is one of the pages."""
    return _PATH.fullmatch(path) is not None


def unauthorized() -> Response:
    """What makes a browser ask for the keys."""
    text = "User and password are the key id and secret in lake-credentials.json, in the lake's state folder."
    return HTMLResponse(text, 401, {"www-authenticate": 'Basic realm="embedded lake"', **_HEADERS})


class Web:
    """The pages, as an ASGI application that is only asked what `is_page` says yes to."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        response = await run_in_threadpool(self._answer, scope["path"], query)
        await response(scope, receive, send)

    def _answer(self, path: str, query: dict[str, list[str]]) -> Response:
        found = _PATH.fullmatch(path)
        assert found is not None
        repository, commit = unquote(found[1]), found[3]
        try:
            if commit is not None:
                body = self._commit(repository, unquote(commit))
            else:
                body = self._objects(repository, query.get("ref", ["main"])[0], query.get("path", [""])[0])
        except DevlakeError as error:
            return HTMLResponse(escape(str(error)), error.status, _HEADERS)
        return HTMLResponse(
            f"<!doctype html><meta charset=utf-8><title>{escape(repository)}</title><style>{_STYLE}</style>{body}",
            200,
            _HEADERS,
        )

    def _commit(self, repository: str, ref: str) -> str:
        commit = self._lake.commits.get(repository, ref)
        facts = {"committer": commit.committer, "made": _time(commit), **dict(sorted(commit.metadata.items()))}
        rows = [(escape(name), escape(value)) for name, value in facts.items()]
        rows += [("parent", _link(repository, f"commits/{parent}", parent)) for parent in commit.parents]
        rows.append(("objects", _link(repository, f"objects?ref={commit.id}", "as of this commit")))
        changes: Iterable[Difference | CommonPrefix] = ()
        more = False
        if commit.parents:
            changes, more = self._lake.diffs.two_dot(repository, commit.parents[0], commit.id, Window(amount=ROWS))
        lines = [(escape(c.kind.value), f"<code>{escape(c.key)}</code>") for c in changes if isinstance(c, Difference)]
        title = f"<h1>{escape(commit.message)}</h1><p><code>{commit.id}</code></p>"
        return f"{title}{_table(rows)}<h2>Changed</h2>{_table(lines, more)}"

    def _objects(self, repository: str, ref: str, prefix: str) -> str:
        items, more = self._lake.objects.list(repository, ref, Window(prefix=prefix, delimiter="/", amount=ROWS))
        rows = []
        for item in items:
            if isinstance(item, CommonPrefix):
                place = f"objects?ref={quote(ref, safe='')}&path={quote(item.path, safe='')}"
                rows.append((_link(repository, place, item.path), ""))
            else:
                rows.append((f"<code>{escape(item.key)}</code>", f"{item.size:,} bytes"))
        return f"<h1>{escape(ref)} / {escape(prefix)}</h1>{_table(rows, more)}"


def _time(commit: Commit) -> str:
    return datetime.fromtimestamp(commit.created_ns / 1e9, UTC).isoformat(timespec="seconds")


def _link(repository: str, place: str, text: str) -> str:
    return f'<a href="/repositories/{quote(repository, safe="")}/{escape(place)}">{escape(text)}</a>'


def _table(rows: Iterable[tuple[str, str]], more: bool = False) -> str:
    """Rows of two cells that are HTML already."""
    body = "".join(f"<tr><td>{left}<td>{right}" for left, right in rows)
    return f"<table>{body}</table>{f'<p>only the first {ROWS:,} are shown' if more else ''}"
