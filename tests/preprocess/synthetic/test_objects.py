"""Every kind of object: plausible sizes, and no two alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from iscc_lidar.preprocess.synthetic import people, plants, structures, vehicles
from iscc_lidar.preprocess.synthetic.semantics import (
    BICYCLE,
    BICYCLIST,
    BUILDING,
    CAR,
    FENCE,
    MOTORCYCLE,
    MOTORCYCLIST,
    OTHER_OBJECT,
    OTHER_VEHICLE,
    PERSON,
    POLE,
    TRAFFIC_SIGN,
    TRUCK,
    TRUNK,
    VEGETATION,
)
from iscc_lidar.preprocess.synthetic.solids import Solid, bar, footprint

Maker = Callable[[np.random.Generator], list[Solid]]

# maker, classes, shortest and longest extent (larger of length and width), lowest and highest top, metres
KINDS: list[tuple[Maker, set[int], float, float, float, float]] = [
    (vehicles.car, {CAR}, 2.8, 6.5, 1.2, 2.5),
    (vehicles.truck, {TRUCK}, 3.0, 11, 1.5, 4.3),
    (vehicles.other_vehicle, {OTHER_VEHICLE}, 1.7, 13, 0.7, 4.8),
    (people.person, {PERSON}, 0.25, 1.6, 0.95, 2.7),
    (people.bicycle, {BICYCLE}, 0.9, 2.2, 0.8, 1.5),
    (people.motorcycle, {MOTORCYCLE}, 1.1, 2.6, 0.7, 1.6),
    (people.bicyclist, {BICYCLIST}, 0.9, 2.2, 1.4, 2.3),
    (people.motorcyclist, {MOTORCYCLIST}, 1.1, 2.6, 1.3, 2.2),
    (plants.tree, {TRUNK, VEGETATION}, 0.8, 25, 1.2, 25),
    (plants.bush, {VEGETATION}, 0.3, 9, 0.3, 4),
    (lambda rng: plants.hedge(rng, 8.0), {VEGETATION}, 7.5, 10.5, 0.5, 4),
    (lambda rng: structures.building(rng, 12.0, 3), {BUILDING}, 11.9, 20, 7.5, 16),
    (structures.shed, {BUILDING}, 2.4, 7, 1.9, 4.2),
    (lambda rng: structures.fence(rng, 8.0), {FENCE}, 7.9, 8.5, 0.6, 2.6),
    (structures.pole, {POLE}, 0.05, 3.2, 0.6, 9.6),
    (structures.sign, {POLE, TRAFFIC_SIGN}, 0.4, 3.1, 1.9, 4.5),
    (structures.furniture, {OTHER_OBJECT}, 0.35, 3.6, 0.4, 1.7),
]


@pytest.mark.parametrize(("maker", "classes", "short", "long", "low", "high"), KINDS)
def test_objects_have_their_class_and_size(
    maker: Maker, classes: set[int], short: float, long: float, low: float, high: float
) -> None:
    found, shapes = set(), set()
    for seed in range(60):
        parts = maker(np.random.default_rng(seed))
        found |= {p.raw for p in parts}
        x_min, x_max, y_min, y_max = footprint(parts)
        top = max(p.centre[2] + (np.abs(p.rotation) @ p.half)[2] for p in parts)
        bottom = min(p.centre[2] - (np.abs(p.rotation) @ p.half)[2] for p in parts)
        assert short <= max(x_max - x_min, y_max - y_min) <= long
        assert low <= top <= high
        assert bottom <= 0.3
        for p in parts:
            assert (p.half > 0).all()
            assert np.allclose(p.rotation @ p.rotation.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(p.rotation) == pytest.approx(1.0)
            assert p.mean_free_path_m >= 0
        shapes.add((round(x_max - x_min, 6), round(y_max - y_min, 6), round(float(top), 6)))
    assert found == classes
    assert len(shapes) > 30


def test_a_bar_reaches_from_end_to_end() -> None:
    part = bar((1.0, 2.0, 3.0), (4.0, -2.0, 3.0), 0.1, POLE)
    ends = [part.centre + sign * part.rotation[:, 2] * part.half[2] for sign in (-1, 1)]
    assert np.allclose(ends, [(1, 2, 3), (4, -2, 3)])
    assert part.half[0] == part.half[1] == 0.1
