"""A headless Chromium, driven through chromedriver's own protocol (W3C WebDriver): open, read, look."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 90.0
POLL_S: Final = 0.5
ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol names an element."""

OPTIONS: Final = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1500,1400"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]


@dataclass(frozen=True)
class Browser:
    """One window.

    Attributes:
        session: Address of the session at chromedriver.
    """

    session: str

    def open(self, url: str) -> None:
        """Go to a page, as soon as its server answers."""
        _until(f"open {url}", lambda: _call("POST", f"{self.session}/url", {"url": url}) is None)

    def wait_for(self, *texts: str) -> str:
        """The text of the page, as soon as it has all of *texts*."""

        def found() -> str | None:
            body = _call("POST", f"{self.session}/element", {"using": "xpath", "value": "//body"})[ELEMENT]
            page: str = _call("GET", f"{self.session}/element/{body}/text")
            return page if all(text in page for text in texts) else None

        return str(_until(f"read {texts}", found))

    def links(self) -> list[str]:
        """Where the links of the page lead."""
        script = "return [...document.querySelectorAll('a')].map(a => a.href)"
        found: list[str] = _call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})
        return found

    def look(self, path: Path) -> None:
        """Keep a picture of the page."""
        path.write_bytes(base64.b64decode(_call("GET", f"{self.session}/screenshot")))


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in *folder*."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "chromedriver.log").open("wb") as log:
        driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log)
    try:
        base = f"http://127.0.0.1:{port}"
        _until("start chromedriver", lambda: _call("GET", f"{base}/status")["ready"])
        chrome = {"args": [*OPTIONS, f"--user-data-dir={folder / 'profile'}"]}
        made = _call("POST", f"{base}/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": chrome}}})
        browser = Browser(f"{base}/session/{made['sessionId']}")
        try:
            yield browser
        finally:
            _call("DELETE", browser.session)
    finally:
        driver.terminate()
        driver.wait()


def _call(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return json.load(answer)["value"]


def _until(doing: str, attempt: Any) -> Any:
    """What *attempt* gives, as soon as it gives something; the protocol's errors mean not yet."""
    end = time.monotonic() + LIMIT_S
    last: object = None
    while time.monotonic() < end:
        try:
            if found := attempt():
                return found
        except (OSError, urllib.error.HTTPError) as error:
            last = error.read().decode()[:500] if isinstance(error, urllib.error.HTTPError) else error
        time.sleep(POLL_S)
    raise AssertionError(f"could not {doing} in {LIMIT_S:.0f} s: {last}")
