"""Sweeps of a cache, of which the latest stay decoded in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep, SweepField

T = TypeVar("T")


def sweep_reader(cache: Cache, parts: Sequence[SweepField]) -> Callable[[str, int], CachedSweep]:
    """Reads sweeps of a cache without some parts; picklable."""
    return functools.partial(_read_sweep, cache, tuple(parts))


def _read_sweep(cache: Cache, parts: Sequence[SweepField], sequence: str, index: int) -> CachedSweep:
    return cache.sweep(sequence, index, parts)


class SweepCache(Generic[T]):
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
