"""A window from its sweeps to their labels."""

from __future__ import annotations

import numpy as np
import pytest

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig
from iscc_lidar.preprocess.segment.ground import GroundConfig
from iscc_lidar.preprocess.segment.segment_window import segment_window
from iscc_lidar.preprocess.segment.sweeps import ConsideredSweep, RangeConfig, consider


def sweep_of(xyz: np.ndarray, pose: np.ndarray | None = None) -> ConsideredSweep:
    points = np.asarray(xyz, dtype=np.float32).reshape(-1, 3)
    origin, intensity = np.zeros((1, 3), np.float32), np.zeros(len(points), np.float32)
    sweep = Sweep("00", "000000", 0, points, intensity, origin, np.eye(4) if pose is None else pose)
    return consider(sweep, RangeConfig())


def street() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plane 1.73 m below the sensor, a post on it, and a box from the plane up: their points."""
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-20, 20, 161), np.linspace(-20, 20, 161)))
    plane = np.stack([x, y, np.full_like(x, -1.73)], axis=1)
    post = np.array([[6 + dx, 6, z] for z in np.linspace(-1.73, 1, 60) for dx in (0, 0.1)])
    rng = np.random.default_rng(0)
    box = rng.random((4000, 3)) * [4, 1.8, 1.4] + [5, -6, -1.73]
    return plane, post, box


def segment(sweeps: list[ConsideredSweep], ground: GroundConfig | None = None) -> dict[int, np.ndarray]:
    return segment_window(sweeps, 7, ground or GroundConfig(), ClusteringConfig())


def test_ground_things_and_what_is_too_near() -> None:
    plane, post, box = street()
    labels = segment([sweep_of(np.concatenate([plane, post, box]))] * 3)
    assert sorted(labels) == [7, 8, 9]
    for label in labels.values():
        on_plane, on_post, on_box = np.split(label, [len(plane), len(plane) + len(post)])
        far = np.linalg.norm(plane, axis=1) > 2
        assert (on_plane[far] == GROUND).mean() > 0.97
        assert (on_plane[~far] == NOT_CONSIDERED).all()
        for thing, z in ((on_post, post[:, 2]), (on_box, box[:, 2])):
            ids = np.unique(thing[z > -1.6])  # its feet, too, 0.08 m above the ground
            assert len(ids) == 1
            assert ids[0] >= 0
        assert on_post[-1] != on_box[-1]


def test_what_is_low_and_under_nothing_is_ground() -> None:
    plane, _, box = street()
    kerb = np.column_stack([np.linspace(-15, 15, 600), np.full(600, 9.0), np.full(600, -1.6)])
    label = segment([sweep_of(np.concatenate([plane, box, kerb]))])[7]
    assert (label[-600:] == GROUND).all()


def test_labels_do_not_depend_on_where_the_world_begins() -> None:
    plane, post, box = street()
    xyz = np.concatenate([plane, post, box])
    near, far = (segment([sweep_of(xyz, pose)] * 2) for pose in (np.eye(4), moved([5e6, -3e6, 100.0])))
    for index, label in near.items():
        assert np.mean(label == far[index]) > 0.99


def test_without_ground_removal_the_ground_is_grouped() -> None:
    plane, post, _ = street()
    label = segment([sweep_of(np.concatenate([plane, post]))], GroundConfig(method="none"))[7]
    assert not (label == GROUND).any()


@pytest.mark.parametrize("points", [0, 1, 5, 25])
def test_few_points_or_none(points: int) -> None:
    rng = np.random.default_rng(0)
    labels = segment([sweep_of(rng.uniform(3, 9, (points, 3))), sweep_of(np.zeros((0, 3)))])
    assert [len(label) for label in labels.values()] == [points, 0]
    assert np.isin(labels[7], [NOISE, GROUND, 0]).all()


def test_a_pose_that_jumps_is_named() -> None:
    plane, _, _ = street()
    with pytest.raises(SweepError, match="its pose is 30 km from that of sweep 000000"):
        segment([sweep_of(plane), sweep_of(plane, moved([3e4, 0.0, 0.0]))])


def moved(by: list[float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = by
    return pose
