"""Transforms in a bag: fixed ones, those that change, and odometry; and the poses of a frame by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import is_rigid
from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.base.text import one_line

_TF: Final = "tf2_msgs/msg/TFMessage"
_ODOMETRY: Final = "nav_msgs/msg/Odometry"
_MOST_LINKS: Final = 32

Series = dict[int, NDArray[np.float64]]


@dataclass(frozen=True)
class Transforms:
    """Transforms from a frame to its parent, by the frame's name: one, or several by time in ns.

    ``odometry`` are poses of a frame in another that tf does not link.
    """

    source: str
    fixed: dict[str, tuple[str, NDArray[np.float64]]]
    moving: dict[str, tuple[str, Series]]
    odometry: dict[str, tuple[str, Series]]

    def track(self, frame: str) -> Track | None:
        """Return the poses of a frame in the nearest one above it that it moves in; None where there is none."""
        above_SE3_frame = np.eye(4)
        for _ in range(_MOST_LINKS):
            series = self.moving.get(frame) or self.odometry.get(frame)
            if series is not None:
                return self._track(series, above_SE3_frame)
            if frame not in self.fixed:
                return None
            frame, parent_SE3_frame = self.fixed[frame]
            above_SE3_frame = parent_SE3_frame @ above_SE3_frame
        return None

    def between(self, destination: str, frame: str) -> NDArray[np.float64]:
        """Return the transform from a frame to another that is fixed to it. Raises UserError where none is known."""
        mine, theirs = self._chain(frame), self._chain(destination)
        common = next((name for name in mine if name in theirs), None)
        if common is None:
            raise UserError(
                f"{self.source}: tf does not link {one_line(frame)} to {one_line(destination)}; expected fixed "
                "transforms between LiDARs whose topics are merged"
            )
        return inverse(theirs[common]) @ mine[common]

    def _chain(self, frame: str) -> dict[str, NDArray[np.float64]]:
        """Return the frames that a frame is fixed to, upwards, and the transforms to them."""
        found = {frame: np.eye(4)}
        while frame in self.fixed and len(found) < _MOST_LINKS and self.fixed[frame][0] not in found:
            parent, parent_SE3_frame = self.fixed[frame]
            found[parent] = parent_SE3_frame @ found[frame]
            frame = parent
        return found

    def _track(self, series: tuple[str, Series], mount: NDArray[np.float64]) -> Track:
        times = sorted(series[1])
        poses = np.array([series[1][time] for time in times])
        good = is_rigid(poses)
        if not good.any():
            raise UserError(f"{self.source}: no transform to {one_line(series[0])} is a rotation and translation")
        return Track(np.array(times, np.int64)[good], poses[good] @ mount, f"{self.source}: {one_line(series[0])}")


def read_transforms(source: str, bag: Any) -> Transforms:
    """Read the transforms and odometry of an open bag; those whose header has no time are fixed."""
    fixed: dict[str, tuple[str, NDArray[np.float64]]] = {}
    moving: dict[str, tuple[str, Series]] = {}
    odometry: dict[str, tuple[str, Series]] = {}
    wanted = [connection for connection in bag.connections if connection.msgtype in (_TF, _ODOMETRY)]
    for connection, _, raw in bag.messages(wanted) if wanted else ():
        message = bag.deserialize(raw, connection.msgtype)
        if connection.msgtype == _ODOMETRY:
            pose = message.pose.pose
            _add(odometry, message, _matrix(pose.position, pose.orientation))
            continue
        for transform in message.transforms:
            matrix = _matrix(transform.transform.translation, transform.transform.rotation)
            if connection.topic.endswith("tf_static"):
                fixed[_name(transform.child_frame_id)] = (_name(transform.header.frame_id), matrix)
            else:
                _add(moving, transform, matrix)
    return Transforms(source, fixed, moving, odometry)


def _add(series: dict[str, tuple[str, Series]], message: Any, matrix: NDArray[np.float64]) -> None:
    stamp = message.header.stamp
    child, parent = _name(message.child_frame_id), _name(message.header.frame_id)
    series.setdefault(child, (parent, {}))[1][int(stamp.sec) * 10**9 + int(stamp.nanosec)] = matrix


def _name(frame: object) -> str:
    return str(frame).lstrip("/")


def _matrix(translation: Any, rotation: Any) -> NDArray[np.float64]:
    """Return a transform; NaN where the quaternion is no unit one."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    quaternion = np.array([rotation.x, rotation.y, rotation.z, rotation.w], dtype=np.float64)
    length = np.linalg.norm(quaternion)
    sound = np.isfinite(length) and abs(length - 1) < 1e-2
    matrix[:3, :3] = Rotation.from_quat(quaternion).as_matrix() if sound else np.nan
    matrix[:3, 3] = [translation.x, translation.y, translation.z]
    return matrix
