"""Voxels: as many points as there are places, however often they are seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voxelize(xyz: NDArray[np.floating], voxel_size_m: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean point of each occupied voxel, float64 [V, 3], and each point's voxel, int64 [N]."""
    key = np.zeros(len(xyz), dtype=np.int64)
    for axis in range(3):  # one by one: numpy is slow on rows of three
        cell = np.floor(xyz[:, axis] / voxel_size_m).astype(np.int64)
        low = cell.min()
        key = key * (cell.max() - low + 1) + (cell - low)
    _, voxel, count = np.unique(key, return_inverse=True, return_counts=True)
    total = np.stack([np.bincount(voxel, weights=xyz[:, axis]) for axis in range(3)], axis=1)
    return total / count[:, None], voxel
