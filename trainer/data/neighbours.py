"""The visible voxels around each occupancy query, found on the CPU by the loader."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.data.crops import Crops

NONE = -1
"""Fills the places of neighbours that do not exist."""


def nearest_voxels(crops: Crops, voxel_xyz: NDArray[np.float32], k: int, reach_m: float) -> NDArray[np.int64]:
    """Find the k nearest voxels within ``reach_m`` of each query.

    Only voxels in a box around a query's crop are compared, so that cost grows with crops, not with sweeps.

    Args:
        crops: crops and their queries, Q in all.
        voxel_xyz: float32 [V, 3], metres, same frame.
        k: neighbours wanted.
        reach_m: greatest distance, metres.

    Returns:
        int64 [Q, k], rows of ``voxel_xyz`` from near to far, then NONE.
    """
    found = np.full((len(crops.xyz), k), NONE, np.int64)
    bounds = np.searchsorted(crops.crop, np.arange(len(crops.centre) + 1))
    by_x = np.argsort(voxel_xyz[:, 0], kind="stable")
    x = voxel_xyz[by_x, 0]
    for crop, (start, stop) in enumerate(pairwise(bounds)):
        centre, reach = crops.centre[crop], crops.radius[crop] + reach_m
        first, last = np.searchsorted(x, centre[0] - reach), np.searchsorted(x, centre[0] + reach, side="right")
        row = np.sort(by_x[first:last])
        near = row[(np.abs(voxel_xyz[row, 1:] - centre[1:]) <= reach).all(axis=1)]
        found[start:stop] = _nearest(crops.xyz[start:stop], voxel_xyz[near], near, k, reach_m)
    return found


def _nearest(
    query: NDArray[np.float32], xyz: NDArray[np.float32], row: NDArray[np.int64], k: int, reach_m: float
) -> NDArray[np.int64]:
    x, y, z = (query[:, axis, None] - xyz[None, :, axis] for axis in range(3))
    distance = np.sqrt(x * x + y * y + z * z)
    nearest = np.broadcast_to(np.arange(len(xyz)), distance.shape)
    if k < len(xyz):  # leave the others out before sorting
        nearest = np.sort(np.argpartition(distance, k - 1, axis=1)[:, :k], axis=1)
        distance = np.take_along_axis(distance, nearest, axis=1)
    order = np.argsort(distance, axis=1, kind="stable")
    rows = np.take_along_axis(row[nearest], order, axis=1)
    rows = np.where(np.take_along_axis(distance, order, axis=1) <= reach_m, rows, NONE)
    return np.pad(rows, ((0, 0), (0, k - rows.shape[1])), constant_values=NONE)
