"""The REST API of lakeFS, as far as this server has it.

Unknown calls and wrong methods are 404 ``invalid API endpoint``, and this comes before authentication; calls that only
lakeFS has are 501 and say so. Authentication is not done here: ``scope`` has the user's id (``devlake.user``)
and the call (``devlake.route``).
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ml_assets.lib.devlake import lakefs_only, rest_actions, rest_objects, rest_refs, rest_repositories
from ml_assets.lib.devlake.call import Call, ClientGone
from ml_assets.lib.devlake.failures import refusal
from ml_assets.lib.devlake.replies import json_error
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.routes import Route, Router, arguments

__all__ = ["json_error", "rest_app", "rest_route"]


def rest_app(lake: Lake) -> ASGIApp:
    """An application that answers everything under ``/api/v1``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _answer(lake, scope, receive)
        except ClientGone:
            return
        await response(scope, receive, send)

    return app


def rest_route(method: str, raw_path: bytes) -> Route | None:
    """The call that a request means; ``None`` if there is none, which :func:`rest_app` answers with 404."""
    return _ROUTER.find(method, raw_path)


async def _answer(lake: Lake, scope: Scope, receive: Receive) -> Response:
    route: Route | None = scope["devlake.route"]
    if route is None:
        return json_error(404, "invalid API endpoint")
    try:
        return await _call(lake, route, scope, receive)
    except ClientGone:
        raise
    except Exception as error:  # noqa: BLE001 - whatever happens, the client gets an answer
        refused = refusal(error, f"{scope['method']} {scope['path']!r}")
    if route.method == "HEAD":
        return Response(status_code=refused.status)
    return json_error(refused.status, str(refused))


async def _call(lake: Lake, route: Route, scope: Scope, receive: Receive) -> Response:
    call = Call(scope, receive, arguments(route, scope["raw_path"]))
    if route.stream is not None:
        return await route.stream(lake, call)
    if route.method not in {"GET", "HEAD"}:
        await call.read_json()
    assert route.answer is not None
    if route.quick and not call.goes_back:
        return route.answer(lake, call)
    if route.asks:
        return await asyncio.get_running_loop().run_in_executor(lake.hooks.threads, route.answer, lake, call)
    return await asyncio.to_thread(route.answer, lake, call)


def _login(_lake: Lake, _call: Call) -> Response:
    return json_error(401, "error authenticating request")


_ROUTER: Final = Router(
    [
        *rest_repositories.ROUTES,
        *rest_refs.ROUTES,
        *rest_objects.ROUTES,
        *rest_actions.ROUTES,
        *lakefs_only.ROUTES,
        Route("POST", "/auth/login", _login, public=True),  # asked only where nobody authenticates
    ]
)
