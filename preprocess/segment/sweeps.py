"""Read the sweeps of a window, and label each point as ignored, ground, or a candidate for a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.segment.ground import GroundRemovalConfig, ground_mask
from iscc_lidar.shared.base.config import option
from iscc_lidar.shared.base.geometry import squared_lengths


@dataclass(frozen=True)
class RangeConfig:
    """Options of the range of points; others are ignored."""

    min_m: float = option(2.0, "metres from the ray's origin; nearer returns are the ego vehicle")
    max_m: float = option(80.0, "metres from the ray's origin; beyond, surfaces are too sparse to group")


@dataclass(frozen=True)
class GroundedSweep:
    """A sweep with an initial label for every point: NOT_CONSIDERED, GROUND, or NOISE until it is in a group."""

    sweep: Sweep
    label: NDArray[np.int32]


def considered_mask(sweep: Sweep, config: RangeConfig) -> NDArray[np.bool_]:
    """Return which points are valid (finite, not exactly zero) and in range: bool [N]."""
    x, y, z = sweep.xyz.T
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is in no range
        squared = squared_lengths(sweep.xyz - sweep.origin)
        in_range = np.isfinite(squared) & (squared >= config.min_m**2) & (squared <= config.max_m**2)
    considered: NDArray[np.bool_] = in_range & ((x != 0) | (y != 0) | (z != 0))
    return considered


def remove_ground(sweep: Sweep, ranges: RangeConfig, ground: GroundRemovalConfig) -> GroundedSweep:
    """Give every point of a sweep its initial label."""
    considered = considered_mask(sweep, ranges)
    label = np.full(len(sweep), NOT_CONSIDERED, dtype=np.int32)
    is_ground = ground_mask(sweep.xyz[considered], sweep.intensity[considered], ground)
    label[considered] = np.where(is_ground, GROUND, NOISE)
    return GroundedSweep(sweep, label)


class SweepBuffer:
    """The sweeps of the current window; each is read and its ground removed once while windows move forward."""

    def __init__(self, dataset: Dataset, sequence: str, ranges: RangeConfig, ground: GroundRemovalConfig) -> None:
        self._source = (dataset, sequence)
        self._configs = (ranges, ground)
        self._sweeps: dict[int, GroundedSweep] = {}

    def take(self, start: int, stop: int) -> list[GroundedSweep]:
        """Return sweeps ``start`` up to ``stop``, and drop earlier ones."""
        self._sweeps = {index: sweep for index, sweep in self._sweeps.items() if index >= start}
        dataset, sequence = self._source
        for index in range(start, stop):
            if index not in self._sweeps:
                self._sweeps[index] = remove_ground(dataset.read(sequence, index), *self._configs)
        return [self._sweeps[index] for index in range(start, stop)]
