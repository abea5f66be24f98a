"""An LRU cache of decoded sweeps in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SweepCache(Generic[T]):
    """Reads sweeps, or samples made of them, and keeps the most recent; each loader worker keeps its own.

    ``read`` takes a sequence and a sweep's index in it, and must be picklable.
    """

    def __init__(self, read: Callable[[str, int], T], keep: int) -> None:
        self._uncached, self._keep = read, keep

    def __call__(self, sequence: str, index: int) -> T:
        """Return the result for a sweep."""
        return self._read(sequence, index)

    @functools.cached_property
    def _read(self) -> Callable[[str, int], T]:
        return functools.lru_cache(self._keep)(self._uncached)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_read"}
