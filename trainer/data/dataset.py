"""Samples made of a cache's sweeps, by key."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from torch.utils.data import Dataset

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.data.places import Place

S = TypeVar("S")
T = TypeVar("T")


class SweepDataset(Dataset[S], Generic[S, T]):
    """Samples of sweeps, picklable; the sample of a key is the same in every process.

    The sweeps read last are kept in memory; each loader worker keeps its own.

    Attributes:
        places: the sweep of each sample.
    """

    def __init__(self, cache: Cache, places: Sequence[Place], read: Callable[[str, int], T], keep: int) -> None:
        self.cache, self.places = cache, tuple(places)
        self._uncached, self._keep = read, keep

    def __len__(self) -> int:
        return len(self.places)

    @abstractmethod
    def __getitem__(self, key: SampleKey) -> S:
        """Make the sample of a key."""

    @functools.cached_property
    def read_sweep(self) -> Callable[[str, int], T]:
        """Read a sweep, or what is made of it, by its sequence and its index there."""
        return functools.lru_cache(self._keep)(self._uncached)

    def __getstate__(self) -> dict[str, object]:
        cached = functools.cached_property
        return {k: v for k, v in self.__dict__.items() if not isinstance(getattr(type(self), k, None), cached)}
