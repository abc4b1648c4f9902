"""How the server's process keeps memory."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_SETTINGS: Final = {
    -1: 64 << 20,  # M_TRIM_THRESHOLD: how much that is free at the end of the heap is kept
    -3: 8 << 20,  # M_MMAP_THRESHOLD: up to which size memory comes from the heap
}
"""Parameters of glibc's ``mallopt(3)``, in bytes."""


def keep_freed_memory() -> None:
    """Let the pieces of a large upload use the same memory again and again.

    By default glibc gives such pieces back to the system, which clears them before it hands them out: a tenth of the
    time that an upload takes. Where there is another allocator, nothing happens.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            for parameter, value in _SETTINGS.items():
                mallopt(parameter, value)
