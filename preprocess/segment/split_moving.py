"""Separate things that move differently: in a stack a rider runs into the trail of the car before him.

What fits the displacement that most of a group votes for better than standing still is moved back to where it was in
the middle of the window; there the sweeps show one thing once, and two things that move together are apart. What does
not fit is voted on again, and at last stands still.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.displacement import (
    MovingGroups,
    apart,
    cells_filled,
    common_step,
    fits_step,
    from_middle,
    places_of,
    undone,
)
from iscc_lidar.preprocess.segment.motion import MotionConfig, drifts

_LEAST_DRIFT_M: Final = 0.25
_WIDEST_M: Final = 20.0
_LEAST_POINTS: Final = 20
_LAYERS: Final = 4
_LESS: Final = 0.75
"""Moved back, the points must fill less than this share of the cells that they fill as they are."""
_ALL_ONE: Final = 1.15
"""All points belong to the winner if they fill no more than so many times the cells of those that fit it."""
_ALIKE_M: Final = 0.1
_ALIKE: Final = 0.25
"""Two displacements are one if they differ by less than this share."""
_APART_M: Final = 0.3
_APART_BY_RANGE: Final = 0.015
_LEAST_SHARE: Final = 0.08
_METRES_PER_SWEEP: Final = 1.0
"""Weight of time in the distance from stray points to the nearest part."""

Array = NDArray[np.float64]


def split_moving(xyz: Array, sweep: NDArray[np.integer], range_m: Array, group: NDArray[np.int32]) -> MovingGroups:
    """Split groups into what moves alike.

    Args:
        xyz: float64 [N, 3], metres, a frame that is fixed during the window.
        sweep: int [N], index within the window.
        range_m: float64 [N], metres from the sensor: farther points are farther apart.
        group: int32 [N], dense ids from 0, -1 for noise.

    Returns:
        the groups, with new ids for all but the largest part of a split one; and how each moves.
    """
    groups = int(group.max(initial=-1)) + 1
    velocity = [np.zeros((groups, 2))]
    found = group.copy()
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups + 1))
    time = from_middle(sweep)
    for one in _candidates(xyz, sweep, group).tolist():
        members = order[starts[one] : starts[one + 1]]
        places, when, row = places_of(xyz[members], time[members])
        layer, steps = _layers(places, when)
        if len(steps) == 1:
            continue
        part, moves = _parts(xyz[members], time[members], range_m[members], layer[row], steps)
        largest = int(np.bincount(part).argmax())
        used = sum(len(rows) for rows in velocity)
        ids = np.where(np.arange(len(moves)) > largest, -1, 0) + used + np.arange(len(moves))
        ids[largest] = one
        found[members] = ids[part]
        velocity[0][one] = moves[largest]
        velocity.append(np.delete(moves, largest, axis=0))
    return MovingGroups(found, np.concatenate(velocity))


def _candidates(xyz: Array, sweep: NDArray[np.integer], group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the groups that shift or spread, and are not too wide or small."""
    drift, width = drifts(xyz, sweep, group, MotionConfig())
    size = np.bincount(group[group >= 0], minlength=len(drift))
    return np.flatnonzero((drift >= _LEAST_DRIFT_M) & (width <= _WIDEST_M) & (size >= 2 * _LEAST_POINTS))


def _layers(xy: Array, time: NDArray[np.integer]) -> tuple[NDArray[np.int64], Array]:
    """Assign each point to a displacement per sweep, [n]; and these, [layers, 2] metres. The first one is 0."""
    layer, steps = np.zeros(len(xy), dtype=np.int64), [np.zeros(2)]
    rest = np.arange(len(xy))
    while len(steps) <= _LAYERS and len(rest) >= _LEAST_POINTS:
        here, when = xy[rest], time[rest]
        step = common_step(here, when)
        if not step.any():
            break
        fits = fits_step(here, when, step)
        if np.count_nonzero(fits) < _LEAST_POINTS:
            break
        if np.count_nonzero(~fits) < max(_LEAST_POINTS, 0.1 * len(rest)):
            fits[:] = True
        number = _alike(step, steps)
        layer[rest[fits]] = number
        if number == len(steps):
            steps.append(step)
        rest = rest[~fits]
    return _fewest(xy, time, layer, np.array(steps))


def _alike(step: Array, steps: list[Array]) -> int:
    """Return the index of the step that one is about the same as: what gets faster has several. Else the next index."""
    for index, other in enumerate(steps[1:], start=1):
        if np.hypot(*(step - other)) < max(_ALIKE_M, _ALIKE * float(np.hypot(*other))):
            return index
    return len(steps)


def _fewest(
    xy: Array, time: NDArray[np.integer], layer: NDArray[np.int64], steps: Array
) -> tuple[NDArray[np.int64], Array]:
    """Keep the layers only if they fill fewer cells than what stands would, or only the first if it alone does."""
    stands = np.zeros(len(xy), dtype=np.int64), steps[:1]
    if len(steps) == 1:
        return stands
    back = undone(xy, time, steps[layer])
    separate = sum(cells_filled(back[layer == number]) for number in range(len(steps)))
    moved = cells_filled(undone(xy, time, steps[1]))
    if min(moved, separate) > _LESS * cells_filled(xy):
        return stands
    if moved <= _ALL_ONE * separate:
        return np.ones(len(xy), dtype=np.int64), steps[:2]
    return layer, steps


def _parts(
    xyz: Array, time: NDArray[np.integer], range_m: Array, layer: NDArray[np.int64], steps: Array
) -> tuple[NDArray[np.int64], Array]:
    """Divide each layer, moved back, into what is apart; [n] part of each point, [parts, 2] how it moves."""
    from scipy.spatial import cKDTree

    part, moves = np.full(len(xyz), -1, dtype=np.int64), list[Array]()
    for number, step in enumerate(steps):
        members = np.flatnonzero(layer == number)
        if len(members) < _LEAST_POINTS:
            continue
        back = undone(xyz[members], time[members], step)
        apart_m = max(_APART_M, _APART_BY_RANGE * float(np.median(range_m[members])))
        label = apart(back, apart_m)
        size = np.bincount(label)
        large = size >= max(_LEAST_POINTS, _LEAST_SHARE * len(members))
        large[size.argmax()] = True
        rank = np.where(large, len(moves) + np.cumsum(large) - 1, -1)
        part[members] = rank[label]
        moves += [step] * int(large.sum())
    stray = part < 0
    if stray.any():
        place = np.column_stack([xyz, time * _METRES_PER_SWEEP])
        part[stray] = part[~stray][cKDTree(place[~stray]).query(place[stray])[1]]
    return part, np.array(moves)
