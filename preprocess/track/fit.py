"""Fit boxes to groups: one size for each, from all its sweeps; a place in each sweep.

Of what stands: the rectangle whose sides most cells lie next to (Zhang et al., IV 2017). Of what moves: the length,
width and height that it has in the sweeps that show most of it; in each sweep the side towards the sensor is where its
points end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.track.measure import NO_CELLS, Array, Cells, GroupRows, Ids, Measured, OnTheWay, merge_cells
from iscc_lidar.shared.base.geometry import inverse, transform

_MARGIN_M: Final = 0.1
"""Added to each side: the outermost cell's middle is half of that from the surface; beams miss the top and bottom."""
_STRAY: Final = 0.01
"""Share of the cells that may lie beyond each side."""
_OFTEN: Final = 6
"""From so many sweeps on, a cell that only one of them sees does not count."""
_LEAST_CELLS: Final = 3
_ANGLES: Final = np.deg2rad(np.arange(0.0, 90.0, 2.0))
_NEAREST_M: Final = 0.1
_MOST_CELLS: Final = 1024
_MOSTLY: Final = 0.88
"""Quantile of the lengths in all sweeps: some see strays, many only a part."""

_NO_BOX: Final = np.full(7, np.nan)


@dataclass(frozen=True)
class Tracks:
    """The groups of a sequence, ascending by id.

    Attributes:
        group: int64 [g].
        size: float64 [g, 3], length, width, height, metres.
        centre: float64 [g, 3], metres, world, of what stands; NaN for what moves all the time.
        heading: float64 [g], radians, likewise.
        sweeps: int64 [g], how many sweeps see it.
        most_points: int64 [g], in one sweep.
        moves: bool [g], whether it moves at some time.
    """

    group: Ids
    size: Array
    centre: Array
    heading: Array
    sweeps: Ids
    most_points: Ids
    moves: NDArray[np.bool_]


@dataclass(frozen=True)
class PlacedBoxes:
    """Boxes in the world, one for each row of the groups: centre, size float64 [n, 3], metres, heading float64 [n]."""

    centre: Array
    size: Array
    heading: Array


def fit_tracks(blocks: Iterable[tuple[GroupRows, Measured]]) -> Tracks:
    """Find the size of each group, and the place of those that stand, from all blocks of a sequence in order.

    What is kept of a group that no later block shows are some numbers.
    """
    sweeps, most, moves = Counter[int](), dict[int, int](), set[int]()
    lengths: dict[int, list[Array]] = {}
    standing: dict[int, Array] = {}
    cells: Cells = NO_CELLS
    for rows, measured in blocks:
        ids, first, seen = _runs(np.sort(rows.group))
        sweeps.update(dict(zip(ids.tolist(), seen.tolist(), strict=True)))
        most_here = np.zeros(len(ids), np.int64)
        np.maximum.at(most_here, np.searchsorted(ids, rows.group), rows.points)
        for one, points in zip(ids.tolist(), most_here.tolist(), strict=True):
            most[one] = max(points, most.get(one, 0))
        order = np.argsort(rows.group[measured.moving.row], kind="stable")
        movers, first, _ = _runs(rows.group[measured.moving.row][order])
        moves.update(movers.tolist())
        for one, own in zip(movers.tolist(), _parts(order, first), strict=True):
            lengths.setdefault(one, []).append(
                np.diff(measured.moving.reach[own].reshape(-1, 3, 2))[..., 0].astype(np.float32)
            )
        cells = merge_cells([cells, measured.cells])
        over = ~np.isin(cells.place[:, 0], ids)
        standing |= _fit_standing(cells.take(over), sweeps)
        cells = cells.take(~over)
    standing |= _fit_standing(cells, sweeps)
    return _tracks(sweeps, most, moves, lengths, standing)


def _tracks(
    sweeps: Mapping[int, int],
    most: Mapping[int, int],
    moves: Collection[int],
    lengths: Mapping[int, list[Array]],
    standing: Mapping[int, Array],
) -> Tracks:
    group = np.array(sorted(sweeps), dtype=np.int64)
    boxes = np.array([standing.get(one, _NO_BOX) for one in group.tolist()]).reshape(-1, 7)
    for number, one in enumerate(group.tolist()):
        if one in lengths:
            boxes[number, 3:6] = np.quantile(np.concatenate(lengths[one]), _MOSTLY, axis=0)
    return Tracks(
        group,
        boxes[:, 3:6] + _MARGIN_M,
        boxes[:, :3],
        boxes[:, 6],
        np.array([sweeps[one] for one in group.tolist()], dtype=np.int64),
        np.array([most[one] for one in group.tolist()], dtype=np.int64),
        np.array([one in moves for one in group.tolist()], dtype=np.bool_),
    )


def _runs(ordered: Ids) -> tuple[Ids, Ids, Ids]:
    """Return the values of an ordered array, where each begins, and how often it occurs."""
    return np.unique(ordered, return_index=True, return_counts=True)


