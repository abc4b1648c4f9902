"""The Java that Spark runs on: found where Spark looks for it, and tried before Spark fails on it in its own words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from ml_assets.lib.core.errors import ConfigError

VERSIONS: Final = (17, 21)
"""Major versions that Spark 4.0 supports."""
_MODULE: Final = "jdk.incubator.vector"
"""Spark starts every JVM with it; runtimes made to be small lack it."""
_REMEDY: Final = "install a Java 17 or 21 (a whole one, as in OpenJDK's packages) and let JAVA_HOME or PATH name it"


def java() -> str:
    """The Java that Spark will start: that of ``JAVA_HOME``, else the first on ``PATH``.

    Raises:
        ConfigError: There is none, or Spark does not run on it.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(str(Path(home, "bin", "java"))) if home else shutil.which("java")
    if found is None:
        where = f"JAVA_HOME={home} has no bin/java" if home else "there is no java on PATH, and JAVA_HOME is not set"
        raise ConfigError(f"Spark needs Java: {where}", remedy=_REMEDY)
    return _tried(found)


@cache
def _tried(path: str) -> str:
    version = _ask(path, "-version")
    major = re.search(r'version "(?:1\.)?(\d+)', version)
    if major is None or int(major[1]) not in VERSIONS:
        said = version.strip().splitlines()
        raise ConfigError(f"Spark does not run on {path}: {said[0] if said else 'it says nothing'}", remedy=_REMEDY)
    if _MODULE not in _ask(path, "--list-modules"):
        raise ConfigError(f"{path} lacks the module {_MODULE}, which Spark needs", remedy=_REMEDY)
    return path


def _ask(path: str, option: str) -> str:
    try:
        answer = subprocess.run([path, option], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{path} {option} cannot be run: {error}", remedy=_REMEDY) from error
    return answer.stdout + answer.stderr
