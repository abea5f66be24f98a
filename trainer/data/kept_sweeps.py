"""Sweeps of a cache, of which the latest stay decoded in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.cached_sweep import CachedSweep, Part


class KeptSweeps:
    """Reads sweeps, and keeps some; in a loader process a copy keeps its own."""

    def __init__(self, cache: Cache, keep: int, without: Sequence[Part]) -> None:
        self._cache, self._keep, self._without = cache, keep, tuple(without)

    def __call__(self, sequence: str, index: int) -> CachedSweep:
        """The sweep, see ``Cache.sweep``."""
        return self._read(sequence, index)

    @functools.cached_property
    def _read(self) -> Callable[[str, int], CachedSweep]:
        return functools.lru_cache(self._keep)(functools.partial(self._cache.sweep, without=self._without))

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_read"}
