"""Which groups move during a window: those whose two ends both move, in the same direction.

The centroid alone misleads: for a parked car seen from changing sides the centroid and one end shift, as more of one
side comes into view, while the other end stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class MotionConfig:
    """Options of the motion test."""

    min_shift_m: float = option(
        0.5, "smallest shift of both ends during the window, m; walking for 1.2 s is 1.5 m", at_least=0
    )
    min_points: int = option(5, "points that a group needs in a sweep for the sweep to count", at_least=1)
    min_sweeps: int = option(3, "number of such sweeps that a group needs, otherwise it is static", at_least=1)
    edge_quantile: float = option(
        0.05, "share of a sweep's points beyond an end; against stray returns", at_least=0, below=0.5
    )
    max_width_m: float = option(
        12.0,
        "a group that is wider horizontally within one sweep is static, m; walls come into "
        "view as the sensor passes, and look as if they moved",
        at_least=0,
    )
    min_rigidity: float = option(
        0.4,
        "smallest ratio of the shorter to the longer shift of the two ends; objects that come into view from behind "
        "others have uneven shifts",
        at_least=0,
        at_most=1,
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "motion")


def moving_groups(
    xyz_world: NDArray[np.floating], sweep: NDArray[np.integer], group: NDArray[np.int32], config: MotionConfig
) -> NDArray[np.bool_]:
    """Return which groups move during a window.

    Along the direction in which a group's centroid drifts, straight lines are fitted to its lower and upper ends over
    the sweeps; the group moves if both ends shift by at least ``min_shift_m``, and the centroid by half of that.

    Args:
        xyz_world: float [N, 3], metres, a frame that is fixed during the window.
        sweep: int [N], index of the sweep of each point.
        group: int32 [N], dense ids from 0; -1 for points in no group.
        config: options.

    Returns:
        bool [groups], groups = largest id + 1.
    """
    groups = int(group.max(initial=-1)) + 1
    inside = np.flatnonzero(group >= 0)
    if len(inside) == 0:
        return np.zeros(groups, dtype=np.bool_)
    sweeps = int(sweep.max()) + 1
    point_cell = group[inside].astype(np.int64) * sweeps + sweep[inside]
    count = np.bincount(point_cell, minlength=groups * sweeps)
    cell = np.flatnonzero(count >= config.min_points)
    row = np.full(groups * sweeps, -1)
    row[cell] = np.arange(len(cell))
    compact = row[point_cell]
    used = compact >= 0
    xy = (xyz_world.take(inside[used], axis=0)[:, :2] - xyz_world[inside[0], :2]).astype(np.float64)
    compact = compact[used]
    owner, time = np.divmod(cell, sweeps)
    size = count[cell]
    centre = np.stack([np.bincount(compact, weights=xy[:, axis]) for axis in range(2)], axis=1) / size[:, None]
    drift = np.stack([_shift(centre[:, axis], owner, time, groups) for axis in range(2)], axis=1)
    length = np.linalg.norm(drift, axis=1)
    drifts = length >= config.min_shift_m / 2  # the ends of other groups need not be computed
    near, cell_drifts = drifts[owner[compact]], drifts[owner]
    xy, compact = xy[near], (np.cumsum(cell_drifts) - 1)[compact[near]]
    owner, time, size = owner[cell_drifts], time[cell_drifts], size[cell_drifts]
    heading = drift / np.maximum(length, 1e-9)[:, None]
    along = (xy * heading[owner[compact]]).sum(axis=1)
    low, high = _ends(along, compact, size, config.edge_quantile)
    shifts = np.stack([_shift(low, owner, time, groups), _shift(high, owner, time, groups)])
    shift = shifts.min(axis=0)
    rigid = shift >= config.min_rigidity * shifts.max(axis=0)
    seen = np.bincount(owner, minlength=groups)
    width = np.zeros(groups)
    for axis in range(2):
        np.maximum.at(width, owner, _spans(xy[:, axis], compact, len(owner)))
    moves: NDArray[np.bool_] = (
        (shift >= config.min_shift_m) & (seen >= config.min_sweeps) & (width <= config.max_width_m) & rigid
    )
    return moves


def drifts(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], group: NDArray[np.int32], config: MotionConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure how each group shifts or spreads during a window, and how wide it is in any one sweep.

    Arguments as of ``moving_groups``.

    Returns:
        metres, both [groups]: how far its centroid shifts, or its standard deviation grows or shrinks, as it does
        where two things meet; 0 where fewer than ``min_sweeps`` sweeps have ``min_points`` of the group. Its width.
    """
    groups, sweeps = int(group.max(initial=-1)) + 1, int(sweep.max(initial=-1)) + 1
    inside = np.flatnonzero(group >= 0)
    cell = group[inside].astype(np.int64) * sweeps + sweep[inside]
    count = np.bincount(cell, minlength=groups * sweeps)
    enough = np.flatnonzero(count >= config.min_points)
    owner, time = np.divmod(enough, max(sweeps, 1))
    shift, spread, width = np.zeros(groups), np.zeros(groups), np.zeros(groups)
    for axis in range(2):
        values = np.ascontiguousarray(xyz[inside, axis], dtype=np.float64)
        low = np.full(groups, np.inf)
        np.minimum.at(low, group[inside], values)
        own = values - low[group[inside]]  # small numbers have exact squares
        centre, square = (
            np.bincount(cell, weights=power, minlength=groups * sweeps)[enough] / count[enough]
            for power in (own, own * own)
        )
        deviation = np.sqrt(np.maximum(square - centre * centre, 0.0))
        shift = np.hypot(shift, _shift(centre, owner, time, groups))
        spread = np.hypot(spread, _shift(deviation, owner, time, groups))
        np.maximum.at(width, owner, _spans(values, cell, groups * sweeps)[enough])
    seen = np.bincount(owner, minlength=groups)
    return np.where(seen >= config.min_sweeps, np.maximum(shift, spread), 0.0), width


