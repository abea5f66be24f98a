"""Rays against primitives: the closed forms against marching, the windows against testing everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.raycast import Solids, cast, intersect
from iscc_lidar.preprocess.synthetic.sensor import ray_grid
from iscc_lidar.preprocess.synthetic.solids import CYLINDER, ELLIPSOID, FRUSTUM
from iscc_lidar.shared.base.geometry import euler_rotation

STEP = 0.004


def random_solids(rng: np.random.Generator, count: int, nearest: float = 3.0, farthest: float = 25.0) -> Solids:
    """Primitives of all kinds around the sensor, none of them holding it."""
    azimuth, away = rng.uniform(-np.pi, np.pi, count), rng.uniform(nearest, farthest, count)
    shape = rng.integers(0, 3, count)
    half = rng.uniform(0.05, nearest / 2.2, (count, 3))
    tilt = np.array(
        [
            euler_rotation(*rng.uniform(-3, 3, 3)) if s == ELLIPSOID or t else euler_rotation(yaw=rng.uniform(-3, 3))
            for s, t in zip(shape, rng.random(count) < 0.5, strict=True)
        ]
    )
    upright = np.abs(tilt[:, 2, 2]) > 0.999
    taper = rng.uniform(0, 0.9, (count, 2)) * ((shape == FRUSTUM) | ((shape == CYLINDER) & upright))[:, None]
    centre = np.stack([away * np.cos(azimuth), away * np.sin(azimuth), rng.uniform(-2, 1.5, count)], axis=1)
    return Solids(shape, centre, tilt, half, taper, np.zeros(count))


def inside(solids: Solids, p: int, point: np.ndarray) -> bool:
    """Whether a point lies in primitive p, straight from the definitions in ``parts``."""
    x, y, z = (solids.rotation[p].T @ (point - solids.centre[p])) / solids.half[p]
    narrow_x, narrow_y = (1 - taper * (z + 1) / 2 for taper in solids.taper[p])
    if solids.shape[p] == ELLIPSOID:
        return x * x + y * y + z * z <= 1
    if solids.shape[p] == CYLINDER:
        return abs(z) <= 1 and x * x + y * y <= narrow_x**2
    return abs(z) <= 1 and abs(x) <= narrow_x and abs(y) <= narrow_y


def march(solids: Solids, p: int, ray: np.ndarray, reach: float) -> tuple[float, float]:
    """First and last range inside primitive p in small steps; infinite where the ray misses."""
    ts = [t for t in np.arange(STEP, reach, STEP) if inside(solids, p, t * ray)]
    return (ts[0], ts[-1]) if ts else (np.inf, np.inf)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_interval_agrees_with_marching(seed: int) -> None:
    rng = np.random.default_rng(seed)
    solids = random_solids(rng, 1, 3.0, 5.0)
    aim = solids.centre[0] + solids.rotation[0] @ (rng.uniform(-0.9, 0.9, 3) * solids.half[0])
    ray = aim / np.linalg.norm(aim)
    with np.errstate(all="ignore"):
        enter, leave = intersect(solids, 0, ray)
    first, last = march(solids, 0, ray, 9.0)
    if np.isfinite(first):
        assert enter == pytest.approx(first, abs=2 * STEP)
        assert leave == pytest.approx(last, abs=2 * STEP)
    else:  # too thin for the steps, if it is met at all
        assert not enter < leave or leave - enter <= 2 * STEP


def test_marching_meets_most_of_what_is_aimed_at() -> None:
    # Guards the test above: it would say nothing if nearly all of its rays missed.
    met = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        solids = random_solids(rng, 1, 3.0, 5.0)
        aim = solids.centre[0] + solids.rotation[0] @ (rng.uniform(-0.9, 0.9, 3) * solids.half[0])
        met += np.isfinite(march(solids, 0, aim / np.linalg.norm(aim), 9.0)[0])
    assert met > 20


@pytest.mark.parametrize("seed", range(4))
def test_windows_lose_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rays = ray_grid(SynthConfig(beams=32, columns=180), rng)
    solids = random_solids(rng, 120, 2.0, 30.0)
    limit = rng.uniform(5, 60, rays.direction.shape[:2])
    reach, which = cast(rays, solids, limit, rng)
    expected, owner = limit.copy(), np.full(limit.shape, -1)
    with np.errstate(all="ignore"):
        for p in range(120):
            enter, leave = intersect(solids, p, rays.direction)
            nearer = (enter < leave) & (enter > 0) & (enter < expected)
            expected, owner = np.where(nearer, enter, expected), np.where(nearer, p, owner)
    assert (owner >= 0).sum() > 500
    np.testing.assert_allclose(reach, expected, rtol=1e-12)
    np.testing.assert_array_equal(which, owner)


def wall(x: float, fuzzy: float) -> Solids:
    return Solids(
        np.array([FRUSTUM, FRUSTUM]),
        np.array([[x, 0, 0], [20.0, 0, 0]]),
        np.stack([np.eye(3)] * 2),
        np.array([[0.5, 4, 4], [0.5, 40, 10]]),
        np.zeros((2, 2)),
        np.array([fuzzy, 0.0]),
    )


def test_what_is_behind_is_hidden() -> None:
    rng = np.random.default_rng(0)
    rays = ray_grid(SynthConfig(beams=16, columns=180), rng)
    _, which = cast(rays, wall(10.0, 0.0), np.full((16, 180), np.inf), rng)
    ahead = np.abs(np.arctan2(rays.direction[..., 1], rays.direction[..., 0])) < 0.3
    low = np.abs(rays.elevation) < 0.2
    assert (which[low][ahead[low]] == 0).all()
    assert (which == 1).any()


def test_fuzzy_volume_returns_from_its_depth_and_lets_some_pass() -> None:
    rng = np.random.default_rng(0)
    rays = ray_grid(SynthConfig(beams=16, columns=360), rng)
    reach, which = cast(rays, wall(10.0, 1.0), np.full((16, 360), np.inf), rng)
    ahead = (np.abs(np.arctan2(rays.direction[..., 1], rays.direction[..., 0])) < 0.3) & (np.abs(rays.elevation) < 0.2)[
        :, None
    ]
    passed = (which[ahead] == 1).mean()
    assert passed == pytest.approx(np.exp(-1.0), abs=0.06)  # 1 m thick, a mean free path of 1 m
    x = (reach * rays.direction[..., 0])[ahead & (which == 0)]
    assert x.min() >= 9.5 - 1e-9
    assert x.max() <= 10.5 + 1e-9
    assert x.std() > 0.2
