"""The calls of lakeFS that this server does not have: it answers them with 501 and names lakeFS."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ml_assets.lib.devlake.call import Call
from ml_assets.lib.devlake.errors import Unsupported
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.routes import Route

_OF_SERVER: Final = """
/setup_comm_prefs POST
/setup_lakefs POST
/auth/external/principal/login POST
/sts/login POST
/auth/capabilities GET
/auth/users GET POST
/auth/users/{} GET DELETE
/auth/groups GET POST
/auth/groups/{} GET DELETE
/auth/policies GET POST
/auth/policies/{} GET PUT DELETE
/auth/groups/{}/members GET
/auth/groups/{}/members/{} PUT DELETE
/auth/users/{}/credentials GET POST
/auth/users/{}/credentials/{} DELETE GET
/auth/users/{}/groups GET
/auth/users/{}/policies GET
/auth/users/{}/policies/{} PUT DELETE
/auth/users/{}/external/principals POST DELETE
/auth/users/{}/external/principals/ls GET
/auth/external/principals GET
/auth/groups/{}/policies GET
/auth/groups/{}/policies/{} PUT DELETE
/auth/groups/{}/acl POST GET
/config/garbage-collection GET
/statistics POST
/usage-report/summary GET
/oidc/callback GET
"""

_OF_REPOSITORY: Final = """
/refs/dump PUT
/refs/restore PUT
/dump POST GET
/restore POST GET
/commits POST
/branches/{}/staging/pmpu POST
/branches/{}/staging/pmpu/{} PUT DELETE
/branches/{}/staging/pmpu/{}/parts/{} PUT
/branches/{}/staging/pmpu/{}/parts/{}/copy PUT
/branches/{}/staging/backing PUT
/branches/{}/import GET POST DELETE
/refs/{}/symlink POST
/metadata/object/{}/{} GET
/metadata/meta_range/{} GET
/metadata/range/{} GET
/gc/rules/set_allowed GET
/gc/rules GET POST DELETE
/gc/prepare_commits POST
/gc/prepare_commits/async POST
/gc/prepare_commits/status GET
/gc/prepare_uncommited POST
/branch_protection/set_allowed GET
/branch_protection GET POST DELETE
/pulls GET POST
/pulls/{} GET PATCH
/pulls/{}/merge PUT
"""


def _refuse(_lake: Lake, _call: Call) -> Response:
    raise Unsupported("not in this server for one machine: set LAKECTL_SERVER_ENDPOINT_URL and use lakeFS")


def _routes(table: str, prefix: str) -> tuple[Route, ...]:
    """The routes of a table of lines: a path with ``{}`` for parameters, then its methods."""
    lines = [line.split() for line in table.strip().splitlines()]
    return tuple(Route(method, f"{prefix}{path}", _refuse) for path, *methods in lines for method in methods)


ROUTES: Final = _routes(_OF_SERVER, "") + _routes(_OF_REPOSITORY, "/repositories/{}")
