"""The jars for Spark and the Java it runs on: found, fetched, checked; each thing that is wrong is one clear error."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from ml_assets.lib.core.errors import ConfigError
from ml_assets.lib.tables import jars
from ml_assets.lib.tables.jars import Jar, check_jars, manifest, paths, resolve_jars
from ml_assets.lib.tables.java import java

CONTENT = {"one-1.jar": b"first", "two-2.jar": b"second"}
JARS = tuple(
    Jar("org.example", name.partition("-")[0], name.partition("-")[2][0], hashlib.sha256(data).hexdigest())
    for name, data in CONTENT.items()
)


@pytest.fixture
def two_jars(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A manifest of two, and an Ivy that makes them; each of its runs is noted by the names that it was asked for."""
    runs: list[list[str]] = []

    def ivy(missing: list[Jar], work: Path) -> list[str]:
        runs.append([jar.name for jar in missing])
        return _makes({jar.name: CONTENT[jar.name] for jar in missing}, work)

    monkeypatch.setattr(jars, "manifest", lambda: JARS)
    monkeypatch.setattr(jars, "_ivy", ivy)
    return runs


def _makes(content: dict[str, bytes], work: Path) -> list[str]:
    """A command that writes files and says so as Ivy does."""
    lines = [
        f"open({str(work / name)!r}, 'wb').write({data!r}); "
        f"print('\\t[SUCCESSFUL ] org.example#{name.partition('-')[0]};1!x.jar (3ms)', flush=True)"
        for name, data in content.items()
    ]
    return [sys.executable, "-c", "\n".join(lines)]


def test_the_manifest_is_complete() -> None:
    """34 files of different names, each with a version and a hash."""
    assert len({jar.name for jar in manifest()}) == 34
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.version[0].isdigit() for jar in manifest())
    assert "bundle" not in {jar.module for jar in manifest()}


def test_missing_jars_are_fetched_once(two_jars: list[list[str]], tmp_path: Path) -> None:
    """With progress; a second call fetches nothing, and a lost file alone is fetched anew."""
    said: list[str] = []
    folder = tmp_path / "made" / "jars"
    assert resolve_jars(folder, said.append) == paths(folder)
    check_jars(folder)
    assert said == ["fetched 1 of 2 jars for Spark: one", "fetched 2 of 2 jars for Spark: two"]
    resolve_jars(folder, said.append)
    (folder / "two-2.jar").unlink()
    resolve_jars(folder, said.append)
    assert two_jars == [["one-1.jar", "two-2.jar"], ["two-2.jar"]]
    assert sorted(path.name for path in folder.iterdir()) == [".lock", *CONTENT]


def test_processes_that_fetch_at_once_fetch_once(two_jars: list[list[str]], tmp_path: Path) -> None:
    """The others wait for the first."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: resolve_jars(tmp_path, lambda _: None), range(4)))
    assert len(two_jars) == 1


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"other")], ids=["missing", "damaged"])
def test_a_jar_that_is_not_right_is_named(
    two_jars: list[list[str]], tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    """Nothing is started with it; the remedy is a command, which repairs it."""
    resolve_jars(tmp_path, lambda _: None)
    harm(tmp_path / "two-2.jar")
    with pytest.raises(ConfigError, match=r"1 of the 2 jars .* two-2.jar; run `ml-assets spark jars`"):
        check_jars(tmp_path)
    resolve_jars(tmp_path, lambda _: None)
    check_jars(tmp_path)


def test_a_file_of_other_content_is_refused(
    two_jars: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a registry gives: only the bytes of the manifest get the name."""
    monkeypatch.setattr(jars, "_ivy", lambda _, work: _makes({"one-1.jar": b"first", "two-2.jar": b"evil"}, work))
    with pytest.raises(ConfigError, match=r"org.example:two:2 could not be fetched: it is not the file"):
        resolve_jars(tmp_path, lambda _: None)
    assert not (tmp_path / "two-2.jar").exists()


def test_a_failure_says_why(two_jars: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ivy's own words, and what to do."""
    said = "print('resolving'); print('\\tmodule not found: org.example#one;1'); raise SystemExit(1)"
    monkeypatch.setattr(jars, "_ivy", lambda *_: [sys.executable, "-c", said])
    with pytest.raises(
        ConfigError, match=r"org.example:one:1 .* module not found: .*; check the network, or name a mirror"
    ):
        resolve_jars(tmp_path, lambda _: None)


def test_ivy_is_asked_for_each_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is resolved: every file has its version, none brings others; a mirror comes from Spark's own settings."""
    (tmp_path / "spark-defaults.conf").write_text("spark.jars.ivySettings /etc/mirror.xml\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.setattr(jars, "java", lambda: "java")
    monkeypatch.setattr(jars, "_ivy_jar", lambda: Path("ivy.jar"))
    command = jars._ivy(JARS, tmp_path)
    asked = fromstring((tmp_path / "ivy.xml").read_bytes()).findall("dependencies/dependency")
    assert [(one.get("name"), one.get("rev"), one.get("transitive")) for one in asked] == [
        ("one", "1", "false"),
        ("two", "2", "false"),
    ]
    assert command[command.index("-settings") + 1] == "/etc/mirror.xml"


@pytest.fixture
def java_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a Java that says of itself what it is told to, and lets JAVA_HOME name it."""

    def make(version: str, modules: str = "java.base@17\njdk.incubator.vector@17\n") -> Path:
        program = tmp_path / "jdk" / "bin" / "java"
        program.parent.mkdir(parents=True)
        said = f"echo 'openjdk version \"{version}\"' >&2"
        program.write_text(f"#!/bin/sh\nif [ $1 = -version ]; then {said}; else echo '{modules}'; fi\n")
        program.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
        return program

    return make


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.2-ea"])
def test_the_java_of_java_home_is_taken(java_home: Callable[..., Path], version: str) -> None:
    """Versions 17 and 21 are right."""
    made = java_home(version)
    assert java() == str(made)


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "25.0.1"])
def test_another_java_is_refused(java_home: Callable[..., Path], version: str) -> None:
    """Its version is told, and which to install."""
    java_home(version)
    with pytest.raises(ConfigError, match=rf"(?s){version}.*install a Java 17 or 21"):
        java()


def test_a_java_without_a_module_is_refused(java_home: Callable[..., Path]) -> None:
    """Runtimes that come in Python packages lack what Spark starts with."""
    java_home("17.0.1", modules="java.base@17")
    with pytest.raises(ConfigError, match=r"lacks the module jdk.incubator.vector.*a whole one"):
        java()


def test_something_else_called_java_is_refused(java_home: Callable[..., Path]) -> None:
    """It does not say which version it is."""
    java_home("of nothing")
    with pytest.raises(ConfigError, match="does not run on"):
        java()


def test_no_java_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither JAVA_HOME nor PATH has one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ConfigError, match="no java on PATH"):
        java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="has no bin/java"):
        java()
