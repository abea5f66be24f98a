"""Poses from the GPS/IMU packets (oxts) of KITTI's raw recordings, computed as in the raw data development kit.

A file contains one line of 30 values, of which the first six are latitude and longitude in degrees, altitude in metres,
and roll, pitch and yaw in radians (yaw 0 is east, counter-clockwise is positive).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import MAX_M, missing_path
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_text
from iscc_lidar.shared.base.geometry import euler_rotation

VALUES: Final = 30
_MAX_DEG: Final = 360.0
EARTH_RADIUS_M: Final = 6_378_137.0  # as in the development kit: at the equator of WGS 84


def read_packet(path: Path) -> NDArray[np.float64]:
    """Read a packet: float64 [30], finite. Raises UserError where it is missing or malformed."""
    try:
        values = np.array(read_text(path).split(), dtype=np.float64)
    except OSError:
        raise UserError(
            f"{missing_path(path)}: missing; the sweep's pose is computed from it. It comes with the drive's "
            "'synced+rectified data' archive"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: expected {VALUES} numbers: {error}; fetch the file again") from None
    if values.shape != (VALUES,) or not np.isfinite(values).all():
        raise UserError(f"{path}: expected {VALUES} finite numbers, found {len(values)} values; fetch the file again")
    if (np.abs(values[:3]) > (_MAX_DEG, _MAX_DEG, MAX_M)).any():
        raise UserError(f"{path}: expected degrees and metres first, found {values[:3].tolist()}; fetch the file again")
    return values


def mercator_scale(first: NDArray[np.float64]) -> float:
    """Return the scale of a drive's map, cos(latitude) of its first packet, where a map unit is a metre."""
    return float(np.cos(np.radians(first[0])))


def map_SE3_imu(packet: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the pose of the IMU (x forward, y left, z up) on the Mercator map (east, north, up): [4, 4], metres."""
    latitude, longitude = np.radians(packet[:2])
    pose = np.eye(4)
    pose[:3, :3] = euler_rotation(*packet[3:6])
    pose[0, 3] = scale * EARTH_RADIUS_M * longitude
    pose[1, 3] = scale * EARTH_RADIUS_M * np.log(np.tan(np.pi / 4 + latitude / 2))
    pose[2, 3] = packet[2]
    return pose
