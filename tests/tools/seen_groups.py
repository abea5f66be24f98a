"""Groups as the sweeps of a block see them, far from the world's origin."""

from __future__ import annotations

import numpy as np

from iscc_lidar.preprocess.track.measure import GroupRows, Measured, SweepPoints, measure_block

SENSOR = np.array([1000.0, -2000.0, 3.0])


def rows_of(sweeps: list[SweepPoints], moving: set[int]) -> GroupRows:
    """The table of groups of some sweeps."""
    rows = []
    for each in sweeps:
        for group in np.unique(each.group).tolist():
            own = each.xyz[each.group == group]
            rows.append((each.index, group, len(own), group in moving, own.mean(axis=0)))
    sweep, group, points, moves, centroid = zip(*rows, strict=True)
    return GroupRows(np.array(sweep), np.array(group), np.array(points), np.array(moves), np.array(centroid))


def measure(sweeps: list[SweepPoints], moving: set[int]) -> tuple[GroupRows, Measured]:
    rows = rows_of(sweeps, moving)
    return rows, measure_block(sweeps, rows, rows, np.array(sorted(moving), np.int64))


def at(x: float, y: float) -> np.ndarray:
    """A place as high as the sensor, so many metres from it."""
    return np.add(SENSOR, (x, y, 0.0))


def car(index: int, start: np.ndarray, step: np.ndarray, heading: float) -> SweepPoints:
    """All four sides of a car of 4 m, 2 m and 1.5 m."""
    u = np.linspace(-1, 1, 41)
    sides = np.concatenate([np.stack([u * 2, np.full(41, s)], 1) for s in (-1.0, 1.0)])
    ends = np.concatenate([np.stack([np.full(41, e), u], 1) for e in (-2.0, 2.0)])
    flat = np.concatenate([sides, ends])
    turned = flat @ np.array([[np.cos(heading), np.sin(heading)], [-np.sin(heading), np.cos(heading)]])
    xyz = np.concatenate([np.column_stack([turned, np.full(len(flat), z)]) for z in (0.0, 0.75, 1.5)])
    return SweepPoints(index, xyz + start + index * step, np.zeros(len(xyz), np.int64), SENSOR)
