"""Range image to points: geometry of spinning LiDARs whose returns lie in a grid of beams and azimuths.

Formulas as in Waymo's description of its range images: row 0 is the topmost beam, columns run from azimuth +pi down to
-pi in the vehicle's axes, and a pixel may have a vehicle pose of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LaserCalibration:
    """Mount of a laser and inclinations of its beams.

    Attributes:
        vehicle_SE3_laser: float64 [4, 4].
        inclinations: float64 [H], radians, from the lowest beam up, or None if they are evenly spaced.
        inclination_range: lowest and highest edge of the image, radians, for evenly spaced beams.
    """

    vehicle_SE3_laser: NDArray[np.float64]
    inclinations: NDArray[np.float64] | None
    inclination_range: tuple[float, float]

    def row_inclinations(self, height: int) -> NDArray[np.float64]:
        """Return the inclination of each row, radians, float64 [height], top row first.

        Raises ValueError where the calibration lists another number of beams.
        """
        if self.inclinations is None:
            low, high = self.inclination_range
            return (low + (np.arange(height) + 0.5) / height * (high - low))[::-1]
        if len(self.inclinations) != height:
            raise ValueError(f"{len(self.inclinations)} beam inclinations for {height} rows")
        return self.inclinations[::-1]


def vehicle_points(
    range_m: NDArray[np.float32],
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    shape: tuple[int, int],
    calibration: LaserCalibration,
) -> NDArray[np.float64]:
    """Compute the points of returns in the vehicle frame as if the vehicle stood still, float64 [N, 3], metres.

    Args:
        range_m: distance from the laser, metres, [N].
        row: row of each return in the range image, [N].
        column: column of each return, [N].
        shape: height and width of the range image.
        calibration: of the laser.

    Raises:
        ValueError: the calibration lists another number of beams than the image has rows.
    """
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


def undo_motion(
    xyz_vehicle: NDArray[np.float64],
    mount: NDArray[np.float64],
    pixel_pose: NDArray[np.floating],
    world_SE3_vehicle: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform returns from the vehicle frame at their own times to the vehicle frame at the sweep's time.

    Args:
        xyz_vehicle: [N, 3], metres, vehicle frame at the pixel's time.
        mount: [3], metres, position of the laser in the vehicle frame.
        pixel_pose: [N, 6], world from vehicle at the pixel's time: roll, pitch, yaw, x, y, z.
        world_SE3_vehicle: float64 [4, 4], at the sweep's time.

    Returns:
        The points and the origins of their rays, both float64 [N, 3], metres.
    """
    world_R_vehicle = world_SE3_vehicle[:3, :3]
    world_R_pixel = rotations(pixel_pose[:, :3])
    # World coordinates reach kilometres: subtract first, in float64.
    offset = pixel_pose[:, 3:].astype(np.float64) - world_SE3_vehicle[:3, 3]
    points = (np.einsum("nij,nj->ni", world_R_pixel, xyz_vehicle) + offset) @ world_R_vehicle
    origins = (world_R_pixel @ mount + offset) @ world_R_vehicle
    return points, origins


def rotations(roll_pitch_yaw: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute rotation matrices Rz(yaw) Ry(pitch) Rx(roll), float64 [N, 3, 3], of angles [N, 3] in radians."""
    angles = roll_pitch_yaw.astype(np.float64)
    (sr, sp, sy), (cr, cp, cy) = np.sin(angles).T, np.cos(angles).T
    flat = [
        *(cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        *(sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        *(-sp, cp * sr, cp * cr),
    ]
    return np.stack(flat, axis=1).reshape(-1, 3, 3)
