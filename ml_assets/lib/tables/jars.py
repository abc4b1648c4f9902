"""The jars that Spark needs for Iceberg on the lake: 34 files, 57 MB, fetched once and checked by hash at every start.

``spark-jars.sha256`` names each with its version and hash. They are fetched by the Ivy that comes with Spark, each
alone, without what it depends on: the list is complete, and no more (Amazon's own bundle of the same is 641 MB).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from filelock import FileLock

from ml_assets.lib.core.errors import ConfigError
from ml_assets.lib.tables.java import java
from ml_assets.lib.tables.spark_settings import own_settings

Say = Callable[[str], None]
"""Tells a person how far it is."""

_MANIFEST: Final = "spark-jars.sha256"
_FETCHED: Final = re.compile(r"\s*\[SUCCESSFUL \] .*#(.+);.*")
_REMEDY: Final = "run `ml-assets spark jars`"


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the manifest.

    Attributes:
        organisation: Who publishes it.
        module: What it is.
        version: Which release.
        sha256: Hash of the file, as 64 hexadecimal digits.
    """

    organisation: str
    module: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.module}-{self.version}.jar"

    def is_in(self, folder: Path) -> bool:
        """Whether *folder* has it, unharmed."""
        try:
            with (folder / self.name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


@cache
def manifest() -> tuple[Jar, ...]:
    """All jars, in order of their coordinates."""
    lines = files(__package__).joinpath(_MANIFEST).read_text("ascii").splitlines()
    return tuple(_jar(*line.split()) for line in lines)


def _jar(sha256: str, coordinates: str) -> Jar:
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)


def paths(folder: Path) -> list[Path]:
    """Where the jars lie in *folder*, whether or not they do."""
    return [folder / jar.name for jar in manifest()]


def check_jars(folder: Path) -> None:
    """Check that *folder* has every jar, by hash; takes a fraction of a second and no network.

    Raises:
        ConfigError: One is missing or damaged.
    """
    if missing := _missing(folder):
        raise ConfigError(
            f"{len(missing)} of the {len(manifest())} jars that Spark needs are missing or damaged in {folder},"
            f" the first is {missing[0].name}",
            remedy=_REMEDY,
        )


def resolve_jars(folder: Path, say: Say) -> list[Path]:
    """Fetch what *folder* lacks of the jars; several processes may do so at once.

    Args:
        folder: Made if it is not there.
        say: Told of each file that was fetched; nothing where none is missing.

    Raises:
        ConfigError: No Spark, no Java, or a file that cannot be fetched or is not the one that it should be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if missing := _missing(folder):
            _fetch(missing, folder, say)
    return paths(folder)


def _missing(folder: Path) -> list[Jar]:
    return [jar for jar in manifest() if not jar.is_in(folder)]


def _fetch(missing: list[Jar], folder: Path, say: Say) -> None:
    """Fetch into a folder beside, check, then move into place: whatever has a jar's name is whole."""
    work = folder / ".incoming"
    work.mkdir(exist_ok=True)
    said: list[str] = []
    for number, module in enumerate(_fetched(_ivy(missing, work), said), start=1):
        say(f"fetched {number} of {len(missing)} jars for Spark: {module}")
    for jar in missing:
        if not jar.is_in(work):
            told = "it is not the file that the manifest names" if (work / jar.name).exists() else _reason(said)
            raise ConfigError(
                f"{jar.organisation}:{jar.module}:{jar.version} could not be fetched: {told}",
                remedy="check the network, or name a mirror by spark.jars.ivySettings in spark-defaults.conf",
            )
        (work / jar.name).replace(folder / jar.name)
    shutil.rmtree(work)


def _ivy(missing: Iterable[Jar], work: Path) -> list[str]:
    """The command that fetches *missing* into *work*."""
    description = Element("ivy-module", version="2.0")
    SubElement(description, "info", organisation="ml_assets", module="spark")
    SubElement(SubElement(description, "configurations"), "conf", name="default")
    dependencies = SubElement(description, "dependencies")
    for jar in missing:
        attributes = {"org": jar.organisation, "name": jar.module, "rev": jar.version}
        SubElement(dependencies, "dependency", attributes, conf="default->master", transitive="false")
    (work / "ivy.xml").write_bytes(tostring(description))
    command = [java(), "-jar", str(_ivy_jar()), "-cache", str(work / "cache"), "-ivy", str(work / "ivy.xml")]
    if settings := own_settings().get("spark.jars.ivySettings"):
        command += ["-settings", settings]
    return [*command, "-retrieve", str(work / "[artifact]-[revision].[ext]"), "-overwriteMode", "always"]


def _ivy_jar() -> Path:
    spec = find_spec("pyspark")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        for found in Path(place, "jars").glob("ivy-*.jar"):
            return found
    raise ConfigError("pyspark is not installed", remedy="set up with ML_ASSETS_ENGINE=spark deploy/run")


def _fetched(command: list[str], said: list[str]) -> Iterator[str]:
    """Run *command*; the modules that it fetches, as they come. All that it says goes to *said*."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy:
        try:
            for line in ivy.stdout or ():
                said.append(line.strip())
                if found := _FETCHED.fullmatch(line.rstrip()):
                    yield found[1]
        finally:
            ivy.kill()


def _reason(said: list[str]) -> str:
    """The first line in which Ivy says what went wrong."""
    wrong = (line for line in said if re.search(r"(?i)not found|exception|refused|timed out|unknown host|denied", line))
    return next(wrong, "Ivy does not say why")
