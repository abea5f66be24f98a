"""Pixels of Waymo's range images as returns: points, origins of their rays, intensity.

Formulas as in Waymo's description of its range images: row 0 is the topmost beam, columns run from azimuth +pi down to
-pi in the vehicle's axes, and a pixel may have a vehicle pose of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LaserCalibration:
    """Mount of a laser and inclinations of its beams.

    Attributes:
        vehicle_SE3_laser: float64 [4, 4].
        inclinations: radians, of each beam from the lowest up, float64 [H], or [2] the lowest and highest edge of the
            image if they are evenly spaced.
        evenly: whether they are.
    """

    vehicle_SE3_laser: NDArray[np.float64]
    inclinations: NDArray[np.float64]
    evenly: bool

    def row_inclinations(self, height: int) -> NDArray[np.float64]:
        """Return the inclination of each row, radians, float64 [height], top row first.

        Raises ValueError where the calibration lists another number of beams.
        """
        if self.evenly:
            low, high = self.inclinations
            return np.asarray((low + (np.arange(height) + 0.5) / height * (high - low))[::-1])
        if len(self.inclinations) != height:
            raise ValueError(f"{len(self.inclinations)} beam inclinations for {height} rows")
        return self.inclinations[::-1]


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
        ValueError: shapes do not match, or the calibration lists another number of beams than the image has rows.
    """
    shape = image.shape[:2]
    row, column = np.nonzero(image[..., 0] > 0)
    measured = image[row, column]
    mount = calibration.vehicle_SE3_laser[:3, 3]
    xyz = _vehicle_points(measured[:, 0], row, column, shape, calibration)
    origin = np.broadcast_to(mount, xyz.shape)
    if poses is not None:
        if poses.shape[:2] != shape:
            raise ValueError(f"{shape} pixels, but lidar_pose has {poses.shape[:2]}; fetch both components again")
        xyz, origin = _undo_motion(xyz, mount, poses[row, column], world_SE3_vehicle)
    # tanh keeps the common values below 1 distinct, and reflectors of any strength below 1.
    intensity = np.tanh(np.maximum(np.nan_to_num(measured[:, 1]), 0)).astype(np.float32)
    ids = np.full(len(row), laser), np.full(len(row), number)
    return Returns(xyz, origin, intensity, np.stack([*ids, row, column], axis=1).astype(np.uint16))


def concatenate_returns(parts: list[Returns]) -> Returns:
    """Concatenate returns; zero returns for an empty list."""
    none = Returns(np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.float32), np.empty((0, 4), np.uint16))
    return Returns(*(np.concatenate(arrays) for arrays in zip(none, *parts, strict=True)))


def _vehicle_points(
    range_m: NDArray[np.float32],
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    shape: tuple[int, int],
    calibration: LaserCalibration,
) -> NDArray[np.float64]:
    """Compute the points of returns in the vehicle frame as if the vehicle stood still, float64 [N, 3], metres."""
    height, width = shape
    vehicle_SE3_laser = calibration.vehicle_SE3_laser
    inclination = calibration.row_inclinations(height)
    # Columns are azimuths in the vehicle's axes, to which the extrinsics add the yaw of the mount.
    mount_yaw = np.arctan2(vehicle_SE3_laser[1, 0], vehicle_SE3_laser[0, 0])
    azimuth = (2 * (width - np.arange(width) - 0.5) / width - 1) * np.pi - mount_yaw
    horizontal_m = range_m * np.cos(inclination)[row]
    x, y = horizontal_m * np.cos(azimuth)[column], horizontal_m * np.sin(azimuth)[column]
    xyz_laser = np.stack([x, y, range_m * np.sin(inclination)[row]], axis=1)
    points: NDArray[np.float64] = xyz_laser @ vehicle_SE3_laser[:3, :3].T + vehicle_SE3_laser[:3, 3]
    return points


def _undo_motion(
    xyz_vehicle: NDArray[np.float64],
    mount: NDArray[np.float64],
    pixel_pose: NDArray[np.floating],
    world_SE3_vehicle: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform returns from the vehicle frame at their own times to the vehicle frame at the sweep's time.

    ``pixel_pose`` is world from vehicle at the pixels' times, [N, 6]: roll, pitch, yaw, x, y, z. Returns the points and
    the origins of their rays, both float64 [N, 3], metres.
    """
    world_R_vehicle = world_SE3_vehicle[:3, :3]
    world_R_pixel = _rotations(pixel_pose[:, :3])
    # World coordinates reach kilometres: subtract first, in float64.
    offset = pixel_pose[:, 3:].astype(np.float64) - world_SE3_vehicle[:3, 3]
    points = (np.einsum("nij,nj->ni", world_R_pixel, xyz_vehicle) + offset) @ world_R_vehicle
    origins = (world_R_pixel @ mount + offset) @ world_R_vehicle
    return points, origins


def _rotations(roll_pitch_yaw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute rotation matrices Rz(yaw) Ry(pitch) Rx(roll), float64 [N, 3, 3], of angles [N, 3] in radians."""
    angles = roll_pitch_yaw.astype(np.float64)
    (sr, sp, sy), (cr, cp, cy) = np.sin(angles).T, np.cos(angles).T
    flat = [
        *(cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        *(sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        *(-sp, cp * sr, cp * cr),
    ]
    return np.stack(flat, axis=1).reshape(-1, 3, 3)
