"""Separate things that stand close together: people shoulder to shoulder, two-wheelers in a row.

The clusters of a group, on finer voxels, are joined again from the inside out, as HDBSCAN joins them, unless both sides
look like things of their own: both stand on the ground, both are tall, neither is wide, and seen from above they do not
lie over each other. So a car, whose parts are wide, lie over each other or hang in the air, stays whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.density_tree import SpanningTree, cluster_tree
from iscc_lidar.preprocess.segment.voxels import voxelize

_VOXEL_M: Final = 0.05
_LEAST_VOXELS: Final = 15
_NEIGHBOURS: Final = 5
_HIGHEST_M: Final = 2.3
"""Above the ground; what is higher is no person and no two-wheeler."""
_FARTHEST_M: Final = 45.0
"""Beyond, the beams are too far apart."""
_NARROWEST_M: Final = 0.7
_WIDEST_SIDE_M: Final = 2.2
_SHORTEST_SIDE_M: Final = 0.5
_STANDS_M: Final = 0.5
"""The lowest point of what stands is so near to the ground, feet apart."""
_ABOVE_CELL_M: Final = 0.15
_BESIDE: Final = 0.1
"""Share of the smaller side's cells from above that both have, at most, of two things side by side."""
_LOW_STANDS_M: Final = 0.25
_LOW_TOP_M: Final = 1.05
_LOW_BESIDE: Final = 0.5
"""The same for two low things: the handlebars of two-wheelers reach over each other."""
_STACKED: Final = 0.35
"""Parts are one if they share more of the smaller one's cells from above in the end."""
_SPREAD_M: Final = 60.0
_OTHER_GROUP_M: Final = 5.0

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class _Side:
    """Some voxels of a group, and their bounds: x, y, height above the ground, metres [3]."""

    voxels: Ids
    low: Array
    high: Array


