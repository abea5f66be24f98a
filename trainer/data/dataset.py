"""Samples made of a cache's sweeps, by key."""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch.utils.data import Dataset

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.joined import JoinedCaches
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.data.places import Place


@dataclass(frozen=True)
class SweepSample:
    """A sample; ``left_out`` names the sweeps that would have been its own, but had too few points."""

    left_out: tuple[str, ...] = field(default=(), kw_only=True)


S = TypeVar("S", bound=SweepSample)
T = TypeVar("T")


class SweepDataset(Dataset[S], Generic[S, T]):
    """Samples of sweeps, picklable; the sample of a key is the same in every process.

    A sweep with too few points to train on never ends a run: the sample is made of the next one that has enough. That
    depends on the key alone, so that processes stay in step.

    The sweeps read last are kept in memory; each loader worker keeps its own.

    Attributes:
        places: the sweep of each sample.
    """

    def __init__(
        self, cache: Cache | JoinedCaches, places: Sequence[Place], read: Callable[[str, int], T], keep: int
    ) -> None:
        self.source, self.places = cache, tuple(places)
        self._uncached, self._keep = read, keep

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: SampleKey) -> S:
        """Make the sample of a key. Raises UserError where no sweep has enough points."""
        left_out: list[str] = []
        for tries in range(len(self)):
            chosen = SampleKey(key.epoch, (key.place + tries) % len(self))
            sample = self.make(chosen)
            if sample is not None:
                return dataclasses.replace(sample, left_out=tuple(left_out)) if left_out else sample
            left_out.append("/".join(map(str, self.places[chosen.place])))
        raise UserError(
            f"{self.source.path}: no sweep has enough points to train on; see the points of each sequence with: "
            f"iscc-cache info {self.source.path}, and the options of range and grid"
        )

    @abstractmethod
    def make(self, key: SampleKey) -> S | None:
        """Make the sample of a key from its own sweep; None where that has too few points."""

    @functools.cached_property
    def read_sweep(self) -> Callable[[str, int], T]:
        """Read a sweep, or what is made of it, by its sequence and its index there."""
        return functools.lru_cache(self._keep)(self._uncached)

    def __getstate__(self) -> dict[str, object]:
        cached = functools.cached_property
        return {k: v for k, v in self.__dict__.items() if not isinstance(getattr(type(self), k, None), cached)}
