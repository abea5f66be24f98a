"""Regions: what is pooled in both of two views."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.data.augment import View
from iscc_lidar.trainer.data.voxelize import Voxels, shared_groups

# N1, N2 points of the views, K regions


class Pair(NamedTuple):
    """Two augmented views, the first with masked balls, their voxels, and the sensors' relative pose."""

    view1: View
    view2: View
    voxels1: Voxels
    voxels2: Voxels
    sensor1_SE3_sensor2: NDArray[np.float64]


class Regions(NamedTuple):
    """Which points belong to which region.

    Attributes:
        label1: int32 [N1]; label2: int32 [N2], the region of each point; what is not in ``ids`` is left out.
        ids: int32 [K], the regions pooled in both views, ascending.
        ground: bool [K], those that are ground patches.
    """

    label1: NDArray[np.int32]
    label2: NDArray[np.int32]
    ids: NDArray[np.int32]
    ground: NDArray[np.bool_]


def without_ground(label1: NDArray[np.int32], label2: NDArray[np.int32], ids: NDArray[np.int32]) -> Regions:
    """Make regions of which none is a ground patch."""
    return Regions(label1, label2, ids, np.zeros(len(ids), np.bool_))


FindRegions = Callable[[Pair, np.random.Generator], Regions]


def cached_groups(pair: Pair, min_points: int) -> Regions:
    """Find the groups of the cache that have more than ``min_points`` points in both views."""
    label1, label2 = pair.view1.label, pair.view2.label
    return without_ground(label1, label2, shared_groups(label1, label2, min_points))
