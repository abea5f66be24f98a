"""Join what moves so fast, or shows so few points, that each sweep sees it where no other does.

In a stack such a thing is a row of slices, each a group of its own or noise. Groups that only some sweeps see and noise
are taken together where they lie near each other, and vote for how they move. What then fits on itself, compact and
seen by most sweeps, is one thing.
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

_MOST_SWEEPS: Final = 5
"""What stands is seen for longer, with few exceptions."""
_CELL_M: Final = 0.5
_REACH_M: Final = 2.5
"""From one slice to the next: 35 m/s are 3.5 m per sweep, less the length of what a sweep sees of a car."""
_LEAST_POINTS: Final = 20
_MOST_POINTS: Final = 20_000
"""A larger trail is a hedge."""
_THINGS: Final = 4
"""In one trail, at most."""
_LEAST_IN_SWEEP: Final = 3
_LEAST_SWEEPS: Final = 5
_LEAST_SHARE_OF_SWEEPS: Final = 0.6
"""Of those from the first to the last that see it."""
_WIDEST_M: Final = 7.0
_LOWEST_M: Final = 0.4
"""What is lower is a ring on the road, which moves as the sensor does."""
_LESS: Final = 0.5
"""Moved back, it fills at most this share of the cells that it fills as it is."""
_APART_M: Final = 0.5
_APART_BY_RANGE: Final = 0.015

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def join_trails(xyz: Array, sweep: NDArray[np.integer], range_m: Array, moving: MovingGroups) -> MovingGroups:
    """Join slices of one moving thing, and noise among them.

    Args:
        xyz: float64 [N, 3], metres, a frame that is fixed during the window.
        sweep: int [N], index within the window.
        range_m: float64 [N], metres from the sensor.
        moving: groups, and how they move as far as that is known.

    Returns:
        the same for the groups after joining, with dense ids.
    """
    group, velocity, time = moving.group.copy(), [moving.velocity], from_middle(sweep)
    used = len(moving.velocity)
    for trail in _trails(xyz, np.flatnonzero(_seen_briefly(sweep, moving))):
        for _ in range(_THINGS):
            if len(trail) < _LEAST_POINTS:
                break
            places, when, row = places_of(xyz[trail], time[trail])
            step = common_step(places, when)
            if not step.any():
                break
            back = undone(xyz[trail], time[trail], step)
            fits = fits_step(places, when, step)[row]
            thing = _things(xyz[trail], back, sweep[trail], range_m[trail], fits)
            found = thing >= 0
            group[trail[found]] = used + thing[found]
            things = int(thing.max()) + 1
            velocity.append(np.tile(step, (things, 1)))
            used += things
            trail = trail[~(found if things else fits)]
    left, dense = np.unique(group[group >= 0], return_inverse=True)
    group[group >= 0] = dense
    return MovingGroups(group, np.concatenate(velocity)[left])


def _seen_briefly(sweep: NDArray[np.integer], moving: MovingGroups) -> NDArray[np.bool_]:
    """Return which points are noise, of groups that few sweeps see, or of moving ones that not all sweeps see, [N]."""
    groups, sweeps = len(moving.velocity), int(sweep.max(initial=0)) + 1
    inside = moving.group >= 0
    cell = moving.group[inside].astype(np.int64) * sweeps + sweep[inside]
    seen = (np.bincount(cell, minlength=groups * sweeps) >= _LEAST_IN_SWEEP).reshape(groups, sweeps)
    span = np.where(seen.any(axis=1), sweeps - seen[:, ::-1].argmax(axis=1) - seen.argmax(axis=1), sweeps)
    briefly = (span <= _MOST_SWEEPS) | (moving.velocity.any(axis=1) & (span < sweeps))
    return np.append(briefly, True)[moving.group]


def _trails(xyz: Array, rows: Rows) -> list[Rows]:
    """Divide points among trails: those between which there are gaps of more than ``_REACH_M``, seen from above."""
    if len(rows) < _LEAST_POINTS:
        return []
    flat = np.column_stack([xyz[rows, :2], np.zeros(len(rows))])
    trail = apart(flat, _REACH_M, _CELL_M)
    order = np.argsort(trail, kind="stable")
    found = np.split(rows[order], np.cumsum(np.bincount(trail))[:-1])
    return [trail for trail in found if _LEAST_POINTS <= len(trail) <= _MOST_POINTS]


def _things(
    xyz: Array, back: Array, sweep: NDArray[np.integer], range_m: Array, fits: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return which thing each point of a trail is of, [n], from 0, -1 for none, given where it was moved back to."""
    from scipy.spatial import cKDTree

    thing = np.full(len(xyz), -1, dtype=np.int64)
    fitting = np.flatnonzero(fits)
    if len(fitting) < _LEAST_POINTS:
        return thing
    part = apart(back[fitting], max(_APART_M, _APART_BY_RANGE * float(np.median(range_m[fitting]))))
    things = 0
    for number in np.flatnonzero(np.bincount(part) >= _LEAST_POINTS).tolist():
        core = fitting[part == number]
        if not _is_thing(xyz[core], back[core], sweep[core]):
            continue
        near = np.isfinite(cKDTree(back[core]).query(back, distance_upper_bound=_APART_M)[0])
        thing[near & (thing < 0)] = things
        things += 1
    return thing


def _is_thing(xyz: Array, back: Array, sweep: NDArray[np.integer]) -> bool:
    """Return whether points that fit when moved back look like one thing that most sweeps see."""
    seen = np.flatnonzero(np.bincount(sweep) >= _LEAST_IN_SWEEP)
    if len(seen) < max(_LEAST_SWEEPS, _LEAST_SHARE_OF_SWEEPS * (np.ptp(seen) + 1 if len(seen) else 0)):
        return False
    size = np.ptp(back, axis=0)
    if float(np.hypot(*size[:2])) > _WIDEST_M or size[2] < _LOWEST_M:
        return False
    return cells_filled(back[:, :2]) <= _LESS * cells_filled(xyz[:, :2])
