"""The same real points by two adapters: their groups must be the same objects."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets import semantickitti, waymo
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.store.local import LocalStore


@pytest.mark.slow
def test_groups_agree_whether_read_as_waymo_or_as_semantickitti(real_data: Path, tmp_path: Path) -> None:
    """Pairs of nearest points within 10 cm; the Waymo files hold the same sweeps on a grid, with other intensities."""
    adapters = {
        "waymo": waymo.open_dataset(real_data / "waymo_v2_from_pandaset"),
        "kitti": semantickitti.open_dataset(real_data / "semantickitti_from_pandaset"),
    }
    for name, dataset in adapters.items():
        preprocess(dataset, LocalStore(tmp_path / name), PreprocessConfig(), Executor(2))
    caches = [Cache(tmp_path / name) for name in adapters]
    label = np.concatenate([paired_labels(*(c.sweep(c.sequence_names[0], i) for c in caches)) for i in range(52)])
    kind = np.minimum(label, 0)  # ground and noise by their codes, any group 0
    kinds_agree = float((kind[:, 0] == kind[:, 1]).mean())
    rand = adjusted_rand_score(*label[(label >= 0).all(axis=1)].T)
    print(f"{len(label)} pairs: kinds agree {kinds_agree:.4f}, adjusted Rand index of the groups {rand:.4f}")
    assert kinds_agree > 0.9
    assert rand > 0.85


def paired_labels(first: CachedSweep, second: CachedSweep) -> NDArray[np.int32]:
    """Labels [M, 2] of points of two sweeps that are each other's nearest ones, where both sweeps consider them."""
    first_xyz, second_xyz = first.xyz[first.label >= -2], second.xyz[second.label >= -2]
    placed = transform(fit_rigid(first_xyz, second_xyz), first_xyz)
    distance, row = cKDTree(second_xyz).query(placed, distance_upper_bound=0.1)
    near = np.isfinite(distance)
    return np.stack([first.label[first.label >= -2][near], second.label[second.label >= -2][row[near]]], axis=1)


def fit_rigid(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn source onto target by point-to-point ICP from the identity: the sensor frames differ by a small tilt."""
    tree, target_SE3_source = cKDTree(target), np.eye(4)
    sample = source[::10].astype(np.float64)
    for reach in (2.0, 1.0, 0.5, 0.3, 0.2, *(0.1,) * 8):
        moved = transform(target_SE3_source, sample)
        distance, row = tree.query(moved, distance_upper_bound=reach)
        near = np.isfinite(distance)
        a, b = moved[near], target[row[near]].astype(np.float64)
        u, _, vt = np.linalg.svd((a - a.mean(axis=0)).T @ (b - b.mean(axis=0)))
        step = np.eye(4)
        step[:3, :3] = vt.T @ np.diag([1, 1, np.linalg.det(vt.T @ u.T)]) @ u.T
        step[:3, 3] = b.mean(axis=0) - step[:3, :3] @ a.mean(axis=0)
        target_SE3_source = step @ target_SE3_source
    assert np.linalg.norm(inverse(target_SE3_source)[:3, 3]) < 0.5
    return target_SE3_source