def _shift(
    position: NDArray[np.float64], owner: NDArray[np.int64], time: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Fit position = a + b * time for each group; returns b times the group's time span, [groups]."""
    n = np.maximum(np.bincount(owner, minlength=groups), 1)
    t = time - (np.bincount(owner, weights=time, minlength=groups) / n)[owner]
    p = position - (np.bincount(owner, weights=position, minlength=groups) / n)[owner]
    variance = np.bincount(owner, weights=t * t, minlength=groups)
    slope = np.bincount(owner, weights=t * p, minlength=groups) / np.maximum(variance, 1e-9)
    return slope * _spans(time, owner, groups)


def _ends(
    along: NDArray[np.float64], cell: NDArray[np.int64], size: NDArray[np.int64], quantile: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ``quantile`` and 1 - ``quantile`` of ``along`` in each cell, both [cells], nearest rank."""
    low = along.min(initial=0.0)
    span = along.max(initial=0.0) - low + 1.0
    # One sort, with the values of each cell in an interval of their own: faster than sorting by two keys, equal to
    # 1e-10 m.
    ordered = np.sort(cell * span + (along - low))
    ordered -= np.repeat(np.arange(len(size)) * span - low, size)
    start = np.cumsum(size) - size
    skip = np.floor(quantile * size).astype(np.int64)
    return ordered[start + skip], ordered[start + size - 1 - skip]


def _spans(values: NDArray[Any], owner: NDArray[np.int64], owners: int) -> NDArray[np.float64]:
    """Return the largest less the smallest value of each owner, [owners]; 0 where it has none."""
    low, high = np.full(owners, np.inf), np.full(owners, -np.inf)
    np.minimum.at(low, owner, values)
    np.maximum.at(high, owner, values)
    spans: NDArray[np.float64] = np.maximum(high - low, 0.0)
    return spans
