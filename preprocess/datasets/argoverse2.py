"""Argoverse 2 sensor logs: ``sensor/{train,val,test}/LOG/sensors/lidar/TIMESTAMP_NS.feather``, read without its devkit.

A file contains the returns of two stacked 32-beam LiDARs, x, y, z in the vehicle frame, motion-compensated to the
sweep's timestamp, the start of the sweep. Here the axes stay the vehicle's and the origin moves to ``up_lidar``. x, y,
z are float16: their resolution is 3 cm from 32 m on, 6 cm from 64 m on, 12 cm from 128 m on, along each axis. Intensity
is uint8, divided by 255. There are no point labels.

Laser numbers 0 to 31 are ``up_lidar``, 32 to 63 ``down_lidar``. This is in issue 82 of av2-api, not on the dataset's
pages, and a real log confirms it: seen from its own LiDAR in the vehicle's pose at ``offset_ns``, a laser's elevation
is that of the VLP-32C's data sheet and varies by 0.003 degrees; seen from the other LiDAR, by 0.05. With the LiDARs'
positions at the timestamp instead it varies more (0.005 at 0.7 m/s), so a ray's origin is the position of its LiDAR
when it fired: at 15 m/s up to 1.5 m from that at the timestamp. Without calibration, nominal positions are used, which
are off by a few centimetres as far as known: this moves the origin and the rays a little, no point relative to another,
and is no problem to stop for.

The Argoverse 2 Lidar dataset (20,000 logs without boxes) is documented to have the same layout below ``lidar``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import (
    MAX_M,
    cached_per_file,
    check_times,
    describe_folder,
    existing,
    numbered_files,
    visible_files,
)
from iscc_lidar.preprocess.datasets._problems import Rows, collect_problems
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import regular
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.layouts.argoverse2 import LAYOUT

if TYPE_CHECKING:  # imported where files are read, so that listing the datasets stays fast
    import pyarrow as pa

_SPLITS: Final = ("train", "val", "test")
_POSE_FILE: Final = "city_SE3_egovehicle.feather"
_CALIBRATION_FILE: Final = "calibration/egovehicle_SE3_sensor.feather"
_LIDARS: Final = ("up_lidar", "down_lidar")
_BEAMS: Final = 32  # of each LiDAR

# Positions of both LiDARs, metres, vehicle frame, used without calibration: those of one log, rounded to a centimetre.
# The few published ones agree to 4 cm.
_NOMINAL_XYZ_M: Final = ((1.35, 0.0, 1.64), (1.35, 0.0, 1.53))

_POSE_COLUMNS: Final = ("qx", "qy", "qz", "qw", "tx_m", "ty_m", "tz_m")
_EXPECTED_POSE: Final = "expected finite metres, and a unit quaternion in qw, qx, qy, qz; fetch the file again"
_SWEEP_NS: Final = 110_000_000  # from a sweep's time to its last return
_MAX_GAP_NS: Final = 50_000_000
_WHOLE_NUMBERS: Final = frozenset({"timestamp_ns", "intensity", "laser_number", "offset_ns"})
_POINT_COLUMNS: Final = ("x", "y", "z", "intensity", "laser_number", "offset_ns")


@dataclass(frozen=True)
class Argoverse2:
    """Logs below ``root`` (the folder that contains ``train``, ``val`` and ``test``). A log is a sequence."""

    root: Path
    name: str = "argoverse2"
    class_names: tuple[str, ...] = LAYOUT.class_names

    def sequences(self) -> tuple[str, ...]:
        """List the ids of the logs that contain sweeps, sorted."""
        return tuple(_logs(self.root))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return train, val and test, by the folders of the logs."""
        logs = _logs(self.root).items()
        return {split: tuple(log for log, folder in logs if folder.parent.name == split) for split in _SPLITS}

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the timestamps of the sweeps of a log, nanoseconds, in order."""
        return _sweep_names(_log(self.root, sequence))

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files that the sweep depends on, as far as they exist."""
        folder = _log(self.root, sequence)
        points = _points_file(folder, self.sweep_names(sequence)[index])
        return existing((points, folder / _POSE_FILE, folder / _CALIBRATION_FILE))

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find missing poses, sweeps without a pose, damaged tables, and files that are no sweep by their footer."""
        try:
            folder = _log(self.root, sequence)
        except UserError as error:
            yield DataProblem(str(error))
            return
        names: tuple[str, ...] = ()
        try:
            names = _sweep_names(folder)
        except UserError as error:
            yield DataProblem(str(error))
        of_sequence = (
            functools.partial(_lidar_xyz, folder / _CALIBRATION_FILE),
            functools.partial(_read_poses, folder / _POSE_FILE),
        )
        of_sweep = (functools.partial(_check_points, folder), functools.partial(_check_pose, folder))
        yield from collect_problems(of_sequence, names, of_sweep)
        with suppress(UserError):  # of the file, which is reported above
            yield from _unused_rows(_read_poses(folder / _POSE_FILE), [int(name) for name in names])

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position in the log. Raises UserError for damaged or missing files."""
        folder = _log(self.root, sequence)
        name = self.sweep_names(sequence)[index]
        path = _points_file(folder, name)
        points = _read_columns(path, _POINT_COLUMNS)
        if points["intensity"].max(initial=0) > 255 or points["intensity"].min(initial=0) < 0:
            raise UserError(f"{path}: intensity is not from 0 to 255; fetch the file again")
        poses = _read_poses(folder / _POSE_FILE)
        row = _pose_row(folder / _POSE_FILE, poses, int(name))
        lidar_xyz_ego = _lidar_xyz(folder / _CALIBRATION_FILE)
        ego_SE3_sensor = np.eye(4)
        ego_SE3_sensor[:3, 3] = lidar_xyz_ego[0]
        return Sweep(
            sequence=sequence,
            name=name,
            timestamp_ns=int(name),
            xyz=_xyz(points, lidar_xyz_ego[0]),
            intensity=points["intensity"].astype(np.float32) / np.float32(255),
            origin=_origins(points["laser_number"], points["offset_ns"], lidar_xyz_ego, poses, row),
            world_SE3_sensor=poses.city_SE3_ego[row] @ ego_SE3_sensor,
        )


