"""The sweeps that an epoch visits, their order and their partners.

Order and pairs depend only on (seed, epoch), not on the number of processes or loader workers or on interruptions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from iscc_lidar.data_schemas.manifest import SequenceEntry
from iscc_lidar.shared.base.errors import UserError

# Leading words of the random seeds: NumPy pads seeds with zeros, so that [s, e] and [s, e, 0] would be the same.
_ORDER: Final = 1
_SAMPLE: Final = 2

Partner = Literal["window", "same"]
"""Source of x_j: a window that contains x_i, or x_i itself."""


@dataclass(frozen=True)
class SweepRef:
    """A training sweep: its sequence, its index, and the (start, stop) of the windows that contain it."""

    sequence: str
    index: int
    windows: tuple[tuple[int, int], ...]


class SampleKey(NamedTuple):
    """A sweep, by its place in the index of sweeps, in an epoch."""

    epoch: int
    place: int


def index_sweeps(sequences: Iterable[SequenceEntry], dataset: str, partner: Partner = "window") -> tuple[SweepRef, ...]:
    """List the sweeps of an epoch: those in a window that also contains a partner. Raises UserError if none.

    ``dataset`` is the name in messages.
    """
    least = 2 if partner == "window" else 1
    refs: list[SweepRef] = []
    for entry in sequences:
        spans = [(w.start, w.stop) for w in entry.windows if w.stop - w.start >= least]
        for index in range(entry.sweeps):
            if around := tuple((start, stop) for start, stop in spans if start <= index < stop):
                refs.append(SweepRef(entry.name, index, around))
    if not refs:
        if partner == "same":
            raise UserError(f"the cache of {dataset} has no window and therefore no groups")
        raise UserError(
            f"the cache of {dataset} has no window of two or more sweeps: nothing to pair; "
            "preprocess with longer windows, or pair each sweep with itself: data.partner=same"
        )
    return tuple(refs)


def sample_rng(seed: int, key: SampleKey) -> np.random.Generator:
    """Return the random generator of a sample, the same in every process."""
    return np.random.default_rng([_SAMPLE, seed, key.epoch, key.place])


def draw_partner(ref: SweepRef, rng: np.random.Generator) -> int:
    """Draw x_j, another sweep of a window that contains x_i; return its index."""
    start, stop = ref.windows[int(rng.integers(len(ref.windows)))]
    other = int(rng.integers(start, stop - 1))
    return other + (other >= ref.index)


def keys_of_step(step: int, count: int, seed: int, batch_size: int) -> list[SampleKey]:
    """List the samples of a step; steps run through the epochs without gap or repetition."""
    first = step * batch_size
    places = (divmod(n, count) for n in range(first, first + batch_size))
    return [SampleKey(epoch, int(_order(count, seed, epoch)[position])) for epoch, position in places]


@dataclass(frozen=True)
class Share:
    """A process's part of a step, which is cut into micro-batches, and each of those among the processes."""

    micro_batches: int = 1
    rank: int = 0
    world_size: int = 1

    def of(self, keys: Sequence[SampleKey]) -> list[list[SampleKey]]:
        """Select the process's part of each micro-batch from a step's samples."""
        size = len(keys) // (self.micro_batches * self.world_size)
        starts = ((micro * self.world_size + self.rank) * size for micro in range(self.micro_batches))
        return [list(keys[start : start + size]) for start in starts]


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(count)


@dataclass(frozen=True)
class StepSampler(Sampler[list[SampleKey]]):
    """The micro-batches of steps ``start`` to ``stop`` - 1, for PyTorch's DataLoader."""

    count: int
    seed: int
    batch_size: int
    start: int
    stop: int
    share: Share = Share()

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """Yield the sample keys of each micro-batch."""
        for step in range(self.start, self.stop):
            yield from self.share.of(keys_of_step(step, self.count, self.seed, self.batch_size))

    def __len__(self) -> int:
        return (self.stop - self.start) * self.share.micro_batches
