"""Boxes that stand or move, as the sweeps of a window see them."""

from __future__ import annotations

import numpy as np

SWEEPS = 12
CAR = (4.0, 1.8, 1.5)
RIDER = (1.6, 0.5, 1.6)


def stack(
    *things: tuple[tuple[float, float], tuple[float, float], tuple[float, float, float]], points: int = 150
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of some size that start somewhere and move by a step per sweep: points, sweeps, and which is which."""
    rng = np.random.default_rng(0)
    xyz, sweep, truth = [], [], []
    for number, (start, step, size) in enumerate(things):
        for k in range(SWEEPS):
            place = np.array([start[0] + k * step[0], start[1] + k * step[1], 0.0])
            on = rng.random((points, 3)) * size
            face = rng.integers(0, 2, points)
            on[np.arange(points), face] = np.array(size)[face] * rng.integers(0, 2, points)  # returns lie on the sides
            xyz.append(place + on)
            sweep.append(np.full(points, k))
            truth.append(np.full(points, number))
    return np.concatenate(xyz), np.concatenate(sweep), np.concatenate(truth)
