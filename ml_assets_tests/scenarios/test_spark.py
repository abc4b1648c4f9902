"""The demo with ML_ASSETS_ENGINE=spark: everything is as DuckDB makes it, and the key to the lake shows nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.lib.devlake import server
from ml_assets_tests.scenarios.conftest import Demo
from ml_assets_tests.scenarios.user import User
from ml_assets_tests.spark import JARS, MARKS
from ml_assets_tests.twin import Twin

pytestmark = [pytest.mark.timeout(3600), *MARKS]

CONF = """
spark.ui.enabled                true
spark.ui.port                   0
spark.eventLog.enabled          true
spark.eventLog.compress         false
spark.eventLog.rolling.enabled  false
spark.eventLog.dir              file:{folder}
"""


@pytest.fixture(scope="module")
def sparks(tmp_path_factory: pytest.TempPathFactory, checkout: Path, twin: Twin) -> Iterator[User]:
    """Who set the engine to Spark, and ran the demo; Spark's own logs and files are kept beside the state folder."""
    folder = tmp_path_factory.mktemp("spark")
    (folder / "events").mkdir()
    (folder / "spark-defaults.conf").write_text(CONF.format(folder=folder / "events"))
    settings = {"ML_ASSETS_ENGINE": "spark", "ML_ASSETS_SPARK_JARS": str(JARS), "SPARK_CONF_DIR": str(folder)}
    user = User(project=checkout, home=folder / "state", data=twin.folder, settings=settings, limit_s=3000)
    try:
        (folder / "said").write_text(user.runs("demo").err)
        yield user
    finally:
        server.stop(user.home)


def test_every_digest_is_duckdbs(demo: Demo, sparks: User) -> None:
    """Of sources, splits, feature tables, frames, and of what the models say; and Spark is what computed them."""
    expected, found = demo.user.published(demo.head), sparks.published()
    assert {unit: one.digest for unit, one in found.items()} == {unit: one.digest for unit, one in expected.items()}
    assert {unit: one.recipe for unit, one in found.items()} == {unit: one.recipe for unit, one in expected.items()}
    assert {str(one.run["engine"]["name"]) for one in found.values()} == {"spark"}


def test_the_key_is_in_no_file(sparks: User) -> None:
    """Not in Dagster's records and logs, MLflow's, Spark's event log and files: only where the lake keeps its keys."""
    folder, secret = sparks.home.parent, server.ensure(sparks.home).secret_access_key.get_secret_value().encode()
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(b"SparkListenerApplicationStart" in path.read_bytes() for path in files)  # the event log, legible
    assert [path.name for path in files if secret in path.read_bytes()] == ["lake-credentials.json"]


def test_spark_does_not_start_for_what_is_unchanged(sparks: User) -> None:
    """The same demo again asks the gate, and no Spark."""
    folder = sparks.home.parent / "events"
    before = len(list(folder.iterdir()))
    assert set(sparks.runs("demo").results().values()) == {"unchanged"}
    assert len(list(folder.iterdir())) == before


def test_missing_jars_are_one_error(sparks: User, tmp_path: Path) -> None:
    """Said before anything is materialized, with the command that fetches them."""
    done = sparks.having(ML_ASSETS_SPARK_JARS=str(tmp_path)).runs("demo", code=1)
    assert "34 of the 34 jars that Spark needs are missing" in done.err
    assert "run `ml-assets spark jars`" in done.err
    assert not done.results()


def test_no_java_is_one_error(sparks: User, tmp_path: Path) -> None:
    """Said before anything is materialized, with what to install."""
    for words in (("demo",), ("spark", "jars")):
        done = sparks.having(JAVA_HOME=str(tmp_path)).runs(*words, code=1)
        assert "Spark needs Java: JAVA_HOME=" in done.err
        assert "install a Java 17 or 21" in done.err
        assert not done.results()
