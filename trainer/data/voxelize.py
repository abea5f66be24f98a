"""Sparse voxels of points, and the groups in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.shared.cache.sweep import CachedSweep

POSITION_SCALE: Final = np.array([1 / 50, 1 / 50, 1 / 3], np.float32)
"""Brings x, y and z of a street scene to order one. Position is an input because height above the sensor
distinguishes ground from roof. Directions (x / r, y / r) and range instead slowed contrast in a run of 300 steps."""

INPUT_CHANNELS: Final = 4
"""Mean x, y, z (scaled) and intensity of a voxel's points."""


@dataclass(frozen=True)
class Voxels:
    """Occupied voxels of one view, sorted by coordinate.

    Attributes:
        coords: int32 [V, 3], unique, >= 0, in voxels from the view's lower corner.
        corner: int64 [3], that corner in voxels from the origin; edge_m: of a voxel, metres.
        feats: float32 [V, 4], the network's input, see INPUT_CHANNELS.
        xyz: float32 [V, 3], mean of each voxel's points, metres, view frame.
        of_point: int64 [N], row of each point's voxel.
    """

    coords: NDArray[np.int32]
    corner: NDArray[np.int64]
    edge_m: float
    feats: NDArray[np.float32]
    xyz: NDArray[np.float32]
    of_point: NDArray[np.int64]


@dataclass(frozen=True)
class Members:
    """Distribution of groups over voxels: ``points[p]`` points of a group lie in a voxel.

    Attributes:
        voxel: int64 [P]; group: int64 [P], position in the list of groups; points: float32 [P].
    """

    voxel: NDArray[np.int64]
    group: NDArray[np.int64]
    points: NDArray[np.float32]


def voxelize(xyz: NDArray[np.float32], intensity: NDArray[np.float32], voxel_size: float) -> Voxels:
    """Group points [N, 3], metres, and intensity [N] by cubes of ``voxel_size`` metres."""
    columns = np.ascontiguousarray(xyz.T)  # NumPy reduces long rows several times faster than short ones
    cell = np.floor(columns / np.float32(voxel_size)).astype(np.int64)
    corner = cell.min(axis=1) if cell.size else np.zeros(3, np.int64)
    cell -= corner[:, None]
    size = cell.max(axis=1, initial=0) + 1
    unique, of_point = np.unique(_key(cell, size), return_inverse=True)
    coords = np.stack([unique // (size[1] * size[2]), unique // size[2] % size[1], unique % size[2]], axis=1)
    count = np.bincount(of_point, minlength=len(unique))
    mean = np.stack([_mean(column, of_point, count) for column in (*columns, intensity)], axis=1)
    feats = mean.copy()
    feats[:, :3] *= POSITION_SCALE
    return Voxels(coords.astype(np.int32), corner, voxel_size, feats, mean[:, :3], of_point)


def enough_to_train(voxels: Voxels, levels: int) -> bool:
    """Return whether a U-Net has at least two voxels at the coarsest of its levels, as batch norm needs."""
    return len(voxels.coords) > 0 and bool(voxels.coords.max() >> levels)  # the least along each axis is 0


def find_voxels(voxels: Voxels, columns: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the row of the voxel at each position, given as columns [3, N]: int64 [N], -1 for none."""
    cell = np.floor(columns / np.float32(voxels.edge_m)).astype(np.int64) - voxels.corner[:, None]
    coords = np.ascontiguousarray(voxels.coords.T, np.int64)
    size = coords.max(axis=1, initial=0) + 1
    return _find_cells(_key(coords, size), cell, size)


def has_points(columns: NDArray[np.float32], places: NDArray[np.float32], edge_m: float) -> NDArray[np.bool_]:
    """Return whether the cube of ``edge_m`` metres that each place [3, N] is in has a point [3, M], bool [N]."""
    cell, wanted = (np.floor(values / np.float32(edge_m)).astype(np.int64) for values in (columns, places))
    corner = cell.min(axis=1, initial=0)[:, None]
    size = (cell - corner).max(axis=1, initial=0) + 1
    return _find_cells(np.unique(_key(cell - corner, size)), wanted - corner, size) >= 0


def _find_cells(known: NDArray[np.int64], cell: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each cell [3, N] among ascending keys of a grid of that size: int64 [N], -1 for none."""
    inside = ((cell >= 0) & (cell < size[:, None])).all(axis=0)
    wanted = _key(cell, size)
    row = np.searchsorted(known, wanted)
    row[row == len(known)] = 0
    found = inside & (known[row] == wanted) if len(known) else np.zeros(row.shape, np.bool_)
    return np.where(found, row, -1)


def shared_groups(first: NDArray[np.int32], second: NDArray[np.int32], min_points: int) -> NDArray[np.int32]:
    """Return the group IDs, ascending, with more than ``min_points`` points in both of two label arrays."""
    return np.intersect1d(_large_groups(first, min_points), _large_groups(second, min_points))


def group_members(label: NDArray[np.int32], groups: NDArray[np.int32], voxels: Voxels) -> Members:
    """Count the points of groups (ascending IDs [K]) in each voxel, from the labels [N] of the points."""
    slot_of = np.full(1 + max(label.max(initial=0), groups.max(initial=0)), -1)
    slot_of[groups] = np.arange(len(groups))
    point = np.flatnonzero(label >= 0)
    slot = slot_of[label[point]]
    point, slot = point[slot >= 0], slot[slot >= 0]
    total = max(len(voxels.coords), 1)
    pair, points = np.unique(slot * total + voxels.of_point[point], return_counts=True)
    return Members(pair % total, pair // total, points.astype(np.float32))


def _key(cell: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of cells [3, ...] in a grid of that size [3], in the order of x, y, z."""
    key: NDArray[np.int64] = (cell[0] * size[1] + cell[1]) * size[2] + cell[2]
    return key


def _mean(column: NDArray[np.float32], of_point: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.float32]:
    total = np.bincount(of_point, weights=column, minlength=len(count))
    return (total / count).astype(np.float32)


def _large_groups(label: NDArray[np.int32], min_points: int) -> NDArray[np.int32]:
    return np.flatnonzero(np.bincount(label[label >= 0]) > min_points).astype(np.int32)


def considered(sweep: CachedSweep, max_range_m: float) -> NDArray[np.bool_]:
    """Return the mask bool [N] of the points that the network sees: in range and not ignored."""
    seen: NDArray[np.bool_] = sweep.label != NOT_CONSIDERED
    columns = np.ascontiguousarray(sweep.xyz.T)  # NumPy sums long rows several times faster than short ones
    seen &= np.linalg.norm(columns, axis=0) <= max_range_m
    return seen


def join_voxels(voxels: Sequence[Voxels]) -> tuple[Tensor, Tensor]:
    """Join the voxels of scenes into coordinates int32 [V, 4] (scene, x, y, z) and features float32 [V, 4]."""
    coords = [np.pad(v.coords, ((0, 0), (1, 0)), constant_values=scene) for scene, v in enumerate(voxels)]
    return to_tensor(coords), to_tensor([v.feats for v in voxels])


def to_tensor(arrays: Sequence[NDArray[np.generic]]) -> Tensor:
    """Concatenate arrays along their first axis into one tensor."""
    return torch.from_numpy(np.concatenate(arrays))
