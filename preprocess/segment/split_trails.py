"""Separate objects whose trails cross: groups that are several objects in every single sweep.

In a stack, a car that follows another runs into the other's trail, and both become one group. In space and time they
never touch: points are connected only if they are close in the same or the next sweep.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.motion import MotionConfig, moving_groups

_LOOSE: Final = MotionConfig(max_width_m=20.0, min_rigidity=0.0)  # two cars in one group are wide, their shifts uneven
_MIN_PART_POINTS: Final = 20
_MIN_PART_SHARE: Final = 0.1  # of the group; a smaller part is a stray piece of the same object
_METRES_PER_SWEEP: Final = 1.0  # weight of time in the distance from stray pieces to the nearest part


def split_trails(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], group: NDArray[np.int32], cell_m: float
) -> NDArray[np.int32]:
    """Split moving groups into the parts that stay separate from sweep to sweep.

    Args:
        xyz: float [N, 3], metres, a frame that is fixed during the window.
        sweep: int [N], index within the window.
        group: int32 [N], dense ids from 0, -1 for noise.
        cell_m: edge of a cell; parts whose cells touch, in one sweep or from one to the next, are one.

    Returns:
        int32 [N]: as ``group``, with new ids for all but the largest part of a split group.
    """
    moving = moving_groups(xyz, sweep, group, _LOOSE)
    points = np.flatnonzero((group >= 0) & np.append(moving, False)[group])
    split = group.copy()
    if len(points) == 0:
        return split
    part = _connected_in_space_and_time(xyz[points], sweep[points], group[points], cell_m)
    used = len(moving)
    for one in np.flatnonzero(moving):
        members = np.flatnonzero(group[points] == one)
        owner = _assign_to_large_parts(xyz[points[members]], sweep[points[members]], part[members])
        later = owner > 0
        split[points[members[later]]] = used + owner[later] - 1
        used += int(owner.max())
    return split


def _connected_in_space_and_time(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], group: NDArray[np.int32], cell_m: float
) -> NDArray[np.int64]:
    from scipy.sparse import coo_matrix, csgraph

    cell = np.column_stack([group, np.floor(xyz / cell_m), sweep]).astype(np.int64)
    cell -= cell.min(axis=0)
    extent = cell.max(axis=0) + 3  # an empty cell between the end of one row and the start of the next
    step = np.append(np.cumprod(extent[:0:-1])[::-1], 1)
    key, inverse = np.unique(cell @ step, return_inverse=True)
    first, second = [], []
    for offset in itertools.product((-1, 0, 1), (-1, 0, 1), (-1, 0, 1), (0, 1)):
        jump = int(np.dot(offset, step[1:]))
        if jump == 0:
            continue
        at = np.minimum(np.searchsorted(key, key + jump), len(key) - 1)
        found = np.flatnonzero(key[at] == key + jump)
        first.append(found)
        second.append(at[found])
    rows, columns = np.concatenate(first), np.concatenate(second)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(key), len(key)))
    part: NDArray[np.int64] = csgraph.connected_components(graph, directed=False)[1][inverse]
    return part


def _assign_to_large_parts(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], part: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the large parts of one group from 0, largest first, and assign other points to the nearest of them."""
    from scipy.spatial import cKDTree

    parts, row, count = np.unique(part, return_inverse=True, return_counts=True)
    large = count >= max(_MIN_PART_POINTS, _MIN_PART_SHARE * len(part))
    if large.sum() < 2:
        return np.zeros(len(part), dtype=np.int64)
    rank = np.full(len(parts), -1, dtype=np.int64)
    rank[np.flatnonzero(large)[np.argsort(-count[large], kind="stable")]] = np.arange(large.sum())
    owner = rank[row]
    place = np.column_stack([xyz, sweep * _METRES_PER_SWEEP])
    stray = owner < 0
    if stray.any():
        owner[stray] = owner[~stray][cKDTree(place[~stray]).query(place[stray])[1]]
    return owner
