"""Keep freed memory in the process instead of returning it to the system after every array."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1  # of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_LARGEST_FROM_HEAP: Final = 2**25  # the maximum of glibc
_KEPT: Final = 2**29


@cache
def keep_freed_memory() -> bool:
    """Make glibc reuse freed memory; returns whether it could be set, which other C libraries do not allow.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536, so that every large array gets new pages, which the
    system clears first: preprocessing takes 1.4 times as long.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, another system
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_FROM_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
