"""Read the sweeps of a window, and find the points that count: valid and in range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.base.geometry import squared_lengths

T = TypeVar("T")


@dataclass(frozen=True)
class RangeConfig:
    """Options of the range of points; others are ignored."""

    min_m: float = option(2.0, "metres from the ray's origin; nearer returns are the ego vehicle", at_least=0)
    max_m: float = option(
        120.0, "metres from the ray's origin; beyond, surfaces are too sparse to group", above=0, at_most=1000
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "range")
        if self.min_m >= self.max_m:
            raise ValueError(f"range.min_m must be below range.max_m, {self.max_m}, not {self.min_m}")


@dataclass(frozen=True)
class ConsideredSweep:
    """A sweep, and which of its points count: bool [N]; the others are not considered."""

    sweep: Sweep
    considered: NDArray[np.bool_]


def consider(sweep: Sweep, config: RangeConfig) -> ConsideredSweep:
    """Find the points of a sweep that count."""
    return ConsideredSweep(sweep, considered_mask(sweep, config))


def considered_mask(sweep: Sweep, config: RangeConfig) -> NDArray[np.bool_]:
    """Return which points are valid (finite, not exactly zero) and in range: bool [N].

    Only these reach ground removal and the C code: ``range.max_m`` from an origin within 1 km of the sensor.
    """
    x, y, z = sweep.xyz.T
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is in no range
        squared = squared_lengths(sweep.xyz - sweep.origin)
        in_range = np.isfinite(squared) & (squared >= config.min_m**2) & (squared <= config.max_m**2)
    considered: NDArray[np.bool_] = in_range & ((x != 0) | (y != 0) | (z != 0))
    return considered


class WindowBuffer(Generic[T]):
    """Sweeps of the current window, each read and processed once by ``load`` while windows move forward."""

    def __init__(self, load: Callable[[int], T]) -> None:
        self._load = load
        self._sweeps: dict[int, T] = {}

    def take(self, window: Window) -> list[T]:
        """Return the sweeps of a window, and drop earlier ones."""
        self._sweeps = {index: sweep for index, sweep in self._sweeps.items() if index >= window.start}
        for index in range(window.start, window.stop):
            if index not in self._sweeps:
                self._sweeps[index] = self._load(index)
        return list(self._sweeps.values())
