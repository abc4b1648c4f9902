"""`ml-assets dev`: what a person sees in the browser, in headless Chromium. Screenshots stay in the test's folder."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from selenium.common import exceptions
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from ml_assets.lib.core.refs import Branch
from ml_assets_tests.scenarios.conftest import Demo
from ml_assets_tests.scenarios.graphql import Graphql
from ml_assets_tests.scenarios.user import User
from ml_assets_tests.twin import Twin

pytestmark = pytest.mark.ui

LIMIT_S: Final = 180

MOVING: Final = (
    exceptions.NoSuchElementException,
    exceptions.StaleElementReferenceException,
    exceptions.ElementNotInteractableException,
    exceptions.ElementClickInterceptedException,
)
"""What a page says while it is being drawn."""


@dataclass(frozen=True)
class Dev:
    """Running UIs.

    Attributes:
        user: Who started them.
        dagster: Root of Dagster's UI.
        mlflow: Root of MLflow's.
    """

    user: User
    dagster: str
    mlflow: str


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


@pytest.fixture(scope="module")
def dev(demo: Demo, twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """The UIs on a branch as it was before any feature was made, after a poisoned file of flights was refused."""
    dagster, mlflow = free_ports(2)
    user = demo.user.having(
        ML_ASSETS_LAKE_BRANCH="ui",
        DAGSTER_HOME=str(tmp_path_factory.mktemp("ui") / "dagster"),
        ML_ASSETS_DAGSTER_PORT=str(dagster),
        ML_ASSETS_MLFLOW_PORT=str(mlflow),
    )
    history = user.lake.log(demo.head, first_parent=True, amount=100)
    first = [commit for commit in history if commit.message.startswith("publish features/")][-1]
    user.lake.branch(Branch("ui"), first.parents[0])
    user.runs("materialize", "sources/flights", "--path", str(twin.poisoned("impossible_delay")), code=1)
    process = user.start("dev")
    try:
        Graphql(dagster).wait_until_loaded()
        yield Dev(user, f"http://127.0.0.1:{dagster}", f"http://127.0.0.1:{mlflow}")
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"Dagster  http://127.0.0.1:{dagster}" in out
    for port in (dagster, mlflow):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "it outlived `dev`"


@dataclass(frozen=True)
class Page:
    """A tab of the browser.

    Attributes:
        browser: The browser.
        pictures: Where screenshots go.
    """

    browser: Chrome
    pictures: Path

    def sees(self, *texts: str) -> str:
        """Wait until the page shows all *texts*; all of its text."""

        def shown(browser: Chrome) -> str | None:
            text = str(browser.find_element(By.TAG_NAME, "body").text)
            return text if all(part in text for part in texts) else None

        try:
            return str(WebDriverWait(self.browser, LIMIT_S, ignored_exceptions=MOVING).until(shown))
        finally:
            self.browser.save_screenshot(str(self.pictures / f"{len(list(self.pictures.iterdir())):02}.png"))

    def sees_no_more(self, text: str) -> None:
        """Wait until the page does not show *text* any longer."""
        body = WebDriverWait(self.browser, LIMIT_S, ignored_exceptions=MOVING)
        body.until(lambda browser: text not in browser.find_element(By.TAG_NAME, "body").text)

    def clicks(self, text: str, kind: str = "*") -> None:
        """Click on what says *text*, once it can be clicked."""

        def click(browser: Chrome) -> bool:
            browser.find_element(By.XPATH, f"//{kind}[normalize-space()='{text}']").click()
            return True

        WebDriverWait(self.browser, LIMIT_S, ignored_exceptions=MOVING).until(click)

    def link(self, part: str) -> str:
        """Where the first link leads whose address has *part*."""
        return str(self.browser.find_element(By.CSS_SELECTOR, f"a[href*='{part}']").get_attribute("href"))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A browser without a screen."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1400"):
        options.add_argument(argument)
    browser = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    (tmp_path / "pictures").mkdir()
    try:
        yield Page(browser, tmp_path / "pictures")
    finally:
        browser.quit()


def test_the_graph_is_the_way_of_the_data(dev: Dev, page: Page) -> None:
    """One group per stage."""
    page.browser.get(f"{dev.dagster}/asset-groups")
    page.sees("Global asset lineage", "sources", "splits", "features", "frames", "models")


def test_an_asset_says_what_it_is(dev: Dev, page: Page) -> None:
    """Description, owner, kinds, and each column with type, bounds and meaning."""
    page.browser.get(f"{dev.dagster}/assets/features/route_delay")
    page.sees("late arrivals over the last 28 days", "flights", "LakeFS", "Iceberg", "Pandera")
    page.sees("Columns", "route_late_28d", "non-nullable", "ge 0", "Share of them more than 15 minutes late")


def test_a_partition_is_materialized(dev: Dev, page: Page) -> None:
    """Chosen in the dialog, run by the daemon; the partitions that mean the same unit turn green with it."""
    page.browser.get(f"{dev.dagster}/assets/features/route")
    page.clicks("Materialize…", "button")
    page.clicks("Confirm", "button")  # this Dagster instance has not seen the source published
    page.sees("Partition selection")
    page.clicks("Select a partition or create one")
    page.clicks("v1")
    page.clicks("Launch 1 run", "button")
    page.sees_no_more("Partition selection")  # launched: going elsewhere before that would take it back
    page.browser.get(f"{dev.dagster}/assets/features/route?view=partitions&partition=v1")
    page.sees("Materialized (3)", "Missing (0)")
    page.browser.refresh()  # the list follows the run, what is told beside it does not
    publication = dev.user.publication("features/route@1")
    page.sees("published", publication.digest, "lakefs_commit", dev.user.head.id, "features.route_v1")
    link = page.link("/commits/")
    assert link == f"{dev.user.lake.endpoint}/repositories/ml-assets/commits/{dev.user.head.id}"


def test_failing_rows_are_shown_on_the_check(dev: Dev, page: Page) -> None:
    """Which rule, how many, some of the rows, and the branch on which they can be looked at."""
    page.browser.get(f"{dev.dagster}/assets/sources/flights")
    page.sees("Failed in")
    page.browser.get(f"{dev.dagster}/assets/sources/flights?view=checks&checkDetail=contract")
    page.sees("This is a blocking asset check", "Failed", "arr_delay: le", "100000", "flight_key", "lakefs_branch")
    branches = {info.name for info in dev.user.lake.branches("run-")}
    assert page.link("/objects?ref=").rpartition("=")[2] in branches


def test_mlflow_is_beside_it(dev: Dev, page: Page) -> None:
    """The registered model with its versions, on the same store."""
    page.browser.get(f"{dev.mlflow}/#/models/late_arrival/versions/1")
    page.sees("late_arrival", "data/frame_digest")
