"""The embedded lake answers as lakeFS 1.84.0 did."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from ml_assets_tests.devlake.conformance import ALLOWED, Replay, scenarios
from ml_assets_tests.devlake.wire import Wire

RECORDED = scenarios()


@pytest.mark.parametrize("calls", RECORDED.values(), ids=RECORDED.keys())
def test_as_lakefs(wire: Wire, calls: list[dict[str, Any]]) -> None:
    """Every recorded call of a scenario is answered as lakeFS answered it."""
    assert list(Replay(wire, f"z{secrets.token_hex(3)}").differences(calls)) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"status": 200}, "status 201"),
        ({"body": {"id": "Xanother"}}, "body.id"),
        ({"body": {"color": "red"}}, "body.color is missing"),
        ({"body": {"read_only": True}}, "body.read_only"),
        ({"headers": {"etag": "x"}}, "header etag"),
    ],
)
def test_a_difference_is_found(wire: Wire, change: dict[str, Any], found: str) -> None:
    """A recording that says something else is not taken for the same."""
    [line] = Replay(wire, f"z{secrets.token_hex(3)}").differences([RECORDED["branches"][0] | change])
    assert found in line


def test_the_recording_is_whole() -> None:
    """No call of the recording has been lost, and what is allowed to differ is in it."""
    answered = {(call["scenario"], call["n"]) for calls in RECORDED.values() for call in calls if "n" in call}
    assert len(answered) == 3158
    assert ALLOWED.keys() <= answered
