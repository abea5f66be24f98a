"""Measure the groups of a block: the cells of those that stand, how far those that move reach in each sweep.

What stands shows itself bit by bit: all that its sweeps see of it, together, has its size. What moves is measured along
its way in each sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import in_axes_of

CELL_M: Final = 0.1
"""Edge of the cells, seen from above, in which a standing group is seen."""
_AROUND: Final = 4
"""Sweeps before and after over which the direction of a group is fitted."""
_LEAST_IN_FIT: Final = 3
_LEAST_STEP_M: Final = 0.03
"""Per sweep; what moves less has no direction."""
_STRAY: Final = 0.02
"""Share of a group's points in a sweep that may lie beyond each end."""
_MERGED_AT_ONCE: Final = 8
_BITS: Final = 13
"""Of a cell's place from the sensor: 409 m to each side, farther than a cache's positions reach."""

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class GroupRows:
    """Rows of the tables of groups, in order of sweep and group: index, id, points, whether it moves, centroid.

    ``centroid`` is float64 [n, 3], metres, world frame; the others are [n].
    """

    sweep: Ids
    group: Ids
    points: Ids
    moving: NDArray[np.bool_]
    centroid: Array


@dataclass(frozen=True)
class SweepPoints:
    """The points of a sweep that are in groups: xyz float64 [N, 3], metres, world frame; group int64 [N]."""

    index: int
    xyz: Array
    group: Ids
    sensor: Array


@dataclass(frozen=True)
class Cells:
    """Cells in which groups that stand are seen, in order of ``place``.

    Attributes:
        place: int64 [c, 3], group, and cell along x and y of the world.
        seen: int64 [c], sweeps that see something there.
        middle: float64 [c, 2], mean of the points there, metres, world.
        bottom, top: float64 [c], lowest and highest point, metres, world.
    """

    place: Ids
    seen: Ids
    middle: Array
    bottom: Array
    top: Array

    def take(self, rows: NDArray[np.bool_] | Ids) -> Self:
        """Select cells by index or mask."""
        return type(self)(*(values[rows] for values in vars(self).values()))


