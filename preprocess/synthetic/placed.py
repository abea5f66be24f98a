"""Objects on a street, and where they may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic.ground import Ground
from iscc_lidar.preprocess.synthetic.solids import Solid, footprint

_SECONDS: Final = 8.0
"""For so long nothing that moves runs into anything."""


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


def keep_apart(
    candidates: Iterable[Placed], others: Iterable[Placed], gap_m: float, each_other: bool = True
) -> list[Placed]:
    """Leave out each candidate that comes closer than ``gap_m`` to one of the others.

    With ``each_other`` also to an earlier candidate. What counts are boxes along the street, for some seconds from
    time 0.
    """
    kept: list[Placed] = []
    boxes = [_box(other) for other in others]
    times = np.linspace(0, _SECONDS, 41)[:, None]
    for candidate in candidates:
        place, speed, half = _box(candidate)
        if boxes:
            places, speeds, halves = (np.stack(column) for column in zip(*boxes, strict=True))
            apart = np.abs(places - place + times[..., None] * (speeds - speed)) - halves - half
            if (apart.max(axis=2) < gap_m).any():
                continue
        kept.append(candidate)
        boxes += [(place, speed, half)] if each_other else []
    return kept


def _box(placed: Placed) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle, the velocity and half the sides of an object's box along the street."""
    x_min, x_max, y_min, y_max = footprint(placed.parts)
    cos, sin = np.cos(placed.yaw), np.sin(placed.yaw)
    x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
    long, wide = (x_max - x_min) / 2, (y_max - y_min) / 2
    half = np.array([abs(cos) * long + abs(sin) * wide, abs(sin) * long + abs(cos) * wide])
    middle = np.array([placed.s + cos * x - sin * y, placed.d + sin * x + cos * y])
    return middle, np.array([placed.v_s, placed.v_d]), half