@dataclass(frozen=True)
class _Poses:
    """Poses of a log, in order of time.

    Attributes:
        timestamp_ns: of the good rows, int64 [P] nanoseconds.
        city_SE3_ego: of the good rows, float64 [P, 4, 4].
        rows: number of each good row in these arrays by its time, and what is wrong with the others.
        torn_ns: times of the faulty rows between good ones that are too far apart to interpolate, int64 [F].
    """

    timestamp_ns: NDArray[np.int64]
    city_SE3_ego: NDArray[np.float64]
    rows: Rows[int, int]
    torn_ns: NDArray[np.int64]


def open_dataset(root: Path) -> Argoverse2:
    """Open the logs below ``root``, or below ``root/sensor``. Raises UserError where no log with sweeps is found."""
    for candidate in (root, root / "sensor", root / "lidar"):
        dataset = Argoverse2(candidate)
        if dataset.sequences():
            return dataset
    raise UserError(
        f"{root}: looked for sensor/{{train,val,test}}/LOG/sensors/lidar and found: {describe_folder(root)}. "
        "Pass the folder that contains 'sensor', or 'sensor' itself, as --root (ROOT= with make)"
    )


def _points_file(folder: Path, name: str) -> Path:
    return folder / "sensors" / "lidar" / f"{name}.feather"


@functools.lru_cache(maxsize=8)
def _logs(root: Path) -> dict[str, Path]:
    folders = (folder for split in _SPLITS for folder in visible_files(root / split, "*"))
    logs: dict[str, Path] = {}
    for folder in sorted((f for f in folders if (f / "sensors" / "lidar").is_dir()), key=lambda folder: folder.name):
        if folder.name in logs:
            raise UserError(f"{logs[folder.name]} and {folder}: two logs of one name; remove one of them")
        logs[folder.name] = folder
    return logs


def _log(root: Path, sequence: str) -> Path:
    try:
        return _logs(root)[sequence]
    except KeyError:
        raise UserError(f"{root}: no log {sequence} with sensors/lidar in train, val or test") from None


@functools.lru_cache(maxsize=256)
def _sweep_names(folder: Path) -> tuple[str, ...]:
    return numbered_files(folder / "sensors" / "lidar", ".feather", "a timestamp in nanoseconds")


