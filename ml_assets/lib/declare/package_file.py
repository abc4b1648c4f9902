"""Data files that come with an installed distribution."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ml_assets.lib.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A data file inside an installed distribution, which is never imported.

    Attributes:
        distribution: Name of the distribution.
        path: Path of the file within the installation.
        extra: The extra of this project that installs the distribution.
    """

    distribution: str
    path: str
    extra: str = "demo"

    def __str__(self) -> str:
        """The same text for the same file, however this class grows: publications record it."""
        return f"{self.path} of {self.distribution}"

    def locate(self) -> Path:
        """Where the file is on this machine.

        Raises:
            ConfigError: The distribution is not installed, or has no such file.
        """
        try:
            path = Path(str(metadata.distribution(self.distribution).locate_file(self.path)))
        except metadata.PackageNotFoundError:
            raise ConfigError(
                f"{self.path} comes with {self.distribution}, which is not installed",
                remedy=f"install the extra: `pip install 'ml-assets[{self.extra}]'`",
            ) from None
        if not path.is_file():
            raise ConfigError(
                f"{self.distribution} {metadata.version(self.distribution)} has no file {self.path}",
                remedy="install the version that pyproject.toml pins, or correct the path",
            )
        return path
