"""Spark's settings as text: what is forced, what the user's own configuration overrides, and that no key is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.lib.core.refs import Branch, Commit
from ml_assets.lib.tables.spark_settings import catalog_settings, own_settings, pinned_settings, session_settings

JARS = [Path("/jars/a.jar"), Path("/jars/b.jar")]


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's ``spark-defaults.conf``, not there yet."""
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    return tmp_path / "spark-defaults.conf"


def test_a_spark_of_this_process_stays_on_this_machine(conf: Path) -> None:
    """It listens on loopback, shows nothing, and writes nothing where it was started."""
    settings = session_settings(JARS, threads=3)
    assert settings["spark.master"] == "local[3]"
    assert settings["spark.driver.bindAddress"] == settings["spark.driver.host"] == "127.0.0.1"
    assert settings["spark.ui.enabled"] == "false"
    assert Path(settings["spark.sql.warehouse.dir"]).is_absolute()
    assert settings["spark.jars"] == "/jars/a.jar,/jars/b.jar"


def test_the_users_own_settings_go_first(conf: Path) -> None:
    """As Spark reads them; its jars and extensions stay beside ours, and a cluster's network is its own."""
    conf.write_text(
        "# a cluster\n\nspark.master spark://host:7077\nspark.ui.enabled=true\nspark.jars : /own.jar\n"
        "spark.sql.extensions\tcom.example.Extension\nspark.driver.memory   8g  \n"
    )
    settings = session_settings(JARS, threads=3)
    assert settings["spark.master"] == "spark://host:7077"
    assert (settings["spark.ui.enabled"], settings["spark.driver.memory"]) == ("true", "8g")
    assert settings["spark.jars"] == "/own.jar,/jars/a.jar,/jars/b.jar"
    assert settings["spark.sql.extensions"].startswith("com.example.Extension,org.apache.iceberg.")
    assert "spark.driver.host" not in settings


def test_settings_are_looked_for_where_spark_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``SPARK_HOME/conf``, unless ``SPARK_CONF_DIR`` is set; neither need exist."""
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    assert own_settings() == {}
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("spark.master local[7]")
    assert own_settings() == {"spark.master": "local[7]"}
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert own_settings() == {}


def test_catalogs_of_two_refs_share_nothing_but_the_canonical_path() -> None:
    """Each has settings of its own name, and leads ``main`` to its own ref."""
    commit = Commit("a" * 64)
    one, other = catalog_settings("one", "repo", Branch("run-1")), catalog_settings("other", "repo", commit)
    assert not one.keys() & other.keys()
    link = "hadoop.fs.viewfs.mounttable.repo.link./main"
    assert one[f"spark.sql.catalog.one.{link}"] == "s3://repo/run-1"
    assert other[f"spark.sql.catalog.other.{link}"] == f"s3://repo/{commit}"
    assert one["spark.sql.catalog.one.warehouse"] == "s3a://repo/main/warehouse"


def test_a_pinned_session_leads_plain_files_to_the_ref_too() -> None:
    """What procedures of Iceberg look at is the session's file system."""
    settings = pinned_settings("lake", "repo", Branch("maintain"))
    assert settings["fs.viewfs.mounttable.repo.link./main"] == "s3://repo/maintain"
    assert settings["spark.sql.catalog.lake.warehouse"] == "s3a://repo/main/warehouse"
