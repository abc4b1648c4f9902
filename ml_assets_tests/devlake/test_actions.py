"""Action files: what lakeFS reads is read, and what it cannot follow is refused."""

from __future__ import annotations

import pytest

from ml_assets.lib.devlake.actions import Action, BadAction, Event, check_names, parse
from ml_assets.lib.devlake.webhooks import TIMEOUT_S, webhook
from ml_assets_tests.devlake.hooked import action


def read(text: str) -> Action:
    """The action of a file."""
    return parse("_lakefs_actions/x.yaml", text.encode())


HOOK = "hooks: [{id: ab, type: webhook, properties: {url: 'http://h/'}}]"

BAD = {
    "name: [": "parsing file _lakefs_actions/x.yaml",
    "[]": "must be a mapping",
    f"on: {{pre-merge: }}\n{HOOK}": "'name' is required",
    f"name: a/b\non: {{pre-merge: }}\n{HOOK}": "'name' is invalid",
    f"name: abc\n{HOOK}": "'on' is required",
    f"name: abc\non: {{merge: }}\n{HOOK}": "event 'merge' is not supported",
    f"name: abc\non: {{pre-create-tag: {{branches: [a]}}}}\n{HOOK}": "not supported in tag event types",
    f"name: abc\non: {{pre-merge: {{branches: a}}}}\n{HOOK}": "'branches' must be a list",
    "name: abc\non: {pre-merge: }\nhooks: [{type: webhook}]": "missing ID",
    "name: abc\non: {pre-merge: }\nhooks: [{id: ab, type: x}]": "unknown",
    "name: abc\non: {pre-merge: }\nhooks: [{id: ab, type: webhook}]": "missing hook properties",
    "name: abc\non: {pre-merge: }\nhooks: [{id: ab, type: webhook, properties: {}}]": "'url' must be supplied",
    "name: abc\non: {pre-merge: }\nhooks: [{id: ab, type: lua, properties: {}}]": "'script' or 'script_path'",
    f"name: abc\non: {{pre-merge: }}\n{HOOK[:-1]}, {{id: ab, type: webhook, properties: {{url: u}}}}]": "duplicate ID",
    "name: abc\non: {pre-merge: !!python/name:os.system }": "parsing file",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_followed(text: str) -> None:
    """Is refused, with the file and what is wrong in it."""
    with pytest.raises(BadAction, match=r"invalid action$") as refused:
        read(text)
    assert BAD[text] in str(refused.value)


def test_two_of_a_name() -> None:
    """Names are unique in a ref."""
    with pytest.raises(BadAction, match="'asks somebody' already loaded"):
        check_names([read(action("http://h")), read(action("http://i"))])


GLOBS = {
    ("main", "main"): True,
    ("main", "main2"): False,
    ("ma*", "main"): True,
    ("*", "main"): True,
    ("m?in", "main"): True,
    ("[a-m]ain", "main"): True,
    ("[^a-m]ain", "main"): False,
    ("[^x]ain", "main"): True,
    ("[&|~a]", "|"): True,
    ("m\\\\ain", "main"): True,
    ("{main,dev}", "main"): False,
    ("ma.n", "main"): False,
}


@pytest.mark.parametrize(("glob", "branch"), GLOBS)
def test_globs_of_branches(glob: str, branch: str) -> None:
    """As Go's ``path.Match`` reads them: braces mean nothing."""
    assert read(action("http://h", branch=glob)).matches(Event.PRE_MERGE, branch) is GLOBS[glob, branch]


@pytest.mark.parametrize("glob", ["[a", "[]", "[z-a]", "a\\\\"])
def test_malformed_globs(glob: str) -> None:
    """Are found when the event comes."""
    found = read(action("http://h", branch=glob))
    assert not found.matches(Event.PRE_COMMIT, "main")
    with pytest.raises(BadAction, match="syntax error in pattern"):
        found.matches(Event.PRE_MERGE, "main")


def test_an_event_without_globs() -> None:
    """Is about every branch."""
    assert read(f"name: abc\non:\n  pre-merge:\n{HOOK}").matches(Event.PRE_MERGE, "any")


def with_properties(properties: str) -> Action:
    """An action whose hook has these properties."""
    return read(action("http://h", properties="".join(f"      {line}\n" for line in properties.splitlines())))


def test_secrets_come_from_the_environment() -> None:
    """Variables of one prefix only, and they are never shown."""
    (hook,) = with_properties(
        'headers: {A: "Bearer {{ ENV.LAKEFSACTION_T }}", B: "{{ENV.HOME}}", C: plain}\nquery_params: {q: [x, y]}'
    ).hooks
    found = webhook(hook, {"LAKEFSACTION_T": "secret", "HOME": "/x"})
    assert [(name, text.value, text.shown) for name, text in found.headers] == [
        ("A", "Bearer secret", "*******"),
        ("B", "", "*******"),
        ("C", "plain", "plain"),
    ]
    assert [(name, text.value) for name, text in found.query] == [("q", "x"), ("q", "y")]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1m30s", 90), ("1.5s", 1.5), ("2ms", 0.002), ('""', TIMEOUT_S)]
)
def test_timeouts(text: str, seconds: float) -> None:
    """Are written as in Go."""
    (hook,) = with_properties(f"timeout: {text}").hooks
    assert webhook(hook, {}).timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "properties",
    [
        "timeout: soon",
        "headers: {A: 5}",
        "headers: [A]",
        'headers: {A: "{{ ENV.LAKEFSACTION_X }}"}',
        "query_params: {a: [1]}",
    ],
)
def test_what_cannot_be_called(properties: str) -> None:
    """Is refused."""
    (hook,) = with_properties(properties).hooks
    with pytest.raises(BadAction):
        webhook(hook, {})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/", "h", "http://"])
def test_only_the_web_is_called(url: str) -> None:
    """No file is read for a hook."""
    (hook,) = read(HOOK.replace("http://h/", url) + "\nname: abc\non: {pre-merge: }").hooks
    with pytest.raises(BadAction, match="must begin with http"):
        webhook(hook, {})
