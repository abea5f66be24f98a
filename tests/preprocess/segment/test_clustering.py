import numpy as np
import pytest

from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window, voxelize, why_slow
from iscc_lidar.preprocess.segment.native import library

CONFIG = ClusteringConfig()


def box(
    rng: np.random.Generator, centre: tuple[float, float, float], size: tuple[float, float, float], n: int
) -> np.ndarray:
    return np.array(centre) + (rng.random((n, 3)) - 0.5) * np.array(size)


def two_cars(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A parked car, and one that drives 12 m in 12 sweeps: 3000 points each."""
    rng = np.random.default_rng(seed)
    xyz, sweep, truth = [], [], []
    for k in range(12):
        xyz += [box(rng, (10, 5, 0), (4, 1.8, 1.5), 250), box(rng, (k * 1.0, -5, 0), (4, 1.8, 1.5), 250)]
        truth += [np.zeros(250, int), np.ones(250, int)]
        sweep += [np.full(500, k)]
    return np.concatenate(xyz), np.concatenate(sweep), np.concatenate(truth)


def test_one_group_a_car_also_when_it_drives() -> None:
    xyz, sweep, truth = two_cars()
    label = cluster_window(xyz, sweep, xyz[:, 2], CONFIG)
    assert label.dtype == np.int32
    for car in (0, 1):
        ids, count = np.unique(label[truth == car], return_counts=True)
        assert count.max() > 0.97 * len(label) / 2
        assert ids[count.argmax()] >= 0
    assert set(np.unique(label)) <= set(range(-1, label.max() + 1))
    assert len(np.unique(label[label >= 0])) == label.max() + 1


def test_width_counts_within_one_sweep() -> None:
    xyz, sweep, truth = two_cars()
    narrow = ClusteringConfig(max_width_m=8.0)  # the moving car's trail is 15 m, the car 4 m
    label = cluster_window(xyz, sweep, xyz[:, 2], narrow)
    assert (label[truth == 1] == np.bincount(label[(truth == 1) & (label >= 0)]).argmax()).mean() > 0.97
    as_one_sweep = cluster_window(xyz, np.zeros_like(sweep), xyz[:, 2], narrow)
    trail = as_one_sweep[(truth == 1) & (as_one_sweep >= 0)]
    assert len(trail) == 0 or np.bincount(trail).max() < 0.97 * (truth == 1).sum()


def test_the_order_of_points_does_not_matter() -> None:
    xyz, sweep, _ = two_cars()
    label = cluster_window(xyz, sweep, xyz[:, 2], CONFIG)
    order = np.random.default_rng(3).permutation(len(xyz))
    shuffled = cluster_window(xyz[order], sweep[order], xyz[order, 2], CONFIG)
    pairs = np.unique(np.stack([label[order], shuffled]), axis=1)
    assert pairs.shape[1] == len(np.unique(label)) == len(np.unique(shuffled))
    np.testing.assert_array_equal(label, cluster_window(xyz, sweep, xyz[:, 2], CONFIG))


@pytest.mark.parametrize(
    "xyz",
    [
        np.zeros((0, 3)),
        np.zeros((1, 3)),
        np.zeros((500, 3)),
        np.random.default_rng(0).uniform(-40, 40, (30, 3)).astype(np.float32),
    ],
    ids=["none", "one", "identical", "scattered"],
)
def test_too_little_is_noise(xyz: np.ndarray) -> None:
    label = cluster_window(xyz, np.zeros(len(xyz), dtype=np.int64), xyz[:, 2], CONFIG)
    assert label.shape == (len(xyz),)
    assert (label[:1] == -1).all()


def test_voxelize_against_a_dictionary() -> None:
    xyz = np.random.default_rng(1).uniform(-1, 1, (300, 3))
    centre, voxel = voxelize(xyz, 0.5)
    cells: dict[tuple[int, ...], list[int]] = {}
    for i, p in enumerate(xyz):
        cells.setdefault(tuple(int(c) for c in np.floor(p / 0.5)), []).append(i)
    assert len(centre) == len(cells)
    for members in cells.values():
        assert len(np.unique(voxel[members])) == 1
        np.testing.assert_allclose(centre[voxel[members[0]]], xyz[members].mean(axis=0))


def test_what_is_slower_without_c_kernels_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_load", lambda: (None, "the C kernels were not compiled"))
    assert why_slow(ClusteringConfig()).endswith("the C kernels were not compiled")
    assert why_slow(ClusteringConfig(spanning_tree="hdbscan")) == ""
    monkeypatch.setattr(library, "_load", lambda: (object(), ""))
    assert why_slow(ClusteringConfig()) == ""