def _parts(rows: Ids, first: Ids) -> list[Ids]:
    """Divide rows at where each part begins."""
    return np.split(rows, first[1:]) if len(first) else []


def _fit_standing(cells: Cells, sweeps: Mapping[int, int]) -> dict[int, Array]:
    """Fit boxes to the cells of groups: centre, size, heading of each, [7], metres, radians, world."""
    group, first, _ = _runs(cells.place[:, 0])
    found = {}
    for one, own in zip(group.tolist(), _parts(np.arange(len(cells.seen)), first), strict=True):
        often = own[cells.seen[own] > 1]
        counted = often if sweeps[one] >= _OFTEN and len(often) >= _LEAST_CELLS else own
        bottom, top = np.sort(cells.bottom[counted]), np.sort(cells.top[counted])
        stray = int(_STRAY * len(counted))
        low, high = bottom[stray], top[-1 - stray]
        x, y, length, width, heading = _rectangle(cells.middle[counted])
        found[one] = np.array([x, y, (low + high) / 2, length, width, high - low, heading])
    return found


def _rectangle(xy: Array) -> tuple[float, float, float, float, float]:
    """Find the rectangle whose sides most of the cells [n, 2] lie next to: middle, length, width, heading."""
    origin = xy[0]
    xy = xy[:: -(-len(xy) // _MOST_CELLS)] - origin
    cos, sin = np.cos(_ANGLES)[:, None], np.sin(_ANGLES)[:, None]
    sides = [cos * xy[:, 0] + sin * xy[:, 1], -sin * xy[:, 0] + cos * xy[:, 1]]
    stray = int(_STRAY * len(xy))
    ends, near = [], np.full(sides[0].shape, np.inf)
    for along in sides:
        ordered = np.sort(along, axis=1)
        low, high = ordered[:, stray], ordered[:, -1 - stray]
        ends.append((low, high))
        near = np.minimum(near, np.minimum(np.abs(along - low[:, None]), np.abs(high[:, None] - along)))
    best = int((1 / np.maximum(near, _NEAREST_M)).sum(axis=1).argmax())
    angle = float(_ANGLES[best])
    (back, front), (right, left) = ((float(low[best]), float(high[best])) for low, high in ends)
    along, across = (back + front) / 2, (right + left) / 2
    x, y = np.cos(angle) * along - np.sin(angle) * across, np.sin(angle) * along + np.cos(angle) * across
    length, width = front - back, left - right
    if width > length:
        length, width, angle = width, length, angle + np.pi / 2
    return float(x + origin[0]), float(y + origin[1]), length, width, angle


def place_boxes(rows: GroupRows, moving: OnTheWay, tracks: Tracks, sensors: Array) -> PlacedBoxes:
    """Place the boxes of the groups of a block.

    Args:
        rows: its groups.
        moving: what was measured of those on their way.
        tracks: all groups of the sequence.
        sensors: float64 [n, 3], metres, world: where the sensor of each row's sweep is.
    """
    of = np.searchsorted(tracks.group, rows.group)
    size, centre, heading = tracks.size[of], tracks.centre[of], tracks.heading[of]
    row, reach = moving.row, moving.reach
    cos, sin = np.cos(moving.heading), np.sin(moving.heading)
    away = sensors[row, :2] - rows.centroid[row, :2]
    along = _seen_side(reach[:, 0], reach[:, 1], size[row, 0], cos * away[:, 0] + sin * away[:, 1])
    across = _seen_side(reach[:, 2], reach[:, 3], size[row, 1], -sin * away[:, 0] + cos * away[:, 1])
    middle = rows.centroid[row, :2] + np.column_stack([cos * along - sin * across, sin * along + cos * across])
    centre[row] = np.column_stack([middle, reach[:, 5] - size[row, 2] / 2])
    heading[row] = moving.heading
    return PlacedBoxes(centre, size, heading)


def _seen_side(low: Array, high: Array, length: Array, sensor: Array) -> Array:
    """Return the middle of a side of the given length whose end towards the sensor is where the points end."""
    return np.where(sensor < low, low + length / 2, np.where(sensor > high, high - length / 2, (low + high) / 2))


def in_sensor_frame(boxes: PlacedBoxes, sweep: Ids, poses: Array) -> PlacedBoxes:
    """Move boxes from the world to the sensor's frame of their sweep; there they are upright again.

    Args:
        boxes: in the world.
        sweep: int64 [n], the pose that is each box's.
        poses: float64 [sweeps, 4, 4], world_SE3_sensor.
    """
    centre, heading = boxes.centre.copy(), boxes.heading.copy()
    for number, pose in enumerate(poses):
        own = sweep == number
        sensor_SE3_world = inverse(pose)
        centre[own] = transform(sensor_SE3_world, boxes.centre[own])
        ahead = np.stack([np.cos(heading[own]), np.sin(heading[own])])
        along = sensor_SE3_world[:2, :2] @ ahead
        heading[own] = np.arctan2(along[1], along[0])
    return PlacedBoxes(centre, boxes.size, heading)
