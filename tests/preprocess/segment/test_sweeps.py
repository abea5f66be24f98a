import numpy as np

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.segment.sweeps import RangeConfig, considered_mask


def sweep_of(xyz: list[list[float]], origin: tuple[float, float, float] = (0, 0, 0)) -> Sweep:
    points = np.array(xyz, dtype=np.float32).reshape(-1, 3)
    return Sweep(
        "00", "000000", 0, points, np.zeros(len(points), np.float32), np.array([origin], np.float32), np.eye(4)
    )


def test_points_that_do_not_exist_or_are_out_of_range_are_not_considered() -> None:
    nan, inf = float("nan"), float("inf")
    sweep = sweep_of([[0, 0, 0], [nan, 5, 0], [inf, 5, 0], [1, 0, 0], [5, 0, 0], [130, 0, 0], [120, 0, 0]])
    assert considered_mask(sweep, RangeConfig()).tolist() == [False, False, False, False, True, False, True]
    assert considered_mask(sweep, RangeConfig(max_m=1000.0)).tolist() == [False, False, False, False, True, True, True]


def test_range_counts_from_the_rays_own_origin() -> None:
    sweep = sweep_of([[5, 0, 0], [9, 0, 0]], origin=(4.5, 0, 0))
    assert considered_mask(sweep, RangeConfig()).tolist() == [False, True]
