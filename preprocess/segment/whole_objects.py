"""Which clusters are one object, although their parts are denser: the front, a side and the roof of a car.

Such a cluster is as large and high as a car or truck, and stands apart: the next cluster is twice as far from it as its
parts are from each other, and at most one of them looks like a person or a two-wheeler. Or it fits into a car, its
parts are close together, and at most one of them could be either: so those in a row stay as HDBSCAN has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.density_tree import ClusterTree, gather


@dataclass(frozen=True)
class _Kind:
    """Limits of the size of things seen from above, and of their top above the ground, metres."""

    longest: float
    widest: float
    lowest: float
    highest: float


_ANGLES: Final = np.deg2rad(np.arange(0.0, 90.0, 10.0))
_CAR: Final = _Kind(5.5, 2.3, 1.25, np.inf)
_TRUCK: Final = _Kind(12.0, 3.0, 1.8, 5.0)
_SHORTEST_M: Final = 2.5
"""Of a car or truck: what is shorter may be a person or a two-wheeler."""
_WIDEST_GAP_M: Final = 1.2
_APART_M: Final = 0.5
_TIMES_THE_GAP: Final = 2.0
_CLOSE: Final = _Kind(5.5, 2.3, 1.25, 3.0)
_CLOSE_M: Final = 0.4
_PERSON: Final = _Kind(1.1, 1.1, 0.0, 2.2)
_PERSON_HEIGHT_M: Final = 1.1
_TWO_WHEELER: Final = _Kind(2.3, 1.0, 0.5, 1.25)
_EITHER: Final = _Kind(2.3, 1.0, 0.0, np.inf)
_HEIGHT_M: Final = 0.5
_STANDS_M: Final = 0.5
"""The lowest point of what stands is so near to the ground, feet apart."""

Array = NDArray[np.float64]


def are_whole(xyz: Array, height: Array, tree: ClusterTree) -> NDArray[np.bool_]:
    """Return which clusters are one object: bool [clusters].

    Args:
        xyz: float64 [N, 3], metres: the points of the tree.
        height: float64 [N], metres above the ground.
        tree: their clusters.
    """
    sizes, bottom, top = _outlines(xyz, height, tree)

    def fits(kind: _Kind) -> NDArray[np.bool_]:
        along, across = sizes
        one_way = (along <= kind.longest) & (across <= kind.widest)
        other_way = (across <= kind.longest) & (along <= kind.widest)
        fitting: NDArray[np.bool_] = (one_way | other_way).any(axis=0) & (top >= kind.lowest) & (top <= kind.highest)
        return fitting

    gap = np.zeros(len(tree.parent))
    np.maximum.at(gap, tree.parent[1:], tree.gap[1:])
    stands = (bottom <= _STANDS_M) & (top >= bottom + _HEIGHT_M)
    either = stands & fits(_EITHER)
    like_one = stands & ((fits(_PERSON) & (top >= bottom + _PERSON_HEIGHT_M)) | fits(_TWO_WHEELER))
    apart = (gap <= _WIDEST_GAP_M) & (tree.gap >= np.maximum(_APART_M, _TIMES_THE_GAP * gap))
    vehicle = (fits(_CAR) | fits(_TRUCK)) & (sizes.max(axis=(0, 1)) >= _SHORTEST_M)
    whole: NDArray[np.bool_] = apart & vehicle & (_count_inside(like_one, tree) < 2)
    whole |= fits(_CLOSE) & (gap <= _CLOSE_M) & (_count_inside(either, tree) < 2)
    return whole


def _count_inside(thing: NDArray[np.bool_], tree: ClusterTree) -> NDArray[np.int64]:
    """Count the things in each cluster, itself apart; one that consists of several is not one of them."""
    inside = np.zeros(len(thing), dtype=np.int64)
    for cluster in range(len(thing) - 1, 0, -1):  # children first
        inside[tree.parent[cluster]] += 1 if thing[cluster] and inside[cluster] < 2 else inside[cluster]
    return inside


def _outlines(xyz: Array, height: Array, tree: ClusterTree) -> tuple[Array, Array, Array]:
    """Return how far clusters extend in each direction and across it, [2, angles, clusters]; their lowest, highest."""
    clusters = len(tree.parent)
    order = np.argsort(tree.owner, kind="stable")
    owner, first = np.unique(tree.owner[order], return_index=True)
    cos, sin = np.cos(_ANGLES)[:, None], np.sin(_ANGLES)[:, None]
    x, y = xyz[order, 0], xyz[order, 1]
    values = np.concatenate([cos * x + sin * y, cos * y - sin * x, height[order][None]])
    low, high = (np.full((len(values), clusters), end) for end in (np.inf, -np.inf))
    low[:, owner] = np.minimum.reduceat(values, first, axis=1)
    high[:, owner] = np.maximum.reduceat(values, first, axis=1)
    low, high = np.ascontiguousarray(low.T), np.ascontiguousarray(high.T)
    gather(low, tree, np.minimum)
    gather(high, tree, np.maximum)
    size = np.ascontiguousarray((high[:, :-1] - low[:, :-1]).T).reshape(2, len(_ANGLES), clusters)
    return size, low[:, -1], high[:, -1]
