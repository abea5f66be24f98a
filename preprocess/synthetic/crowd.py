"""What makes streets dense: rows of parked two-wheelers, riders, people who stand together, cars door to door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from iscc_lidar.preprocess.synthetic import people, vehicles
from iscc_lidar.preprocess.synthetic.ground import Ground
from iscc_lidar.preprocess.synthetic.placed import Placed, clear_of_crossing, keep_apart, scatter
from iscc_lidar.preprocess.synthetic.solids import footprint

ROWS_PER_100_M = 5.0
GATHERINGS_PER_100_M = 6.0
"""Of people who stand or walk together."""
RIDERS_PER_100_M = 5.0


def dense_side(
    rng: Generator, ground: Ground, kerb: float, sidewalk: float, s_min: float, s_max: float, standing: Sequence[Placed]
) -> Iterator[Placed]:
    """Fill the sidewalk of one side; ``standing`` are the objects at its kerb, which keep their places."""
    rows = list(_rows(rng, ground, kerb, s_min, s_max, np.array([each.s for each in standing])))
    yield from rows
    people_there = _people_together(rng, kerb, sidewalk, s_min, s_max)
    yield from keep_apart(people_there, [*standing, *rows], 0.05, each_other=False)


def _rows(
    rng: Generator, ground: Ground, kerb: float, s_min: float, s_max: float, taken: NDArray[np.float64]
) -> Iterator[Placed]:
    """Park two-wheelers side by side at arm's length, across the sidewalk's edge."""
    sign = float(np.sign(kerb))
    for start in scatter(rng, ROWS_PER_100_M, s_min, s_max):
        maker = people.bicycle if rng.random() < 0.6 else people.motorcycle
        gap, s = rng.uniform(0.4, 0.65), start
        lean, depth = rng.normal(0, 0.25), rng.uniform(0.95, 1.2)
        for _ in range(int(rng.integers(4, 15))):
            if clear_of_crossing(ground, s, 1.0) and (np.abs(taken - s) > 0.6).all():
                towards = rng.choice([-1, 1], p=[0.85, 0.15])  # some the other way round
                yaw = towards * sign * np.pi / 2 + lean + rng.normal(0, 0.08)
                yield Placed(maker(rng), s, kerb + sign * (depth + rng.normal(0, 0.06)), float(yaw))
            s += gap + abs(rng.normal(0, 0.05))


def _people_together(rng: Generator, kerb: float, sidewalk: float, s_min: float, s_max: float) -> Iterator[Placed]:
    """Let people stand or walk in groups, shoulder to shoulder."""
    sign = float(np.sign(kerb))
    for middle in scatter(rng, GATHERINGS_PER_100_M, s_min, s_max):
        walks, heading = rng.random() < 0.5, float(rng.choice([-1, 1]))
        v_s = heading * rng.uniform(0.7, 1.6) if walks else 0.0
        across = kerb + sign * rng.uniform(2.2, max(2.4, sidewalk - 0.4))  # behind the rows
        taken: list[tuple[float, float]] = []
        for _ in range(int(rng.integers(3, 8))):
            s, d = middle + rng.normal(0, 0.7), across + rng.normal(0, 0.45)
            if any((s - a) ** 2 + (d - b) ** 2 < 0.5**2 for a, b in taken):
                continue
            taken.append((s, d))
            yaw = (0.0 if heading > 0 else np.pi) if walks else rng.uniform(0, 2 * np.pi)
            yield Placed(people.person(rng), s, d, float(yaw), v_s=float(v_s))


def riders(
    rng: Generator, ground: Ground, sign: int, s_min: float, s_max: float, ego_d: float, traffic: Sequence[Placed]
) -> list[Placed]:
    """Let cyclists and motorcyclists ride along the road's edge, some in pairs; the ego lane's go with it."""
    return keep_apart(_riders(rng, ground, sign, s_min, s_max, ego_d), traffic, 0.2)


def _riders(rng: Generator, ground: Ground, sign: int, s_min: float, s_max: float, ego_d: float) -> Iterator[Placed]:
    heading = 1.0 if sign * ego_d > 0 else -1.0
    edge = sign * (ground.half_road - 0.6)
    for s in scatter(rng, RIDERS_PER_100_M, s_min, s_max):
        rider = people.bicyclist if rng.random() < 0.75 else people.motorcyclist
        speed = heading * rng.uniform(2.5, 6.0)
        for k in range(1 + int(rng.random() < 0.35)):
            d = edge - sign * (1.0 * k) + rng.normal(0, 0.1)
            if abs(d - ego_d) > 1.6 or abs(s) > 12:  # space for the ego vehicle
                yaw = (0.0 if heading > 0 else np.pi) + rng.normal(0, 0.03)
                yield Placed(rider(rng), s + rng.normal(0, 0.3), float(d), float(yaw), v_s=float(speed), tilts=True)


def door_to_door(rng: Generator, ground: Ground, sign: int, s_min: float, s_max: float) -> Iterator[Placed]:
    """Park cars across the sidewalk, as close to each other as their doors allow."""
    s = s_min
    while s < s_max:
        parts = vehicles.car(rng)
        x_min, x_max, y_min, y_max = footprint(parts)
        s += (y_max - y_min) / 2
        if rng.random() > 0.1 and clear_of_crossing(ground, s, 3.0):
            d = sign * (ground.half_road + 0.2 + (x_max - x_min) / 2)
            yaw = sign * np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.02)
            yield Placed(parts, s, float(d), float(yaw), tilts=True)
        s += (y_max - y_min) / 2 + rng.uniform(0.35, 0.7)
