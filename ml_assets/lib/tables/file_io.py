"""Where recorded locations lead: metadata says ``main``, the pinned ref is opened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pyiceberg.io import InputFile, OutputFile
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

from ml_assets.lib.core.errors import AccessDenied, NonCanonicalPath
from ml_assets.lib.core.names import CANONICAL
from ml_assets.lib.core.refs import Branch, Ref
from ml_assets.lib.lake.client import Lake

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

REPOSITORY_KEY: Final = "lake.repository"
REF_KEY: Final = "lake.ref"

_LOCATION: Final = re.compile(r"s3a?://([^/]+)/([^/]+)/(.+)")


def location_of(path: str, repository: str) -> str:
    """What metadata records for *path*, whichever ref it is written at."""
    return f"s3a://{repository}/{CANONICAL}/{path}"


def path_of(location: str, repository: str) -> str:
    """The path inside a ref that a recorded location means.

    Raises:
        NonCanonicalPath: Another place than ``main`` of this repository.
    """
    found = _LOCATION.fullmatch(location)
    if not found or found[1] != repository or found[2] != CANONICAL:
        raise NonCanonicalPath(
            f"{location!r} is not below {location_of('', repository)!r}",
            remedy="write tables through the catalog of ml_assets.lib.tables only",
        )
    return found[3]


class PinnedFileIO(PyArrowFileIO):
    """Opens recorded locations at one ref. Its properties hold no credentials: those stay inside the `Lake`.

    Args:
        lake: Where.
        ref: What every recorded location is opened at.
        properties: Properties of the table; they cannot move the pin.
    """

    def __init__(self, lake: Lake, ref: Ref, properties: Properties = EMPTY_DICT) -> None:
        super().__init__({**properties, REPOSITORY_KEY: lake.repository, REF_KEY: str(ref)})
        self._lake = lake
        self._ref = ref

    @staticmethod
    def parse_location(location: str, properties: Properties = EMPTY_DICT) -> tuple[str, str, str]:
        """Scheme, repository, and the path that is opened: ``<repository>/<ref>/<path>``.

        Raises:
            NonCanonicalPath: Another place than ``main`` of this repository.
        """
        repository = properties[REPOSITORY_KEY]
        return "s3a", repository, f"{repository}/{properties[REF_KEY]}/{path_of(location, repository)}"

    def _initialize_fs(self, scheme: str, netloc: str | None = None) -> FileSystem:
        """One S3 client for all refs of a lake: the ref is part of the path."""
        return self._lake.gateway

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove one object, by REST: PyArrow's own delete leaves a directory marker, which lakeFS would version."""
        recorded = location if isinstance(location, str) else location.location
        if not isinstance(self._ref, Branch):
            raise AccessDenied(f"{recorded} cannot be deleted at {self._ref}", remedy="delete on a branch")
        self._lake.delete(self._ref, [path_of(recorded, self._lake.repository)])
