import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from iscc_lidar.preprocess.segment.ground import GroundRemovalConfig, ground_mask, sensor_height

REAL = Path(__file__).parents[4] / "shared" / "data" / "semantickitti_labeled_frame" / "sequences" / "00"
METHODS = ("grid", "patchwork")


def scene(slope: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    xyz[:, 2] += slope * xyz[:, 0] - 1.73 + rng.normal(size=len(xyz)) * 0.01
    truth = np.arange(len(xyz)) < len(ground)
    return xyz.astype(np.float32), np.full(len(xyz), 0.3, dtype=np.float32), truth


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("slope", [0.0, 0.05, -0.08])
def test_street_is_ground_and_what_stands_on_it_is_not(method: str, slope: float) -> None:
    if method == "patchwork":
        pytest.importorskip("pypatchworkpp")
    xyz, intensity, truth = scene(slope)
    mask = ground_mask(xyz, intensity, GroundRemovalConfig(method=method))  # type: ignore[arg-type]
    assert mask.dtype == np.bool_
    assert mask[truth].mean() > 0.95
    assert mask[~truth].mean() < 0.05


def test_none_keeps_the_ground() -> None:
    xyz, intensity, _ = scene()
    assert not ground_mask(xyz, intensity, GroundRemovalConfig(method="none")).any()


def test_a_reflection_below_the_street_changes_nothing_around_it() -> None:
    xyz, intensity, truth = scene()
    deep = np.array([[6.0, 0.5, -4.0], [10.0, -3.0, -2.6]], dtype=np.float32)
    mask = ground_mask(
        np.concatenate([xyz, deep]),
        np.append(intensity, [0.1, 0.1]).astype(np.float32),
        GroundRemovalConfig(method="grid"),
    )
    assert mask[:-2][truth].mean() > 0.95


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1, 2, 5, 40])
def test_few_points_do_not_break_it(method: str, n: int) -> None:
    if method == "patchwork":
        pytest.importorskip("pypatchworkpp")
    xyz, intensity, _ = scene()
    for part in (slice(0, n), slice(len(xyz) - n, len(xyz))):
        mask = ground_mask(xyz[part], intensity[part], GroundRemovalConfig(method=method))  # type: ignore[arg-type]
        assert mask.shape == (n,)
    same = np.ones((n, 3), dtype=np.float32)
    assert ground_mask(same, same[:, 0], GroundRemovalConfig(method=method)).shape == (n,)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_a_sweep_does_not_depend_on_those_before(method: str) -> None:
    if method == "patchwork":
        pytest.importorskip("pypatchworkpp")
    config = GroundRemovalConfig(method=method)  # type: ignore[arg-type]
    xyz, intensity, _ = scene()
    first = ground_mask(xyz, intensity, config)
    for slope in (0.1, -0.1, 0.05):
        ground_mask(*scene(slope, seed=9)[:2], config)
    np.testing.assert_array_equal(first, ground_mask(xyz, intensity, config))


def test_sensor_height_is_estimated() -> None:
    xyz, _, _ = scene()
    assert sensor_height(xyz, GroundRemovalConfig()) == pytest.approx(1.73, abs=0.1)
    assert sensor_height(xyz - np.float32([0, 0, 0.7]), GroundRemovalConfig()) == pytest.approx(2.43, abs=0.1)
    assert sensor_height(np.zeros((0, 3), np.float32), GroundRemovalConfig()) == 1.73


def test_patchwork_prints_nothing() -> None:
    pytest.importorskip("pypatchworkpp")
    code = (
        "import numpy as np; from iscc_lidar.preprocess.segment.ground import *; "
        "ground_mask(np.random.default_rng(0).normal(size=(99, 3)).astype('f4'), np.zeros(99, 'f4'), "
        "GroundRemovalConfig(method='patchwork')); print('end')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "end\n"


@pytest.mark.skipif(not REAL.exists(), reason="real sweep ../shared/data/semantickitti_labeled_frame is not there")
@pytest.mark.parametrize("method", METHODS)
def test_real_sweep(method: str) -> None:
    if method == "patchwork":
        pytest.importorskip("pypatchworkpp")
    points = np.fromfile(REAL / "velodyne" / "000000.bin", dtype="<f4").reshape(-1, 4)
    kind = np.fromfile(REAL / "labels" / "000000.label", dtype="<u4") & 0xFFFF
    mask = ground_mask(points[:, :3].copy(), points[:, 3], GroundRemovalConfig(method=method))  # type: ignore[arg-type]
    known = kind > 1
    truth = np.isin(kind, [40, 44, 48, 49, 60, 72])
    assert (mask & truth)[known].sum() / mask[known].sum() > 0.92
    assert (mask & truth)[known].sum() / truth[known].sum() > 0.95


@pytest.mark.parametrize("method", ["grid", "patchwork"])
def test_reflections_far_below_the_street_do_not_hide_the_ground(real_data: Path, method: str) -> None:
    """Drive 0048 has returns 25 m under the street in every sweep."""
    from iscc_lidar.preprocess.datasets.semantickitti import open_dataset
    from iscc_lidar.preprocess.segment.sweeps import RangeConfig, considered_mask

    dataset = open_dataset(real_data / "kitti_raw_as_odometry")
    for index in range(8):
        sweep = dataset.read("30", index)
        seen = considered_mask(sweep, RangeConfig())
        assert sweep.xyz[seen, 2].min() < -20
        ground = ground_mask(sweep.xyz[seen], sweep.intensity[seen], GroundRemovalConfig(method=method))
        assert 0.3 < ground.mean() < 0.5