def _xyz(points: dict[str, NDArray[Any]], up_xyz_ego: NDArray[np.float64]) -> NDArray[np.float32]:
    """Move the origin of points to up_lidar, float32 [N, 3]; invalid points, exactly zero, stay zero."""
    xyz = np.stack([points[name] for name in "xyz"], axis=1).astype(np.float32)
    invalid = (xyz == 0).all(axis=1)
    xyz -= up_xyz_ego.astype(np.float32)
    xyz[invalid] = 0
    return xyz


def _origins(
    laser: NDArray[Any],
    offset_ns: NDArray[Any],
    lidar_xyz_ego: NDArray[np.float64],
    poses: _Poses,
    row: int,
) -> NDArray[np.float32]:
    """Compute the position of each return's LiDAR when it fired, float32 [N, 3], in the frame of pose number ``row``.

    Positions are interpolated linearly between poses, 5 ms apart, and constant before the first and after the last.
    Where rows are faulty, between the good ones around them: at 5 m/s2, 50 ms apart, that moves an origin by 1.6 mm.
    """
    elapsed_ns = poses.timestamp_ns - poses.timestamp_ns[row]
    start = int(np.searchsorted(elapsed_ns, offset_ns.min(initial=0), side="right")) - 1
    stop = int(np.searchsorted(elapsed_ns, offset_ns.max(initial=0))) + 1
    near = slice(max(start, 0), stop)
    ego_SE3_then = inverse(poses.city_SE3_ego[row]) @ poses.city_SE3_ego[near]
    origin = np.empty((len(laser), 3), dtype=np.float32)
    for lidar, mine in enumerate((laser < _BEAMS, laser >= _BEAMS)):
        track = ego_SE3_then[:, :3, :3] @ lidar_xyz_ego[lidar] + ego_SE3_then[:, :3, 3] - lidar_xyz_ego[0]
        when = offset_ns[mine]
        origin[mine] = np.stack([np.interp(when, elapsed_ns[near], track[:, axis]) for axis in range(3)], axis=1)
    return origin


def _pose_row(path: Path, poses: _Poses, timestamp_ns: int) -> int:
    """Return the number of a sweep's pose. Raises UserError without a good one, or too few during the sweep."""
    if timestamp_ns not in poses.rows:
        raise UserError(
            f"{path}: no row with timestamp_ns {timestamp_ns}, so that sweep has no pose; "
            "fetch the file again, or remove the sweep"
        )
    row = poses.rows[timestamp_ns]
    for torn in _torn_during(poses, timestamp_ns):
        _ = poses.rows[torn]  # raises
    return row


def _torn_during(poses: _Poses, timestamp_ns: int) -> list[int]:
    """Return the times of rows that a sweep's rays need, that are faulty and cannot be interpolated."""
    later = poses.torn_ns - timestamp_ns
    times: list[int] = poses.torn_ns[(later >= 0) & (later <= _SWEEP_NS)].tolist()
    return times


def _unused_rows(poses: _Poses, times: list[int]) -> Iterator[DataProblem]:
    """Describe the faulty rows if no sweep fails for them."""
    if not any(time in poses.rows.faults or _torn_during(poses, time) for time in times):
        yield from poses.rows.problems(times)


@cached_per_file
def _read_poses(path: Path) -> _Poses:
    if not path.exists():
        raise UserError(f"{path}: missing; sweeps cannot be stacked without poses. It comes with each log, fetch it")
    columns = _read_columns(path, ("timestamp_ns", *_POSE_COLUMNS))
    order = np.argsort(columns["timestamp_ns"], kind="stable")
    times = columns["timestamp_ns"][order].astype(np.int64)
    check_times(times, lambda row: f"{path}: the pose of {times[row]}")
    matrices, good = _matrices(columns)
    good = good[order]
    numbers = {time: number for number, time in enumerate(times[good].tolist())}
    faults = {time: f"{path}: the pose of {time}: {_EXPECTED_POSE}" for time in times[~good].tolist()}
    return _Poses(times[good], matrices[order][good], Rows(numbers, faults), _torn(times, good))


