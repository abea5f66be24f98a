"""Scenes with little or nothing around an object: a field, and a road between bare walls, with or without a roof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.random import Generator

from iscc_lidar.preprocess.synthetic import people, vehicles
from iscc_lidar.preprocess.synthetic.ground import Ground
from iscc_lidar.preprocess.synthetic.placed import Placed
from iscc_lidar.preprocess.synthetic.semantics import BUILDING
from iscc_lidar.preprocess.synthetic.solids import box

_WALL_PIECE_M: Final = 4.0
_EVERY_M: Final = 70.0
"""So far apart that of each sweep one object is near."""


def field(rng: Generator, ground: Ground, s_min: float, s_max: float) -> Iterator[Placed]:
    """Place one thing now and then beside the road, and nothing else."""
    makers = (vehicles.car, vehicles.car, vehicles.truck, people.person, people.bicycle)
    for s in np.arange(s_min + rng.uniform(0, _EVERY_M), s_max, _EVERY_M).tolist():
        sign = float(rng.choice([-1, 1]))
        maker = makers[int(rng.integers(len(makers)))]
        d = sign * (ground.half_road + rng.uniform(3.0, 12.0))
        yield Placed(maker(rng), s, d, float(rng.uniform(0, 2 * np.pi)), tilts=True)


def walled(rng: Generator, ground: Ground, s_min: float, s_max: float) -> Iterator[Placed]:
    """Put walls at both edges of the road, in half of all scenes with a roof, and cars that stand at them."""
    height = rng.uniform(4.5, 6.0)
    roofed = rng.random() < 0.5
    edge = ground.half_road + 0.4
    wall = box((0, 0, height / 2 - 0.5), (_WALL_PIECE_M + 0.2, 0.4, height + 1), BUILDING)
    roof = box((0, 0, height), (_WALL_PIECE_M + 0.2, 2 * edge + 0.4, 0.4), BUILDING)
    for s in np.arange(s_min, s_max, _WALL_PIECE_M).tolist():
        yield Placed([wall], s, edge, 0.0)
        yield Placed([wall], s, -edge, 0.0)
        if roofed:
            yield Placed([roof], s, 0.0, 0.0)
    for s in np.arange(s_min + rng.uniform(0, 20), s_max, 22.0).tolist():
        sign = float(rng.choice([-1, 1]))
        yield Placed(vehicles.car(rng), s, sign * (edge - 1.5), float(rng.choice([0, np.pi])), tilts=True)