NO_CELLS: Final = Cells(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class OnTheWay:
    """How far groups that move, or stop on their way, reach in each sweep.

    Attributes:
        row: int64 [m], rows of the block's groups, ascending.
        heading: float64 [m], radians, world.
        reach: float64 [m, 6], metres: from the centroid to the ends backwards, forwards, right, left; z of bottom, top.
    """

    row: Ids
    heading: Array
    reach: Array


@dataclass(frozen=True)
class Measured:
    """What is measured in a block: cells of groups that stand, and what is on its way."""

    cells: Cells
    moving: OnTheWay


def measure_block(sweeps: Iterable[SweepPoints], rows: GroupRows, around: GroupRows, movers: Ids) -> Measured:
    """Measure the groups of a block.

    Args:
        sweeps: its sweeps in order.
        rows: of its groups.
        around: the same, and those of the blocks before and after it, in order.
        movers: ids of all groups that move at some time of the sequence, ascending.
    """
    heading = headings(rows, around, movers)
    chosen = np.flatnonzero(np.isfinite(heading))
    reach = np.zeros((len(chosen), 6))
    cells = [NO_CELLS]
    for each in sweeps:
        own = slice(*np.searchsorted(rows.sweep[chosen], [each.index, each.index + 1]))
        moving = chosen[own]
        number = np.searchsorted(rows.group[moving], each.group)
        on_way = np.isin(each.group, rows.group[moving])
        if len(moving):
            reach[own] = _reaches(each.xyz[on_way], number[on_way], rows.centroid[moving], heading[moving])
        cells.append(_cells(each.xyz[~on_way], each.group[~on_way], each.sensor))
        if len(cells) > _MERGED_AT_ONCE:
            cells = [merge_cells(cells)]
    return Measured(merge_cells(cells), OnTheWay(chosen, heading[chosen], reach))


def headings(rows: GroupRows, around: GroupRows, movers: Ids) -> Array:
    """Return where groups that move at some time go, radians [n]; NaN for others, and where nothing near tells it.

    In sweeps in which it does not move a group keeps the direction of the nearest one in which it does.
    """
    of = np.isin(around.group, movers)
    order = np.flatnonzero(of)[np.lexsort((around.sweep[of], around.group[of]))]
    group, sweep, place = around.group[order], around.sweep[order], around.centroid[order, :2]
    if len(order) == 0:
        return np.full(len(rows.group), np.nan)
    key = group * 2**32 + sweep
    n, t, tt = np.zeros(len(key)), np.zeros(len(key)), np.zeros(len(key))
    x, tx = np.zeros((len(key), 2)), np.zeros((len(key), 2))
    for lag in range(-_AROUND, _AROUND + 1):
        at = np.minimum(np.searchsorted(key, key + lag), len(key) - 1)
        there = np.flatnonzero(key[at] == key + lag)
        step = place[at[there]] - place[there]
        n[there] += 1
        t[there] += lag
        tt[there] += lag * lag
        x[there] += step
        tx[there] += lag * step
    velocity = (tx - (t / n)[:, None] * x) / np.maximum(tt - t * t / n, 1e-9)[:, None]
    known = around.moving[order] & (n >= _LEAST_IN_FIT) & (np.hypot(*velocity.T) >= _LEAST_STEP_M)
    heading = np.arctan2(velocity[:, 1], velocity[:, 0])
    nearest = _nearest_known(group, sweep, known)
    heading = np.where(nearest >= 0, heading[nearest], np.nan)
    found = np.full(len(rows.group), np.nan)
    wanted = rows.group * 2**32 + rows.sweep
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    there = key[at] == wanted
    found[there] = heading[at[there]]
    return found


def _nearest_known(group: Ids, sweep: Ids, known: NDArray[np.bool_]) -> Ids:
    """Return the row of the same group that is known and nearest in time, the earlier one of two; -1 without one."""
    rows = np.arange(len(group))
    before = np.maximum.accumulate(np.where(known, rows, -1))
    after = np.minimum.accumulate(np.where(known, rows, len(rows))[::-1])[::-1]
    has_before = (before >= 0) & (group[before] == group)
    has_after = (after < len(rows)) & (group[np.minimum(after, len(rows) - 1)] == group)
    away = [
        np.where(has, np.abs(sweep[np.clip(at, 0, len(rows) - 1)] - sweep), np.iinfo(np.int64).max)
        for has, at in ((has_before, before), (has_after, after))
    ]
    nearest = np.where(away[0] <= away[1], before, after)
    return np.where(has_before | has_after, nearest, -1)


def _reaches(xyz: Array, of: Ids, centroid: Array, heading: Array) -> Array:
    """Measure groups along and across their way from their centroids, and in height: [groups, 6] metres."""
    along, across, _ = in_axes_of(xyz - centroid[of], heading[of]).T
    size = np.bincount(of, minlength=len(heading))
    return np.column_stack([end for side in (along, across, xyz[:, 2]) for end in _ends(side, of, size)])


def _ends(values: Array, of: Ids, size: Ids) -> tuple[Array, Array]:
    """Return the lowest and highest value of each group, without the strays; every group has some."""
    ordered = values[np.lexsort((values, of))]
    first = np.cumsum(size) - size
    stray = np.floor(_STRAY * size).astype(np.int64)
    return ordered[first + stray], ordered[first + size - 1 - stray]


def _cells(xyz: Array, group: Ids, sensor: Array) -> Cells:
    """Find the cells of groups that stand, as one sweep sees them."""
    if len(xyz) == 0:
        return NO_CELLS
    half = 2 ** (_BITS - 1)
    own = np.floor(sensor[:2] / CELL_M).astype(np.int64)
    cell = np.clip(np.floor(xyz[:, :2] / CELL_M).astype(np.int64) - own, -half, half - 1) + half
    key = (group << (2 * _BITS)) | (cell[:, 0] << _BITS) | cell[:, 1]
    order = np.argsort(key, kind="stable")
    found, first, count = np.unique(key[order], return_index=True, return_counts=True)
    mask = 2**_BITS - 1
    x, y = ((found >> _BITS) & mask) - half + own[0], (found & mask) - half + own[1]
    ordered = xyz[order]
    middle = np.add.reduceat(ordered[:, :2] - sensor[:2], first) / count[:, None] + sensor[:2]
    bottom, top = np.minimum.reduceat(ordered[:, 2], first), np.maximum.reduceat(ordered[:, 2], first)
    place = np.stack([found >> (2 * _BITS), x, y], axis=1)
    return Cells(place, np.ones(len(found), np.int64), middle, bottom, top)


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """Put cells together, each once; ``seen`` and ``middle`` as over all their sweeps."""
    place, seen, middle, bottom, top = (
        np.concatenate([vars(part)[name] for part in parts]) for name in ("place", "seen", "middle", "bottom", "top")
    )
    if len(place) == 0:
        return NO_CELLS
    order = np.lexsort((place[:, 2], place[:, 1], place[:, 0]))
    place = place[order]
    new = np.ones(len(place), np.bool_)
    new[1:] = (np.diff(place, axis=0) != 0).any(axis=1)
    first = np.flatnonzero(new)
    total = np.add.reduceat(seen[order], first)
    mean = np.add.reduceat(seen[order, None] * middle[order], first) / total[:, None]
    lowest, highest = np.minimum.reduceat(bottom[order], first), np.maximum.reduceat(top[order], first)
    return Cells(place[first], total, mean, lowest, highest)
