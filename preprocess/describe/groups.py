"""Statistics of the groups in a sweep, as rows of the groups table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.cache.sweep import Groups


def describe_groups(xyz: NDArray[np.float64], label: NDArray[np.int32], moving: NDArray[np.int32]) -> Groups:
    """Describe the groups (labels >= 0) of points [N, 3] with labels [N], in the frame of the points.

    ``moving`` is the ids of the groups that move.
    """
    order = np.argsort(label, kind="stable")
    order = order[np.searchsorted(label[order], 0) :]
    if len(order) == 0:
        none, empty = np.empty(0, np.int32), np.empty((0, 3))
        return Groups(none, none, np.empty(0, np.bool_), empty, empty, empty)
    grouped = xyz[order]
    group, start, points = np.unique(label[order], return_index=True, return_counts=True)
    centroid = np.add.reduceat(grouped, start) / points[:, None]
    box_min, box_max = np.minimum.reduceat(grouped, start), np.maximum.reduceat(grouped, start)
    moves = np.isin(group, moving)
    return Groups(group.astype(np.int32), points.astype(np.int32), moves, centroid, box_min, box_max)
