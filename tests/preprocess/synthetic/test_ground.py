"""The ground: its coordinates, its zones, and where rays meet it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iscc_lidar.preprocess.synthetic.ground import Ground, first_hit
from iscc_lidar.preprocess.synthetic.semantics import OTHER_GROUND, PARKING, ROAD, SIDEWALK, TERRAIN
from iscc_lidar.preprocess.synthetic.style import DISTRICTS, draw_style

GROUNDS = {OTHER_GROUND, PARKING, ROAD, SIDEWALK, TERRAIN}


def some_ground(seed: int) -> Ground:
    return draw_style(np.random.default_rng(seed), (5.0, 8.0)).ground


def height_at(ground: Ground, xyz: np.ndarray) -> np.ndarray:
    s, d = ground.to_street(xyz[:, 0], xyz[:, 1])
    return ground.height(s, d)


@given(seed=st.integers(0, 1000), s=st.floats(-120, 120), d=st.floats(-90, 90))
def test_street_coordinates_there_and_back(seed: int, s: float, d: float) -> None:
    ground = some_ground(seed)
    x, y = ground.to_world(np.array([s]), np.array([d]))
    back_s, back_d = ground.to_street(x, y)
    assert back_s[0] == pytest.approx(s, abs=1e-6)
    assert back_d[0] == pytest.approx(d, abs=1e-6)


@given(seed=st.integers(0, 10_000), district=st.sampled_from(sorted(DISTRICTS)))
def test_no_ground_is_higher_than_its_bound(seed: int, district: str) -> None:
    rng = np.random.default_rng(seed)
    ground = draw_style(rng, (5.0, 8.0), DISTRICTS[district]).ground
    x, y = ground.to_world(np.array([rng.uniform(0, 20)]), np.array([rng.uniform(-0.9, 0.9) * ground.half_road]))
    origin, reach = np.array([x[0], y[0], 0.0]), rng.uniform(0.5, 81.0, 400)
    azimuth, within = rng.uniform(-np.pi, np.pi, 400), reach * np.sqrt(rng.random(400))
    s, d = ground.to_street(origin[0] + within * np.cos(azimuth), origin[1] + within * np.sin(azimuth))
    assert (ground.base(s, d) <= ground.highest(origin, reach)).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
@example(seed=1015)
@example(seed=1135)
@example(seed=5649)
def test_rays_stop_at_the_first_ground_and_not_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ground = some_ground(seed)
    d0 = np.array([rng.uniform(-0.9, 0.9) * ground.half_road])
    x, y = ground.to_world(np.zeros(1), d0)
    origin = np.array([x[0], y[0], ground.height(np.zeros(1), d0)[0] + 1.73])
    azimuth, elevation = rng.uniform(-np.pi, np.pi, 60), rng.uniform(-0.43, -0.03, 60)
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)
    reach, raw = first_hit(ground, origin, rays, 60.0)
    assert np.isfinite(reach).mean() > 0.5
    assert set(raw[np.isfinite(reach)].tolist()) <= GROUNDS
    for ray, t in zip(rays, reach, strict=True):
        # Up to the millimetre before the face of a kerb, which is met by so much.
        steps = np.arange(1.0, min(t, 60.0) - 1e-3, 0.01)
        path = origin + steps[:, None] * ray
        under = height_at(ground, path) - path[:, 2]
        # A ray may skim a bump between two marching steps, which grow with range, by no more than this.
        near = steps < 30.0
        assert under[near].max(initial=0.0) < 0.1
        assert under[~near].max(initial=0.0) < 0.25
        if np.isfinite(t):
            past = origin + (t + np.linspace(0.0, 0.05, 11))[:, None] * ray
            assert (height_at(ground, past) - past[:, 2]).max() > -0.02


def test_a_kerb_face_is_met_below_its_top() -> None:
    ground = next(
        g
        for g in map(some_ground, range(100))
        if g.kerb > 0.14 and g.median_half == 0 and not g.left.parking and g.cross_half == 0
    )
    origin = np.array([0.0, 0.0, ground.height(np.zeros(1), np.zeros(1))[0] + 1.73])
    elevation = -np.linspace(0.1, 0.5, 4000)
    rays = np.stack([np.zeros(4000), np.cos(elevation), np.sin(elevation)], axis=1)
    reach, raw = first_hit(ground, origin, rays, 40.0)
    points = origin + reach[:, None] * rays
    s, d = ground.to_street(points[:, 0], points[:, 1])
    face = np.abs(d - ground.half_road) < 0.002
    above_road = points[face, 2] - ground.base(s[face], d[face])
    assert face.sum() > 20
    assert above_road.min() > -0.01
    assert above_road.max() < ground.kerb + 0.01
    assert (raw[face] == SIDEWALK).mean() > 0.95


def test_zones_follow_each_other_across_the_street() -> None:
    ground = next(g for g in map(some_ground, range(100)) if g.left.parking and g.median_half and not g.left.paved_yard)
    far_from_crossing = ground.cross_s + ground.cross_half + 20.0
    s = np.ceil(far_from_crossing / ground.left.drive_period) * ground.left.drive_period + ground.left.drive_width + 0.5
    d = np.linspace(0, ground.half_road + ground.left.parking + ground.left.sidewalk + 5, 2000)
    raw = ground.raw(np.full(2000, s), d)
    order = raw[np.r_[True, raw[1:] != raw[:-1]]].tolist()
    assert order == [OTHER_GROUND, ROAD, PARKING, SIDEWALK, TERRAIN]
