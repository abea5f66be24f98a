"""Mix two labelled sweeps by the inclination of their points: LaserMix (Kong et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class MixConfig:
    """Mixing of two sweeps."""

    probability: float = option(
        0.0, "share of samples that are mixed with another sweep, in turns by inclination", at_least=0, at_most=1
    )
    least_bands: int = option(3, "number of intervals of inclination, at least", at_least=2)
    most_bands: int = option(6, "number of intervals of inclination, at most", at_least=2)

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "mix")
        if self.most_bands < self.least_bands:
            raise ValueError("mix.most_bands must be at least mix.least_bands")


Points = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]
"""Positions in the sensor's frame [N, 3], intensity [N], class and weight [N]."""


def lasermix(a: Points, b: Points, config: MixConfig, rng: np.random.Generator) -> Points:
    """Take every other interval of inclination from ``a``, the rest from ``b``.

    Intervals are equally wide, from the lowest to the highest point of both.
    """
    bands, first = int(rng.integers(config.least_bands, config.most_bands + 1)), int(rng.integers(2))
    angle = np.concatenate([_inclination(a[0]), _inclination(b[0])])
    low = np.min(angle, initial=np.inf)
    width = max(float(np.ptp(angle)) if len(angle) else 0.0, 1e-6) / bands
    band = np.minimum(((angle - low) / width).astype(np.int64), bands - 1)
    of_b = np.arange(len(angle)) >= len(a[0])
    kept = np.flatnonzero(band % 2 == np.where(of_b, 1 - first, first))
    xyz, intensity, label = (np.concatenate(pair)[kept] for pair in zip(a, b, strict=True))
    return xyz, intensity, label


def _inclination(xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    angle: NDArray[np.float32] = np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1]))
    return angle
