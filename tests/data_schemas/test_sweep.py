from dataclasses import replace

import numpy as np
import pytest

from iscc_lidar.data_schemas.sweep import Sweep

SWEEP = Sweep(
    sequence="monday",
    name="000007",
    timestamp_ns=0,
    xyz=np.full((4, 3), np.nan, np.float32),
    intensity=np.array([0, 0.5, 1, 0], np.float32),
    origin=np.zeros((1, 3), np.float32),
    world_SE3_sensor=np.eye(4),
    semantic=np.zeros(4, np.uint8),
)


def pose(x: float, last: float = 1.0) -> np.ndarray:
    """Pose at x; its last element, which must be 1, is ``last``."""
    matrix = np.eye(4)
    matrix[0, 3], matrix[3, 3] = x, last
    return matrix


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"semantic": np.zeros(3, np.uint8)}, r"semantic must be uint8 \[4\], not uint8 \[3\]"),
        ({"xyz": np.zeros((4, 4), np.float32)}, r"xyz must be float32 \[4, 3\], not float32 \[4, 4\]"),
        ({"origin": np.zeros((4, 3))}, r"origin must be float32 \[4, 3\], not float64"),
        ({"intensity": np.array([0, 0, 0, 100], np.float32)}, "intensity must lie in 0..1"),
        ({"intensity": np.array([0, 0, 0, np.nan], np.float32)}, "intensity must lie in 0..1"),
        ({"world_SE3_sensor": 2 * np.eye(4)}, "must be a rotation and a translation"),
        ({"world_SE3_sensor": np.diag([1.0, -1, 1, 1])}, "must be a rotation and a translation"),
        (
            {"world_SE3_sensor": pose(1e160)},
            r"its pose, world_SE3_sensor, is at \[1e\+160, .* Check the poses",
        ),
        ({"world_SE3_sensor": pose(np.nan)}, "its pose, .* expected finite numbers up to 1e.08 m"),
        ({"world_SE3_sensor": pose(-np.inf)}, "its pose, .* expected finite numbers"),
        ({"world_SE3_sensor": pose(1, last=0)}, "must be a rotation and a translation"),
        ({"origin": np.full((1, 3), 1e30, np.float32)}, "a ray starts more than 1000 m from the sensor"),
        ({"origin": np.full((1, 3), np.inf, np.float32)}, "a ray starts more than 1000 m from the sensor"),
        ({"timestamp_ns": 2**63}, "its time is 9223372036854775808 ns"),
        ({"pixel": np.zeros((4, 3), np.uint16)}, "pixel must be uint16"),
    ],
)
def test_what_is_not_as_stated_is_named(change: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ValueError, match=f"sequence monday, sweep 000007: .*{says}"):
        replace(SWEEP, **change)


def test_invalid_points_and_empty_sweeps_are_fine() -> None:
    assert len(SWEEP) == 4
    empty = replace(SWEEP, xyz=np.zeros((0, 3), np.float32), intensity=np.zeros(0, np.float32), semantic=None)
    assert len(empty) == 0