def _torn(times: NDArray[np.int64], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the times of the faulty rows whose nearest good rows before and after are too far apart."""
    if good.all():
        return times[:0]
    after = np.searchsorted(times[good], times[~good])
    bounds = np.concatenate([[np.iinfo(np.int64).min // 2], times[good], [np.iinfo(np.int64).max // 2]])
    torn: NDArray[np.int64] = times[~good][bounds[after + 1] - bounds[after] > _MAX_GAP_NS]
    return torn


@cached_per_file
def _lidar_xyz(path: Path) -> NDArray[np.float64]:
    """Read the positions of up_lidar and down_lidar in the vehicle frame, float64 [2, 3], metres."""
    if not path.exists():
        return np.array(_NOMINAL_XYZ_M)
    columns = _read_columns(path, ("sensor_name", *_POSE_COLUMNS))
    rows = {str(name): row for row, name in enumerate(columns["sensor_name"])}
    missing = [name for name in _LIDARS if name not in rows]
    if missing:
        raise UserError(f"{path}: no row for {missing[0]} (it has {', '.join(rows) or 'none'}); fetch the file again")
    matrices, good = _matrices(columns)
    if not good.all():
        raise UserError(f"{path}: {_EXPECTED_POSE}")
    positions: NDArray[np.float64] = matrices[[rows[name] for name in _LIDARS], :3, 3]
    return positions


def _matrices(columns: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Convert rows of quaternions (normalised here) and translations to rigid transforms [P, 4, 4].

    Also returns which rows are good, bool [P]; the transforms of the others are meaningless.
    """
    from scipy.spatial.transform import Rotation

    rows = np.stack([columns[name].astype(np.float64) for name in _POSE_COLUMNS], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.linalg.norm(rows[:, :4], axis=1)
        good: NDArray[np.bool_] = (np.abs(rows) < MAX_M).all(axis=1) & (np.abs(norm - 1) < 1e-3)
    matrices = np.tile(np.eye(4), (len(rows), 1, 1))
    if good.any():
        matrices[good, :3, :3] = Rotation.from_quat(rows[good, :4]).as_matrix()
    matrices[:, :3, 3] = rows[:, 4:]
    return matrices, good


def _check_pose(folder: Path, name: str) -> None:
    _pose_row(folder / _POSE_FILE, _read_poses(folder / _POSE_FILE), int(name))


def _check_points(folder: Path, name: str) -> None:
    """Raise UserError where a sweep's file's footer is cut off or has not the expected columns."""
    import pyarrow as pa

    path = _points_file(folder, name)
    try:
        with pa.OSFile(str(regular(path))) as file:
            _check_columns(path, pa.ipc.open_file(file).schema, _POINT_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None


def _read_columns(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read columns as arrays. Raises UserError for a damaged file and empty values; in poses those are NaN."""
    import pyarrow as pa
    from pyarrow import feather

    try:
        table = feather.read_table(regular(path), use_threads=False, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    _check_columns(path, table.schema, names)
    empty = [name for name in names if table[name].null_count and name not in _POSE_COLUMNS]
    if empty:
        raise UserError(f"{path}: column {empty[0]} has empty values; fetch the file again")
    try:
        return {name: table[name].to_numpy() for name in names}
    except ValueError as error:  # text that is not UTF-8
        raise _damaged(path, error) from None


def _check_columns(path: Path, schema: pa.Schema, expected: tuple[str, ...]) -> None:
    import pyarrow as pa

    missing = [name for name in expected if name not in schema.names]
    if missing:
        found = ", ".join(schema.names)
        raise UserError(f"{path}: no column {', '.join(missing)} (it has {found or 'none'}); fetch it again")
    for name in expected:
        if len(schema.get_all_field_indices(name)) > 1:
            raise UserError(f"{path}: has two columns {name}; fetch the file again")
        of_type = schema.field(name).type
        if name == "sensor_name":
            fits, wanted = pa.types.is_string(of_type) or pa.types.is_large_string(of_type), "text"
        else:
            wanted = "whole numbers" if name in _WHOLE_NUMBERS else "numbers"
            fits = pa.types.is_integer(of_type) or (pa.types.is_floating(of_type) and wanted == "numbers")
        if not fits:
            raise UserError(f"{path}: column {name} has type {of_type}, expected {wanted}; fetch the file again")


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a readable feather file, probably cut short ({error}); fetch it again")
