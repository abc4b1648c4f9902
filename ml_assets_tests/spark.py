"""What Spark tests share: marks, the jars of this machine, programs that run with a Spark of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
_HOME: Final = Path(os.environ.get("ML_ASSETS_HOME") or ROOT / ".ml_assets")
JARS: Final = Path(os.environ.get("ML_ASSETS_SPARK_JARS") or _HOME / "spark-jars").absolute()
"""Where `ml-assets spark jars` puts them, unless the setting says otherwise."""

MARKS: Final = [
    pytest.mark.spark,
    pytest.mark.timeout(600),  # the first test starts a JVM
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # pyspark leaves them to be collected
]
"""For ``pytestmark``."""


def program(name: str, *arguments: str, folder: Path, conf: str) -> subprocess.Popen[str]:
    """Start the module *name* of the tests with a Spark of its own.

    Args:
        name: Its dotted name.
        *arguments: For it.
        folder: Where it runs; Spark's settings are written into it.
        conf: Spark's settings, as ``spark-defaults.conf`` has them.
    """
    folder.mkdir(exist_ok=True)
    (folder / "spark-defaults.conf").write_text(conf)
    own = {"SPARK_CONF_DIR": str(folder), "PYTHONPATH": str(ROOT), "ML_ASSETS_SPARK_JARS": str(JARS)}
    return subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        cwd=folder,
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def say(*words: object) -> None:
    """What such a program tells the test that started it."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()
