import numpy as np

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.segment.ground import GroundRemovalConfig
from iscc_lidar.preprocess.segment.sweeps import RangeConfig, considered_mask, remove_ground


def sweep_of(xyz: list[list[float]], origin: tuple[float, float, float] = (0, 0, 0)) -> Sweep:
    points = np.array(xyz, dtype=np.float32).reshape(-1, 3)
    return Sweep(
        "00", "000000", 0, points, np.zeros(len(points), np.float32), np.array([origin], np.float32), np.eye(4)
    )


def test_points_that_do_not_exist_or_are_out_of_range_are_not_considered() -> None:
    nan, inf = float("nan"), float("inf")
    sweep = sweep_of([[0, 0, 0], [nan, 5, 0], [inf, 5, 0], [1, 0, 0], [5, 0, 0], [90, 0, 0], [80, 0, 0]])
    assert considered_mask(sweep, RangeConfig()).tolist() == [False, False, False, False, True, False, True]
    assert considered_mask(sweep, RangeConfig(max_m=1000.0)).tolist() == [False, False, False, False, True, True, True]


def test_range_counts_from_the_rays_own_origin() -> None:
    sweep = sweep_of([[5, 0, 0], [9, 0, 0]], origin=(4.5, 0, 0))
    assert considered_mask(sweep, RangeConfig()).tolist() == [False, True]


def test_an_empty_sweep_has_no_labels() -> None:
    assert len(remove_ground(sweep_of([]), RangeConfig(), GroundRemovalConfig()).label) == 0


def test_a_post_on_a_plane() -> None:
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-20, 20, 161), np.linspace(-20, 20, 161)))
    plane = np.stack([x, y, np.full_like(x, -1.73)], axis=1)
    post = np.array([[6, 6, z] for z in np.linspace(-1, 1, 20)])
    grounded = remove_ground(sweep_of([*plane.tolist(), *post.tolist()]), RangeConfig(), GroundRemovalConfig())
    far = np.linalg.norm(plane, axis=1) > 2
    assert (grounded.label[: len(plane)][far] == GROUND).mean() > 0.98
    assert (grounded.label[: len(plane)][~far] == NOT_CONSIDERED).all()
    assert (grounded.label[len(plane) :] == NOISE).all()
