"""REST calls about what hooks were called, and what they said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from ml_assets.lib.devlake.call import Call
from ml_assets.lib.devlake.history import SECOND
from ml_assets.lib.devlake.hooks import HookRun, Run
from ml_assets.lib.devlake.replies import reply, reply_page
from ml_assets.lib.devlake.repo import Lake
from ml_assets.lib.devlake.routes import Route


def _runs(lake: Lake, call: Call) -> Response:
    page = lake.hooks.runs(
        call.argument("repository"),
        branch=call.text("branch"),
        commit_id=call.text("commit"),
        after=call.text("after"),
        amount=call.amount(),
    )
    return reply_page(page, _run_json, lambda run: run.id)


def _run(lake: Lake, call: Call) -> Response:
    return reply(200, _run_json(lake.hooks.run(call.argument("repository"), call.argument("run_id"))))


def _hook_runs(lake: Lake, call: Call) -> Response:
    repository, run = call.argument("repository"), call.argument("run_id")
    page = lake.hooks.hook_runs(repository, run, after=call.text("after"), amount=call.amount())
    return reply_page(page, _hook_run_json, lambda hook: hook.id)


def _output(lake: Lake, call: Call) -> Response:
    hook = lake.hooks.hook_run(call.argument("repository"), call.argument("run_id"), call.argument("hook_run_id"))
    if not hook.started_ns:
        return reply(200)
    headers = {"content-disposition": f"attachment; filename={hook.id}.log"}
    return Response(hook.output, 200, headers, media_type="application/octet-stream")


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "event_type": run.event,
        "branch": run.branch,
        "commit_id": run.commit_id,
        "start_time": _time(run.started_ns),
        "end_time": _time(run.ended_ns),
        "status": "completed" if run.passed else "failed",
    }


def _hook_run_json(hook: HookRun) -> dict[str, Any]:
    skipped = not hook.started_ns
    described = {
        "hook_run_id": hook.id,
        "action": hook.action,
        "hook_id": hook.hook,
        "start_time": _time(hook.started_ns),
        "status": "completed" if hook.passed else "skipped" if skipped else "failed",
    }
    return described if skipped else {**described, "end_time": _time(hook.ended_ns)}


def _time(ns: int) -> str:
    """RFC 3339 with fractions, as Go writes it; the year 1 stands for never."""
    if not ns:
        return "0001-01-01T00:00:00Z"
    fraction = f"{ns % SECOND:09}".rstrip("0")
    moment = datetime.fromtimestamp(ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{fraction}Z" if fraction else f"{moment}Z"


_RUNS: Final = "/repositories/{repository}/actions/runs"

ROUTES: Final = (
    Route("GET", _RUNS, _runs),
    Route("GET", f"{_RUNS}/{{run_id}}", _run),
    Route("GET", f"{_RUNS}/{{run_id}}/hooks", _hook_runs),
    Route("GET", f"{_RUNS}/{{run_id}}/hooks/{{hook_run_id}}/output", _output),
)
