"""Objects on a street, and where they may be."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from iscc_lidar.preprocess.synthetic.ground import Ground
from iscc_lidar.preprocess.synthetic.solids import Solid


@dataclass(frozen=True)
class Placed:
    """An object on the street.

    Attributes:
        parts: its primitives, in its own frame.
        s, d: street coordinates of its origin at time 0, m.
        yaw: heading relative to the street's, radians.
        v_s, v_d: velocity in street coordinates, m/s.
        tilts: whether it tilts with the ground (vehicles) or stands upright (all other objects).
    """

    parts: list[Solid]
    s: float
    d: float
    yaw: float
    v_s: float = 0.0
    v_d: float = 0.0
    tilts: bool = False


def clear_of_crossing(ground: Ground, s: float, half_length: float) -> bool:
    """Return whether something at s does not reach into the crossing road."""
    return ground.cross_half == 0 or abs(s - ground.cross_s) > ground.cross_half + half_length


def scatter(rng: Generator, per_100_m: float, s_min: float, s_max: float) -> list[float]:
    """Draw places along the street."""
    return [float(s) for s in rng.uniform(s_min, s_max, rng.poisson(per_100_m * (s_max - s_min) / 100))]
