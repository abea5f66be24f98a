"""Several caches as one: a sequence is named by the number of its cache and its own name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from iscc_lidar.data_schemas.manifest import SequenceEntry
from iscc_lidar.shared.cache.block import Block
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep, SweepField


class JoinedCaches:
    """Sweeps of several caches; one that is given twice is there twice. Names of a single one stay as they are.

    Attributes:
        caches: in their order.
        sequences: of all caches, renamed.
    """

    def __init__(self, caches: Sequence[Cache]) -> None:
        if not caches:
            raise ValueError("expected at least one cache")
        self.caches = tuple(caches)
        self.sequences: tuple[SequenceEntry, ...] = tuple(
            entry if len(caches) == 1 else replace(entry, name=f"{number}:{entry.name}")
            for number, cache in enumerate(caches)
            for entry in cache.manifest.sequences
        )

    @property
    def path(self) -> str:
        """Where they are, for messages."""
        return ", ".join(cache.path for cache in self.caches)

    @property
    def dataset(self) -> str:
        """Names of the datasets, each once."""
        return " + ".join(dict.fromkeys(cache.manifest.dataset for cache in self.caches))

    def sweep(self, sequence: str, index: int, without: Collection[SweepField] = ()) -> CachedSweep:
        """Read a sweep; see ``Cache.sweep``."""
        cache, own = self._find(sequence)
        return cache.sweep(own, index, without)

    def blocks(self, sequence: str) -> list[Block]:
        """Open the blocks of a sequence."""
        cache, own = self._find(sequence)
        return cache.blocks(own)

    def _find(self, sequence: str) -> tuple[Cache, str]:
        if len(self.caches) == 1:
            return self.caches[0], sequence
        number, _, own = sequence.partition(":")
        return self.caches[int(number)], own
