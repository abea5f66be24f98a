"""Sweeps of a dataset's own files with points that make groups: three blobs over flat ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def blobs(points: int, seed: int) -> NDArray[np.float64]:
    """Draw points in three blobs that stand still, the same for every seed, and on flat ground: [N, 3], metres."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, points)
    centre = np.array([[0, 0, 0], [8, 3, 0.5], [-6, 9, 0.5], [3, -9, 0.5]])[kind]
    around = centre + rng.normal(0, 0.3, centre.shape)
    ground = np.concatenate([rng.uniform(-20, 20, (points, 2)), np.full((points, 1), -1.9)], axis=1)
    found: NDArray[np.float64] = np.where((kind > 0)[:, None], around, ground)
    return found
