"""Tear groups out of their surroundings: each is turned about the sensor's axis by an angle of its own.

What stands around a group, and in which direction, tells it from the others of its scene without a look at it. A
network that learns this knows places, not things, and is misled where things stand elsewhere. Turned about the sensor,
a group keeps its distance, the side that it shows and the lines of sight to it; only where it stands is made up.
PolarMix (Xiao et al., NeurIPS 2022) does the same to labelled objects.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.cache.sweep import CachedSweep


def rotate_groups(sweep: CachedSweep, share: float, rng: np.random.Generator) -> CachedSweep:
    """Turn groups of a sweep, and the occupancy queries about them, about the sensor's z axis.

    Args:
        sweep: what is in no group stays where it is: ground, noise, points that are not considered.
        share: of the groups, each drawn for itself, that are turned; 0 draws nothing.
        rng: gives which, and by how much: any angle.
    """
    if share == 0:
        return sweep
    groups = 1 + int(max(sweep.label.max(initial=-1), sweep.queries.group.max(initial=-1)))
    angle = np.where(rng.random(groups) < share, rng.uniform(-np.pi, np.pi, groups), 0)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    queries = dataclasses.replace(sweep.queries, xyz=_turn(sweep.queries.xyz, sweep.queries.group, cos, sin))
    return dataclasses.replace(sweep, xyz=_turn(sweep.xyz, sweep.label, cos, sin), queries=queries)


def _turn(
    xyz: NDArray[np.float32], group: NDArray[np.int32], cos: NDArray[np.float32], sin: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Turn points [N, 3] by what is given for each group; those with a code instead of a group stay."""
    rows = np.flatnonzero(group >= 0)
    (x, y, _), c, s = xyz[rows].T, cos[group[rows]], sin[group[rows]]
    turned = xyz.copy()
    turned[rows, 0] = c * x - s * y
    turned[rows, 1] = s * x + c * y
    return turned
