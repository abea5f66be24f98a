"""Poses from the GPS/IMU packets (oxts) of KITTI's raw recordings, as the raw data development kit makes them.

A file holds one line of 30 values, of which the first six are latitude and longitude in degrees,
altitude in metres, and roll, pitch and yaw in radians (yaw 0 is east, counter-clockwise is positive).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import first_missing
from iscc_lidar.shared.base.errors import UserError

VALUES: Final = 30
EARTH_RADIUS_M: Final = 6_378_137.0  # of the development kit: WGS 84's equator


def read_packet(path: Path) -> NDArray[np.float64]:
    """Read a packet: float64 [30], finite. Raises UserError where it is missing or something else."""
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
    except OSError:
        raise UserError(
            f"{first_missing(path)}: missing; the sweep's pose is made from it. It comes with the drive's "
            "'synced+rectified data' archive"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: expected {VALUES} numbers: {error}") from None
    if values.shape != (VALUES,) or not np.isfinite(values).all():
        raise UserError(f"{path}: expected {VALUES} finite numbers, found {len(values)} values; fetch the file again")
    return values


def mercator_scale(first: NDArray[np.float64]) -> float:
    """Scale of a drive's map, cos(latitude) of its first packet: there a map unit is a metre."""
    return float(np.cos(np.radians(first[0])))


def map_SE3_imu(packet: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Pose of the IMU (x forward, y left, z up) on the Mercator map (east, north, up): float64 [4, 4], metres."""
    latitude, longitude = np.radians(packet[:2])
    pose = np.eye(4)
    pose[:3, :3] = _rotation(*packet[3:6])
    pose[0, 3] = scale * EARTH_RADIUS_M * longitude
    pose[1, 3] = scale * EARTH_RADIUS_M * np.log(np.tan(np.pi / 4 + latitude / 2))
    pose[2, 3] = packet[2]
    return pose


def _rotation(roll: float, pitch: float, yaw: float) -> NDArray[np.float64]:
    """Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = about_z @ about_y @ about_x
    return rotation
