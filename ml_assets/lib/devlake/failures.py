"""What clients are told when the machine fails: the one place where errors of disk and database are translated.

Whatever a call has written by then is a whole transaction or nothing.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from typing import Final

from ml_assets.lib.devlake.errors import DevlakeError, InternalError, StorageFull

_LOG: Final = logging.getLogger(__name__)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def refusal(error: Exception, call: str) -> DevlakeError:
    """The refusal of *call* that *error* amounts to. What the client is not told is in the log."""
    if isinstance(error, DevlakeError):
        return error
    if _is_full(error):
        _LOG.error("%s: no space left: %s", call, error)
        return StorageFull()
    _LOG.error("%s failed", call, exc_info=error)
    return InternalError()


def _is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL
