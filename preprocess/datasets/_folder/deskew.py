"""Move the points of a sweep to where they are at one time, by the sensor's motion during the sweep."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.shared.base.geometry import inverse

_KNOTS: Final = 9  # of the motion during a sweep; between them it is straight


def deskew(xyz: NDArray[np.float64], offset_s: NDArray[np.float64], track: Track, sweep_ns: int) -> NDArray[np.float64]:
    """Move points to the sensor's frame at a sweep's time.

    Args:
        xyz: float64 [N, 3], metres, each in the sensor's frame at its own time.
        offset_s: float64 [N], seconds from the sweep's time to each point's; NaN for none.
        track: poses of the sensor.
        sweep_ns: time of the sweep.

    Returns:
        the points in that frame, float64 [N, 3].
    """
    from scipy.spatial.transform import Rotation

    offset_s = np.clip(np.nan_to_num(offset_s), -1.0, 1.0)
    knots_s = np.linspace(offset_s.min(initial=0), offset_s.max(initial=0), _KNOTS)
    if knots_s[-1] == knots_s[0]:
        return xyz
    poses = track.at(np.array([sweep_ns, *(sweep_ns + np.round(knots_s * 1e9).astype(np.int64))], np.int64))
    then = inverse(poses[0]) @ poses[1:]
    turn = Rotation.from_matrix(then[:, :3, :3]).as_rotvec()
    turns = np.stack([np.interp(offset_s, knots_s, turn[:, axis]) for axis in range(3)], axis=1)
    moved = np.stack([np.interp(offset_s, knots_s, then[:, axis, 3]) for axis in range(3)], axis=1)
    found: NDArray[np.float64] = Rotation.from_rotvec(turns).apply(xyz) + moved
    return found
