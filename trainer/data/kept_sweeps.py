"""Sweeps of a cache, of which the latest stay decoded in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class KeptSweeps(Generic[T]):
    """Reads sweeps, or what is made of them, and keeps some; in a loader process a copy keeps its own.

    ``read`` takes a sequence and a sweep's index in it, and must be picklable.
    """

    def __init__(self, read: Callable[[str, int], T], keep: int) -> None:
        self._source, self._keep = read, keep

    def __call__(self, sequence: str, index: int) -> T:
        """What was read of a sweep."""
        return self._read(sequence, index)

    @functools.cached_property
    def _read(self) -> Callable[[str, int], T]:
        return functools.lru_cache(self._keep)(self._source)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_read"}
