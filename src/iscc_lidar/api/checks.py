"""Check points and poses where they enter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.data_schemas.sweep import FARTHEST_POSE_M, is_rigid
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import counted

INTENSITY: Final = "0..1"
"""Range of the intensity that every function expects."""
_FARTHEST_M: Final = 10_000.0
_COLUMNS: Final = "float32 [N, 4]: x, y, z in metres in the sensor's frame, and intensity 0..1"


def check_list(sweeps: object, name: str) -> Sequence[object]:
    """Return a list of sweeps. Raises UserError for anything else, and an empty one."""
    if not isinstance(sweeps, list | tuple):
        raise UserError(f"{name}: is a {type(sweeps).__name__}, expected a list of arrays, one per sweep")
    if not sweeps:
        raise UserError(f"{name}: the list is empty, expected a sweep at least")
    return sweeps


def check_path(found: object, name: str) -> Path:
    """Return a path. Raises UserError for anything but a text or a path; ``name`` is the argument, for messages."""
    if not isinstance(found, str | Path):
        raise UserError(f"{name}: is a {type(found).__name__}, expected a path or a name")
    return Path(found)


def check_points(found: object, name: str) -> NDArray[np.float32]:
    """Return the points of a sweep, float32 [N, 4]; ``name`` is the argument, for messages.

    Raises UserError for another type, shape or dtype, and numbers that are not finite, beyond any range, or of an
    intensity beyond 0..1.
    """
    if not isinstance(found, np.ndarray):
        raise UserError(f"{name}: is a {type(found).__name__}, expected an array or a tensor, {_COLUMNS}")
    if found.ndim != 2 or found.shape[1] != 4:
        fix = "; without an intensity, add a column of zeros" if found.ndim == 2 and found.shape[1] == 3 else ""
        raise UserError(f"{name}: its shape is {list(found.shape)}, expected {_COLUMNS}{fix}")
    if found.dtype != np.float32:
        raise UserError(f"{name}: its dtype is {found.dtype}, expected {_COLUMNS}; convert it by .astype(np.float32)")
    if len(found):
        _check_numbers(found, name)
    return found


def _check_numbers(points: NDArray[np.float32], name: str) -> None:
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{name}: {np.count_nonzero(~finite)} of {len(points)} points are not finite (NaN or infinite), the first "
            f"in row {int(np.argmin(finite))}; remove these rows, or set them to 0, which marks a point as invalid"
        )
    farthest, low, high = float(np.abs(points[:, :3]).max()), float(points[:, 3].min()), float(points[:, 3].max())
    if farthest > _FARTHEST_M:
        raise UserError(
            f"{name}: a coordinate is {farthest:.6g} m, expected metres in the sensor's frame, within "
            f"{_FARTHEST_M:g}; convert millimetres, or subtract the sensor's position"
        )
    if low < 0 or high > 1:
        fix = "; divide it by 255" if low >= 0 and 1 < high <= 255 else "; scale it"
        raise UserError(f"{name}: its intensity (column 3) is {low:.6g} to {high:.6g}, expected {INTENSITY}{fix}")


def check_poses(poses: object, sweeps: int) -> list[NDArray[np.float64]]:
    """Return one pose per sweep, each float64 [4, 4].

    Raises UserError for another number of them, type, shape or dtype, and for matrices that are not rigid.
    """
    if not isinstance(poses, list | tuple | np.ndarray):
        raise UserError(f"poses: is a {type(poses).__name__}, expected a list of float64 [4, 4], one per sweep")
    if len(poses) != sweeps:
        raise UserError(
            f"poses: has {counted(len(poses), 'pose')} for {counted(sweeps, 'sweep')}, expected one per sweep"
        )
    return [_check_pose(pose, f"poses[{index}]") for index, pose in enumerate(poses)]


def _check_pose(pose: object, name: str) -> NDArray[np.float64]:
    if not isinstance(pose, np.ndarray) or pose.shape != (4, 4) or pose.dtype != np.float64:
        found = f"{pose.dtype} {list(pose.shape)}" if isinstance(pose, np.ndarray) else f"a {type(pose).__name__}"
        raise UserError(
            f"{name}: is {found}, expected an array float64 [4, 4] that takes the sensor's frame to a fixed one"
        )
    if not np.abs(pose).max() <= FARTHEST_POSE_M:  # NaN too
        raise UserError(f"{name}: has numbers that are not finite or beyond {FARTHEST_POSE_M:g} m; check the poses")
    if not is_rigid(pose):
        raise UserError(
            f"{name}: is not rigid; expected a rotation in [:3, :3], metres in [:3, 3] and the last row 0, 0, 0, 1"
        )
    return pose


def check_labels(labels: object, sweeps: Sequence[NDArray[np.float32]]) -> list[NDArray[np.int32]]:
    """Return the labels of sweeps, int32 [N] each; those of invalid points are set to "not considered".

    Raises UserError for another number of them, type, shape or dtype.
    """
    found = check_list(labels, "labels")
    if len(found) != len(sweeps):
        raise UserError(f"labels: has {len(found)} arrays for {counted(len(sweeps), 'sweep')}, expected one per sweep")
    checked: list[NDArray[np.int32]] = []
    for index, (label, points) in enumerate(zip(found, sweeps, strict=True)):
        if not isinstance(label, np.ndarray) or label.dtype != np.int32 or label.shape != (len(points),):
            is_ = f"{label.dtype} {list(label.shape)}" if isinstance(label, np.ndarray) else f"a {type(label).__name__}"
            raise UserError(f"labels[{index}]: is {is_}, expected an array int32 [{len(points)}], one for each point")
        checked.append(np.where(points[:, :3].any(axis=1), label, NOT_CONSIDERED).astype(np.int32))
    return checked
