"""Poses of a sensor through time, from files in KITTI's or TUM's format."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import (
    cached_per_file,
    check_rigid,
    check_times,
    is_rigid,
    not_rigid,
    to_transform,
    to_transforms,
)
from iscc_lidar.preprocess.datasets._folder.times import Times
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines, version
from iscc_lidar.shared.base.geometry import inverse

_MAX_GAP_NS: Final = 1_000_000_000  # between poses that are interpolated, and beyond the first and the last
_KITTI: Final = 12
_TUM: Final = 8


@dataclass(frozen=True)
class Track:
    """Poses at times: ``ns`` rise, int64 [P]; ``world_SE3_sensor`` float64 [P, 4, 4]; ``source`` is named in errors.

    ``by_position``: pose k is that of sweep k, whatever the times.
    """

    ns: NDArray[np.int64]
    world_SE3_sensor: NDArray[np.float64]
    source: str
    by_position: bool = False

    def at(self, ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Interpolate poses, float64 [K, 4, 4], at times [K]; before the first and after the last the motion goes on.

        Raises UserError for a time farther than a second from a pose, or between poses more than two seconds apart.
        """
        after = np.clip(np.searchsorted(self.ns, ns), 1, max(len(self.ns) - 1, 1))
        before = after - 1
        after = np.minimum(after, len(self.ns) - 1)
        nearest = np.minimum(np.abs(self.ns[before] - ns), np.abs(self.ns[after] - ns))
        if (nearest > _MAX_GAP_NS).any():
            far = int(ns[np.argmax(nearest)])
            raise UserError(
                f"{self.source}: has no pose within a second of {far / 1e9:.3f} s (it has {self.ns[0] / 1e9:.3f} to "
                f"{self.ns[-1] / 1e9:.3f} s); expected the same clock as the sweeps' times"
            )
        span = np.maximum(self.ns[after] - self.ns[before], 1)
        return _between(self.world_SE3_sensor[before], self.world_SE3_sensor[after], (ns - self.ns[before]) / span)


def _between(first: NDArray[np.float64], second: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate rigid transforms [K, 4, 4] with constant turning and speed: part 0 is the first, 1 the second."""
    from scipy.spatial.transform import Rotation

    found = first.copy()
    turn = Rotation.from_matrix(first[:, :3, :3].transpose(0, 2, 1) @ second[:, :3, :3]).as_rotvec()
    moving = part != 0
    found[moving, :3, :3] = first[moving, :3, :3] @ Rotation.from_rotvec(turn[moving] * part[moving, None]).as_matrix()
    found[:, :3, 3] += (second[:, :3, 3] - first[:, :3, 3]) * part[:, None]
    found[part == 1] = second[part == 1]
    return found


def read_track(path: Path, names: Sequence[str], times: Times) -> Track:
    """Read the poses of a sequence's sweeps, which have ``names`` and ``times``.

    Lines of 12 numbers (KITTI) are one pose per sweep, or per frame number if the sweeps are named by it; with a
    ``calib.txt`` next to them that has a row Tr they are of the camera. Lines of 8 (TUM) are seconds, position and
    quaternion x, y, z, w.

    Raises:
        UserError: lines of another form, another number of poses than sweeps, or poses at other times.
    """
    rows = _read_rows(path)
    if rows.shape[1] == _TUM:
        return _timed(path, rows, names, times)
    poses = to_transforms(rows)
    _require_rigid(path, poses)
    calibration = path.with_name("calib.txt")
    if calibration.is_file() and (camera_SE3_sensor := _read_tr(calibration)) is not None:
        poses = inverse(camera_SE3_sensor) @ poses @ camera_SE3_sensor
    ns = np.array(times.ns, np.int64)
    return Track(ns, poses[_lines(path, len(poses), names)], str(path), by_position=True)


def passed_file(poses: Path, sequence: str) -> Path | None:
    """Return the file of a sequence's poses by what was passed: itself, or SEQUENCE.tum or .txt in a folder."""
    if not poses.is_dir():
        return poses
    return next((file for suffix in (".tum", ".txt") if (file := poses / f"{sequence}{suffix}").is_file()), None)


def find_pose_file(folders: Sequence[Path], sequence: str) -> Path | None:
    """Find the file of a sequence's poses in its folders: poses.txt, NAME.tum, or poses/SEQUENCE.txt or .tum.

    Raises UserError for two such files in one folder.
    """
    for folder in folders:
        named = [folder / "poses.txt", *(folder / "poses" / f"{sequence}{suffix}" for suffix in (".txt", ".tum"))]
        found = [file for file in named if file.is_file()]
        found += _tum_files(folder, version(folder))
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]}: two files of poses; remove one, or pass --poses FILE")
        if found:
            return found[0]
    return None


