"""Ground of stacked sweeps, on simulated streets and real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscc_lidar.preprocess.segment.ground import GroundConfig, heights
from iscc_lidar.preprocess.segment.sweeps import RangeConfig, considered_mask

REAL = Path(__file__).parents[4] / "shared" / "data" / "semantickitti_labeled_frame" / "sequences" / "00"


def scene(slope: float = 0.0, seed: int = 0, noise_m: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """A sloping street 1.73 m below the sensor, rings of returns, cars and a wall; and which is ground."""
    rng = np.random.default_rng(seed)
    r = np.repeat(np.geomspace(4, 60, 40), 600)
    angle = rng.uniform(-np.pi, np.pi, len(r))
    ground = np.stack([r * np.cos(angle), r * np.sin(angle), np.zeros(len(r))], axis=1)
    cars = [
        np.array([x, y, 0]) + rng.random((400, 3)) * [4, 1.8, 1.2] + [0, 0, 0.3]
        for x, y in ((8, 4), (-12, 6), (20, -9), (-25, -15))
    ]
    wall = np.column_stack([rng.uniform(-30, 30, 3000), np.full(3000, 25.0), rng.uniform(0.3, 6, 3000)])
    xyz = np.concatenate([ground, *cars, wall])
    xyz[:, 2] += slope * xyz[:, 0] - 1.73 + rng.normal(size=len(xyz)) * noise_m
    return xyz, np.arange(len(xyz)) < len(ground)


def is_ground(xyz: np.ndarray) -> np.ndarray:
    height = heights(xyz, GroundConfig())
    return (height <= GroundConfig().distance_m) & (height > -0.3)


@pytest.mark.parametrize("slope", [0.0, 0.05, -0.08, 0.15])
@pytest.mark.parametrize("noise_m", [0.0, 0.02])
def test_street_is_ground_and_what_stands_on_it_is_not(slope: float, noise_m: float) -> None:
    xyz, truth = scene(slope, noise_m=noise_m)
    found = is_ground(xyz)
    assert found[truth].mean() > 0.97
    assert found[~truth].mean() < 0.01


def test_heights_are_those_above_the_slope() -> None:
    xyz, truth = scene(0.1, noise_m=0.0)
    expected = xyz[:, 2] + 1.73 - 0.1 * xyz[:, 0]
    near = np.hypot(xyz[:, 0], xyz[:, 1]) < 20
    error = np.abs(heights(xyz, GroundConfig()) - expected)[near & (expected < 2)]
    assert np.quantile(error, 0.95) < 0.05
    assert truth.any()


def test_none_keeps_the_ground() -> None:
    assert np.isinf(heights(scene()[0], GroundConfig(method="none"))).all()


def test_reflections_below_the_street_change_nothing_around_them() -> None:
    xyz, truth = scene()
    rng = np.random.default_rng(1)
    for deep in (
        [[6.0, 0.5, -4.0], [10.0, -3.0, -2.6]],
        [[9.3, -4.2, -4.8]] * 3,
        rng.uniform(-1, 1, (30, 3)) - [9, 9, 6],
    ):
        height = heights(np.concatenate([xyz, np.array(deep)]), GroundConfig())
        assert not (np.abs(height[len(xyz) :]) <= 0.08).any()
        assert (np.abs(height[: len(xyz)][truth]) <= 0.08).mean() > 0.97


def test_a_far_thing_alone_is_not_ground() -> None:
    """In one sweep nothing else is seen around it, and its lowest point looks like the ground."""
    xyz, _ = scene()
    post = np.column_stack([np.full(40, 70.0), np.full(40, 3.0), np.linspace(-1.2, 0.3, 40)])
    height = heights(np.concatenate([xyz, post]), GroundConfig())
    assert not ((height[-40:] <= 0.08) & (height[-40:] > -0.3)).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**31), st.sampled_from([0.0, 1e-3, 1.0, 100.0, 9e3]))
def test_any_points_have_heights(n: int, seed: int, extent: float) -> None:
    xyz = np.random.default_rng(seed).uniform(-extent, extent, (n, 3))
    for points in (xyz, np.ones_like(xyz), xyz * [1, 0, 0]):
        height = heights(points, GroundConfig())
        assert height.shape == (n,)
        assert not np.isnan(height).any()


def test_the_order_of_the_points_does_not_matter() -> None:
    xyz, _ = scene()
    order = np.random.default_rng(3).permutation(len(xyz))
    np.testing.assert_allclose(heights(xyz[order], GroundConfig()), heights(xyz, GroundConfig())[order], atol=1e-9)


@pytest.mark.skipif(not REAL.exists(), reason="real sweep ../shared/data/semantickitti_labeled_frame is not there")
def test_real_sweep() -> None:
    points = np.fromfile(REAL / "velodyne" / "000000.bin", dtype="<f4").reshape(-1, 4)
    kind = np.fromfile(REAL / "labels" / "000000.label", dtype="<u4") & 0xFFFF
    found = is_ground(points[:, :3])
    known = kind > 1
    truth = np.isin(kind, [40, 44, 48, 49, 60, 72])
    assert (found & truth)[known].sum() / found[known].sum() > 0.92
    assert (found & truth)[known].sum() / truth[known].sum() > 0.95


def test_reflections_far_below_the_street_do_not_hide_the_ground(real_data: Path) -> None:
    """Drive 0048 has returns 25 m under the street in every sweep."""
    from iscc_lidar.preprocess.datasets.semantickitti import open_dataset

    dataset = open_dataset(real_data / "kitti_raw_as_odometry")
    for index in range(8):
        sweep = dataset.read("30", index)
        seen = considered_mask(sweep, RangeConfig())
        assert sweep.xyz[seen, 2].min() < -20
        assert 0.3 < is_ground(sweep.xyz[seen]).mean() < 0.5
