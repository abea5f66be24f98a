"""How this process's memory is given back to the system: not after every array."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1  # of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_LARGEST_FROM_HEAP: Final = 2**25  # as much as glibc allows
_KEPT: Final = 2**29


@cache
def keep_memory() -> bool:
    """Let freed memory be used again instead of returning it, where the C library is glibc; whether it is.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536, with which every large array is new pages, which the
    system clears first: the offline stage takes 1.4 times as long.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, another system
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_FROM_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
