"""Statistics of groups: number of points, centroid and box in a sweep, as rows of the groups table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupRows:
    """Groups of one sweep, sorted by id. Positions in metres, in the frame of the given points.

    Attributes:
        group: int32 [G], ids.
        points: int32 [G], number of points.
        centroid: float64 [G, 3], mean of the points.
        box_min: float64 [G, 3], lower corner of the axis-aligned box.
        box_max: float64 [G, 3], upper corner.
    """

    group: NDArray[np.int32]
    points: NDArray[np.int32]
    centroid: NDArray[np.float64]
    box_min: NDArray[np.float64]
    box_max: NDArray[np.float64]


def describe_groups(xyz: NDArray[np.float64], label: NDArray[np.int32]) -> GroupRows:
    """Describe the groups (labels >= 0) of points [N, 3] with labels [N]."""
    order = np.argsort(label, kind="stable")
    order = order[np.searchsorted(label[order], 0) :]
    if len(order) == 0:
        empty = np.empty((0, 3))
        return GroupRows(np.empty(0, np.int32), np.empty(0, np.int32), empty, empty, empty)
    grouped = xyz[order]
    group, start, points = np.unique(label[order], return_index=True, return_counts=True)
    centroid = np.add.reduceat(grouped, start) / points[:, None]
    box_min, box_max = np.minimum.reduceat(grouped, start), np.maximum.reduceat(grouped, start)
    return GroupRows(group.astype(np.int32), points.astype(np.int32), centroid, box_min, box_max)
