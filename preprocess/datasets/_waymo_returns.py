"""Pixels of Waymo's range images as returns: points, origins of their rays, intensity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._range_image import LaserCalibration, undo_motion, vehicle_points


class Returns(NamedTuple):
    """N returns of one laser and return number; positions in metres, vehicle frame at the sweep's time."""

    xyz: NDArray[np.float64]
    origin: NDArray[np.float64]
    intensity: NDArray[np.float32]
    pixel: NDArray[np.uint16]


def returns_of(
    image: NDArray[Any],
    laser: int,
    number: int,
    calibration: LaserCalibration,
    poses: NDArray[np.floating[Any]] | None,
    world_SE3_vehicle: NDArray[np.float64],
) -> Returns:
    """Compute the returns of a range image, in row-major order.

    Args:
        image: [H, W, 4] range in metres, intensity, elongation, in no-label zone; no return where range is not above 0.
        laser: number of the laser, 1 to 5.
        number: 1 for the first return, 2 for the second.
        calibration: of the laser.
        poses: roll, pitch, yaw, x, y, z of each pixel [H, W, 6], vehicle to world; None: that of the sweep.
        world_SE3_vehicle: pose of the sweep [4, 4].

    Raises:
        ValueError: shapes do not match.
    """
    shape = image.shape[:2]
    row, column = np.nonzero(image[..., 0] > 0)
    measured = image[row, column]
    mount = calibration.vehicle_SE3_laser[:3, 3]
    xyz = vehicle_points(measured[:, 0], row, column, shape, calibration)
    origin = np.broadcast_to(mount, xyz.shape)
    if poses is not None:
        if poses.shape[:2] != shape:
            raise ValueError(f"{shape} pixels, but lidar_pose has {poses.shape[:2]}; fetch both components again")
        xyz, origin = undo_motion(xyz, mount, poses[row, column], world_SE3_vehicle)
    # tanh keeps the common values below 1 distinct, and reflectors of any strength below 1.
    intensity = np.tanh(np.maximum(np.nan_to_num(measured[:, 1]), 0)).astype(np.float32)
    ids = np.full(len(row), laser), np.full(len(row), number)
    return Returns(xyz, origin, intensity, np.stack([*ids, row, column], axis=1).astype(np.uint16))


def concatenate_returns(parts: list[Returns]) -> Returns:
    """Concatenate returns; zero returns for an empty list."""
    none = Returns(np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.float32), np.empty((0, 4), np.uint16))
    return Returns(*(np.concatenate(arrays) for arrays in zip(none, *parts, strict=True)))