def split_touching(
    xyz: Array, height: Array, range_m: Array, group: NDArray[np.int32], method: SpanningTree
) -> NDArray[np.int32]:
    """Split groups into the things that stand in them side by side.

    Args:
        xyz: float64 [N, 3], metres; what moves is moved back to one place.
        height: float64 [N], metres above the ground.
        range_m: float64 [N], metres from the sensor.
        group: int32 [N], dense ids from 0, -1 for noise.
        method: what computes the spanning tree.

    Returns:
        int32 [N]: as ``group``, with new ids for all but the largest part of a split group.
    """
    points, centre = _candidates(xyz, height, range_m, group)
    if len(points) == 0:
        return group
    one, of = np.unique(group[points], return_inverse=True)
    side = int(np.ceil(np.sqrt(len(one))))
    apart = np.stack([of % side, of // side], axis=1) * _SPREAD_M  # one tree for all groups
    place = np.column_stack([xyz[points, :2] - centre[of] + apart, xyz[points, 2]])
    voxel_xyz, voxel = voxelize(place, _VOXEL_M)
    count = np.bincount(voxel)
    voxel_height = np.bincount(voxel, weights=height[points]) / count
    owner = np.zeros(len(voxel_xyz), dtype=np.int64)
    owner[voxel] = of
    part = _parts(voxel_xyz, voxel_height, owner, method)
    split = group.copy()
    split[points] = _number(one, owner, part, count, int(group.max()) + 1)[voxel]
    return split


def _candidates(xyz: Array, height: Array, range_m: Array, group: NDArray[np.int32]) -> tuple[Ids, Array]:
    """Return the points of groups that may be several people or two-wheelers, and the middle of each such group.

    In whole metres, so that equal distances stay equal when it is subtracted.
    """
    groups = int(group.max(initial=-1)) + 1
    inside = np.flatnonzero(group >= 0)
    of = group[inside]
    top, near = np.full(groups, -np.inf), np.full(groups, np.inf)
    np.maximum.at(top, of, height[inside])
    np.minimum.at(near, of, range_m[inside])
    low, high = np.full((groups, 2), np.inf), np.full((groups, 2), -np.inf)
    for axis in range(2):
        np.minimum.at(low[:, axis], of, xyz[inside, axis])
        np.maximum.at(high[:, axis], of, xyz[inside, axis])
    wide = (high - low).max(axis=1, initial=0.0)
    chosen = (top <= _HIGHEST_M) & (near <= _FARTHEST_M) & (wide >= _NARROWEST_M) & (wide < _SPREAD_M / 2)
    chosen &= np.bincount(of, minlength=groups) >= 2 * _LEAST_VOXELS
    return inside[chosen[of]], np.round((low + high) / 2)[chosen]


def _parts(xyz: Array, height: Array, owner: Ids, method: SpanningTree) -> Ids:
    """Find the parts of all groups, counted together: int64 [V]."""
    tree = cluster_tree(xyz, _LEAST_VOXELS, _NEIGHBOURS, method)
    if len(tree.parent) == 0:
        return np.zeros(len(xyz), dtype=np.int64)
    bounds = np.column_stack([xyz[:, :2], height])
    order = np.argsort(tree.owner, kind="stable")
    starts = np.searchsorted(tree.owner[order], np.arange(len(tree.parent) + 1))
    own_sides = _sides(order, starts, bounds)
    sides: list[list[_Side]] = [[] for _ in tree.parent]
    forks: list[tuple[int, int]] = []
    for cluster in range(len(tree.parent) - 1, -1, -1):
        own, inner = own_sides[cluster], sides[cluster]
        if not inner:
            inner = [own]
        elif len(own.voxels):
            inner = _add(inner, own, xyz, bounds)
        sides[cluster] = []
        if cluster == 0:
            sides[0] = inner
        elif not sides[tree.parent[cluster]]:
            sides[tree.parent[cluster]] = inner
        else:
            sides[tree.parent[cluster]] = _join(sides[tree.parent[cluster]], inner, tree.gap[cluster], xyz, forks)
    part = _judge_again(sides[0], forks, xyz)
    return _join_stacked(xyz, np.unique(part * (int(owner.max()) + 1) + owner, return_inverse=True)[1])


def _sides(order: Ids, starts: Ids, bounds: Array) -> list[_Side]:
    """Divide voxels, in order, into sides: at ``starts``, of which the last is the end."""
    filled = np.flatnonzero(np.diff(starts))
    low, high = np.full((len(starts) - 1, 3), np.inf), np.full((len(starts) - 1, 3), -np.inf)
    low[filled] = np.minimum.reduceat(bounds[order], starts[filled])
    high[filled] = np.maximum.reduceat(bounds[order], starts[filled])
    return [_Side(*each) for each in zip(np.split(order, starts[1:-1]), low, high, strict=True)]


def _side(voxels: Ids, bounds: Array) -> _Side:
    return _Side(voxels, bounds[voxels].min(axis=0), bounds[voxels].max(axis=0))


def _merged(a: _Side, b: _Side) -> _Side:
    return _Side(np.concatenate([a.voxels, b.voxels]), np.minimum(a.low, b.low), np.maximum(a.high, b.high))


def _add(sides: list[_Side], own: _Side, xyz: Array, bounds: Array) -> list[_Side]:
    """Add voxels that are in no inner cluster to the nearest side."""
    if len(sides) == 1:
        return [_merged(sides[0], own)]
    from scipy.spatial import cKDTree

    voxels, (inside, which) = own.voxels, _voxels_of(sides)
    nearest = which[cKDTree(xyz[inside]).query(xyz[voxels])[1]]
    return [
        _merged(side, _side(voxels[nearest == number], bounds)) if (nearest == number).any() else side
        for number, side in enumerate(sides)
    ]


def _join(a: list[_Side], b: list[_Side], gap_m: float, xyz: Array, forks: list[tuple[int, int]]) -> list[_Side]:
    """Join the two sides of a fork that are nearest to each other, unless they are things of their own.

    Then a voxel of each is added to ``forks``.
    """
    if gap_m > _OTHER_GROUP_M:
        return a + b
    i, j = (0, 0) if len(a) == len(b) == 1 else _nearest(a, b, xyz)
    if _are_two(a[i], b[j], xyz):
        forks.append((int(a[i].voxels[0]), int(b[j].voxels[0])))
        return a + b
    return [*a[:i], *a[i + 1 :], *b[:j], *b[j + 1 :], _merged(a[i], b[j])]


def _judge_again(sides: list[_Side], forks: list[tuple[int, int]], xyz: Array) -> Ids:
    """Join the sides of a fork that have since grown into what is no thing of its own: the part of each voxel, [V]."""
    part = np.zeros(len(xyz), dtype=np.int64)
    for number, side in enumerate(sides):
        part[side.voxels] = number
    now, undecided = dict(enumerate(sides)), True
    while undecided:
        undecided = False
        for a, b in forks:
            i, j = int(part[a]), int(part[b])
            if i != j and not _are_two(now[i], now[j], xyz):
                now[i], undecided = _merged(now[i], now.pop(j)), True
                part[now[i].voxels] = i
    return part


def _nearest(a: list[_Side], b: list[_Side], xyz: Array) -> tuple[int, int]:
    from scipy.spatial import cKDTree

    (of_a, which_a), (of_b, which_b) = _voxels_of(a), _voxels_of(b)
    distance, at = cKDTree(xyz[of_a]).query(xyz[of_b])
    nearest = int(distance.argmin())
    return int(which_a[at[nearest]]), int(which_b[nearest])


def _voxels_of(sides: list[_Side]) -> tuple[Ids, Ids]:
    """Return the voxels of all sides, and the number of the side that each is of."""
    sizes = [len(side.voxels) for side in sides]
    return np.concatenate([side.voxels for side in sides]), np.repeat(np.arange(len(sides)), sizes)


def _are_two(a: _Side, b: _Side, xyz: Array) -> bool:
    """Return whether two sides are things of their own."""
    size = np.stack([a.high - a.low, b.high - b.low])
    stands = max(a.low[2], b.low[2])
    if size[:, :2].max() > _WIDEST_SIDE_M or size[:, 2].min() < _SHORTEST_SIDE_M or stands > _STANDS_M:
        return False
    shared = _share_from_above(xyz[a.voxels], xyz[b.voxels])
    low = stands <= _LOW_STANDS_M and max(a.high[2] - a.low[2], b.high[2] - b.low[2]) <= _LOW_TOP_M
    return shared <= (_LOW_BESIDE if low else _BESIDE)


def _share_from_above(a: Array, b: Array) -> float:
    """Return the share of the smaller one's cells, seen from above, that both have."""
    of_a, of_b = (np.unique(_from_above(xyz)) for xyz in (a, b))
    return len(np.intersect1d(of_a, of_b, assume_unique=True)) / min(len(of_a), len(of_b))


def _from_above(xyz: Array) -> Ids:
    cell = np.floor(xyz[:, :2] / _ABOVE_CELL_M).astype(np.int64)
    return np.asarray(cell[:, 0] * 2**31 + cell[:, 1])


def _join_stacked(xyz: Array, part: Ids) -> Ids:
    """Join parts that lie over each other, seen from above, the most overlapping ones first."""
    parts = int(part.max()) + 1
    joined = np.arange(parts)
    cell = np.unique(_from_above(xyz), return_inverse=True)[1]
    while True:
        at, of = np.divmod(np.unique(cell * parts + joined[part]), parts)
        area = np.bincount(of, minlength=parts)
        first = np.searchsorted(at, at)
        last = np.searchsorted(at, at, side="right")
        own = np.repeat(np.arange(len(at)), last - first)
        other = np.arange(len(own)) - np.repeat(np.cumsum(last - first) - last, last - first)
        pairs = of[own] < of[other]
        pair, shared = np.unique(of[own][pairs] * parts + of[other][pairs], return_counts=True)
        a, b = np.divmod(pair, parts)
        share = shared / np.minimum(area[a], area[b])
        stacked = np.flatnonzero(share >= _STACKED)
        if len(stacked) == 0:
            return joined[part]
        done = set[int]()
        for k in stacked[np.argsort(-share[stacked], kind="stable")].tolist():
            if int(a[k]) not in done and int(b[k]) not in done:
                done |= {int(a[k]), int(b[k])}
                joined[joined == b[k]] = a[k]


def _number(one: NDArray[np.int32], owner: Ids, part: Ids, points: Ids, used: int) -> NDArray[np.int32]:
    """Give the largest part of each group its id, the others new ones: int32 [V]."""
    parts = int(part.max()) + 1
    pair, row = np.unique(owner * parts + part, return_inverse=True)
    size, of = np.bincount(row, weights=points), pair // parts
    order = np.lexsort((-size, of))
    largest = order[np.searchsorted(of[order], np.unique(of))]
    ids = np.full(len(pair), -1, dtype=np.int32)
    ids[largest] = one[of[largest]]
    new = ids < 0
    ids[new] = used + np.arange(np.count_nonzero(new), dtype=np.int32)
    return np.asarray(ids[row])
