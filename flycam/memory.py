"""Memory of the process, as the C library allocates it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # from glibc's malloc.h
_MMAP_THRESHOLD_BYTES = 64 << 20
_TRIM_THRESHOLD_BYTES = 128 << 20


def limit_to_one_arena() -> None:
    """Let threads share one heap that holds pixel arrays too.

    Call it before threads are started. By default each thread has a heap of its own that keeps what it once
    needed, and large arrays are mapped and returned every time: an ingest then takes 65 MB more and twice as
    many page faults. Does nothing where the C library is not glibc.
    """
    if (mallopt := _find_function("mallopt")) is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        mallopt(_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


def release_free_pages() -> None:
    """Return to the system what the heap holds and nothing uses.

    Between the steps of long work, which need arrays of other sizes. Does nothing where the C library is not
    glibc.
    """
    if (malloc_trim := _find_function("malloc_trim")) is not None:
        malloc_trim(0)


def _find_function(name: str) -> Callable[..., int] | None:
    """Return a function of the C library, None where it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
