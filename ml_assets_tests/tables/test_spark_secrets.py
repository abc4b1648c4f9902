"""The key to the lake shows nowhere that Spark shows, logs or stores anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.lib.core.refs import Branch
from ml_assets.lib.lake.client import Lake
from ml_assets.lib.tables.tables import Tables
from ml_assets_tests.lakes import LakeEndpoint
from ml_assets_tests.spark import MARKS, program
from ml_assets_tests.tables.examples import write

pytestmark = [*MARKS, pytest.mark.slow]

CONF = """
spark.ui.enabled            true
spark.ui.port               0
spark.eventLog.enabled      true
spark.eventLog.dir          file:{folder}
spark.eventLog.compress     false
spark.local.dir             {folder}
"""


def test_the_key_shows_nowhere(
    lake_endpoint: LakeEndpoint, lake: Lake, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in pages and answers of the UI, settings, plans, command lines, event log, files; all listen on loopback."""
    work = Branch("run-1")
    lake.branch(work, Branch("main"))
    write(tables, work, 1, 2, 3)
    lake.merge(lake.commit(work, "rows", {}), Branch("main"), "publish", {})
    secret = lake_endpoint.secret_access_key.get_secret_value()
    monkeypatch.setenv("LAKE_SECRET", secret)
    arguments = (lake_endpoint.url, lake.repository, lake_endpoint.access_key_id)
    conf = CONF.format(folder=tmp_path)
    with program("ml_assets_tests.tables.spark_secrets", *arguments, folder=tmp_path, conf=conf) as running:
        told, _ = running.communicate(timeout=500)
    assert running.returncode == 0, told
    assert f"fs.s3a.bucket.{lake.repository}.secret.key" in told  # it was shown the place where the key is
    assert "LISTENS ['127.0.0.1']" in told
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("fs.s3a.bucket" in path.read_text("utf-8", "replace") for path in stored)  # the event log
    assert secret not in told
    assert not [path for path in stored if secret.encode() in path.read_bytes()]