@functools.lru_cache(maxsize=256)
def _tum_files(folder: Path, state: tuple[int, int, int, int]) -> list[Path]:
    """List the visible files *.tum of a folder, once for each of its states: this is asked for with every sweep."""
    return sorted(file for file in folder.glob("*.tum") if not file.name.startswith("."))


def _lines(path: Path, count: int, names: Sequence[str]) -> list[int]:
    """Return the line of each sweep's pose."""
    if count == len(names):
        return list(range(count))
    if all(name.isascii() and name.isdecimal() and int(name) < count for name in names):
        return [int(name) for name in names]
    raise UserError(
        f"{path}: has {count} poses, expected one for each of {len(names)} sweeps, or sweeps named by the line of "
        "their pose, from 0; or lines of 'seconds x y z qx qy qz qw'"
    )


def _timed(path: Path, rows: NDArray[np.float64], names: Sequence[str], times: Times) -> Track:
    """Return the poses of a file in TUM's format; by position where sweeps have no times of their own."""
    from scipy.spatial.transform import Rotation

    seconds = _read_seconds(path)
    check_times(seconds, lambda line: f"{path}: pose {line + 1}")
    norm = np.linalg.norm(rows[:, 4:], axis=1)
    if wrong := np.flatnonzero(~(np.abs(norm - 1) < 1e-2)).tolist():
        raise UserError(not_rigid(f"{path}: pose {wrong[0] + 1}"))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(rows[:, 4:]).as_matrix()
    poses[:, :3, 3] = rows[:, 1:4]
    _require_rigid(path, poses)
    near = not times.ns or abs(seconds[0] - times.ns[0]) <= _MAX_GAP_NS
    if times.nominal and not near and len(rows) == len(names):
        return Track(np.array(times.ns, np.int64), poses, str(path), by_position=True)
    return Track(np.array(seconds, np.int64), poses, str(path))


def _require_rigid(path: Path, poses: NDArray[np.float64]) -> None:
    if wrong := np.flatnonzero(~is_rigid(poses)).tolist():
        raise UserError(not_rigid(f"{path}: pose {wrong[0] + 1}"))


def _content(path: Path) -> list[list[str]]:
    """Return the words of the lines that are neither blank nor comments."""
    return [line.replace(",", " ").split() for line in read_lines(path) if line.strip() and not line.startswith("#")]


@cached_per_file
def _read_rows(path: Path) -> NDArray[np.float64]:
    """Read lines of 8 or 12 numbers. Raises UserError for others."""
    try:
        lines = _content(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected poses, one line for each sweep") from None
    widths = {len(line) for line in lines}
    if len(widths) != 1 or not widths <= {_KITTI, _TUM}:
        found = "no line" if not lines else f"lines of {', '.join(map(str, sorted(widths)[:4]))}"
        raise UserError(
            f"{path}: has {found}; expected 12 numbers in every line (KITTI), or 8: seconds x y z qx qy qz qw (TUM)"
        )
    try:
        return np.array(lines, dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected numbers alone") from None


@cached_per_file
def _read_seconds(path: Path) -> tuple[int, ...]:
    """Read the times of TUM's format as nanoseconds, which float64 does not resolve."""
    from decimal import Decimal, InvalidOperation

    try:
        found = [Decimal(line[0]) for line in _content(path)]
        if all(abs(second) < 9 * 10**9 for second in found):
            return tuple(int(second * 10**9) for second in found)
    except (InvalidOperation, ValueError):
        pass
    raise UserError(f"{path}: expected times in seconds in its first column")


@cached_per_file
def _read_tr(path: Path) -> NDArray[np.float64] | None:
    """Read camera_SE3_sensor from a row 'Tr:'; None where the file has none."""
    rows = [line.split(":", 1)[1].split() for line in read_lines(path) if line.startswith("Tr:")]
    if not rows:
        return None
    try:
        matrix = to_transform(rows[0])
    except ValueError:
        raise UserError(
            f"{path}: expected a row 'Tr:' with 12 numbers; remove the file if poses are the LiDAR's"
        ) from None
    check_rigid(matrix, f"{path}: Tr")
    return matrix


@functools.lru_cache(maxsize=64)
def cached_track(path: Path, version: tuple[int, ...], names: tuple[str, ...], times: Times) -> Track:
    """Read a track as ``read_track``, once for each ``version`` of its file."""
    return read_track(path, names, times)
