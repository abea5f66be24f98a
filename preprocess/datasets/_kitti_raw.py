"""Drives of KITTI's raw recordings, synced and rectified: ``ROOT/{date}/{date}_drive_{NNNN}_sync``.

Everything of a drive is joined by frame number, never by position: some frames have no sweep (177 to 180 of
2011_09_26_drive_0009), and their lines in ``timestamps.txt`` may be blank. Sweeps are not motion-compensated. The world
frame is that of the sensor at the drive's first GPS/IMU packet that can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import (
    cached_per_file,
    check_rigid,
    check_times,
    count_rows,
    existing,
    missing_path,
    numbered_files,
    read_kitti_points,
    visible_files,
)
from iscc_lidar.preprocess.datasets._oxts import map_SE3_imu, mercator_scale, read_packet
from iscc_lidar.preprocess.datasets._problems import collect_problems
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines
from iscc_lidar.shared.base.geometry import inverse

CALIBRATION: Final = "calib_imu_to_velo.txt"

_FRAME_NUMBER: Final = "a frame number, as in 0000000042,"
_DATE: Final = "[0-9][0-9][0-9][0-9]_[0-9][0-9]_[0-9][0-9]"
_read_packet = cached_per_file(read_packet)  # of the first one, which every sweep needs
_NEVER_RECORDED: Final = {"2011_09_26_drive_0009_sync": frozenset(range(177, 181))}


def drives(root: Path) -> tuple[str, ...]:
    """List the names of the drives that have a folder of sweeps, sorted."""
    return tuple(sorted(f.parents[1].name for f in root.glob(f"{_DATE}/{_DATE}_drive_*_sync/velodyne_points/data")))


def folder(root: Path, drive: str) -> Path:
    """Return the folder of a drive, in the folder of its date."""
    return root / drive[: len("2011_09_26")] / drive


@lru_cache(maxsize=256)
def sweep_names(drive: Path) -> tuple[str, ...]:
    """List the frame numbers of a drive's sweeps, in order. Raises UserError without sweeps, or for other names."""
    return numbered_files(drive / "velodyne_points" / "data", ".bin", _FRAME_NUMBER)


def input_files(drive: Path, name: str, *, posed: bool = True) -> tuple[Path, ...]:
    """Return the files that a sweep depends on, or all but those of its pose, as far as they exist."""
    files = [drive / "velodyne_points" / "data" / f"{name}.bin", _times_file(drive)]
    if posed:
        files += [drive / "oxts" / "data" / f"{name}.txt", *_origin_packets(drive), drive.parent / CALIBRATION]
    return existing(files)


def read(drive: Path, name: str, *, posed: bool = True) -> Sweep:
    """Read one sweep, its pose the identity unless ``posed``. Raises UserError for missing or damaged files."""
    xyz, intensity = read_kitti_points(drive / "velodyne_points" / "data" / f"{name}.bin")
    return Sweep(
        sequence=drive.name,
        name=name,
        timestamp_ns=_timestamp_ns(drive, int(name)),
        xyz=xyz,
        intensity=intensity,
        origin=np.zeros((1, 3), dtype=np.float32),
        world_SE3_sensor=_pose(drive, name) if posed else np.eye(4),
    )


def problems(drive: Path, *, posed: bool = True) -> Iterator[DataProblem]:
    """Find missing or damaged calibration, times, poses and sweeps, and frames without a sweep."""
    try:
        names = sweep_names(drive)
    except UserError as error:
        yield DataProblem(str(error))
        return
    of_poses = (partial(_calibration, drive.parent / CALIBRATION), partial(_first_packet, drive))
    of_times = (partial(_check_lines, drive, names), partial(_check_order, drive, names))
    of_sequence = (*of_poses, *of_times) if posed else of_times
    of_sweep = (_check_points, _packet, _check_time) if posed else (_check_points, _check_time)
    yield from collect_problems(of_sequence, names, [partial(check, drive) for check in of_sweep])
    if posed:
        yield from _unused_packets(drive, names)
        yield from map(DataProblem, _gaps(drive, names))


def _check_points(drive: Path, name: str) -> None:
    count_rows(drive / "velodyne_points" / "data" / f"{name}.bin", 4)


def _check_lines(drive: Path, names: tuple[str, ...]) -> None:
    """Raise UserError where a sweep has no line of times: those of others may be the wrong ones, too."""
    for name in names:
        _line(drive, int(name))


def _check_time(drive: Path, name: str) -> None:
    if int(name) < len(_lines(_times_file(drive))):  # else it is a fault of the sequence
        _timestamp_ns(drive, int(name))


def _check_order(drive: Path, names: tuple[str, ...]) -> None:
    """Raise UserError where a sweep's time is not later than that of the sweep before, of those that can be read."""
    times: dict[int, int] = {}
    for frame in map(int, names):
        with suppress(UserError):  # of this sweep alone
            times[frame] = _timestamp_ns(drive, frame)
    frames = list(times)
    check_times(list(times.values()), lambda number: f"{_times_file(drive)}: line {frames[number] + 1}")


def _unused_packets(drive: Path, names: tuple[str, ...]) -> Iterator[DataProblem]:
    """Describe damaged packets before the first good one, of frames without a sweep: no sweep needs them then."""
    for path in _origin_packets(drive)[:-1]:
        if path.stem not in names and (message := _packet_fault(path)):
            yield DataProblem(message, ())


def _gaps(drive: Path, names: tuple[str, ...]) -> Iterator[str]:
    posed = {int(file.stem) for file in visible_files(drive / "oxts" / "data", "*.txt") if file.stem.isdecimal()}
    gaps = sorted(f for f in posed - {int(name) for name in names} if not _never_recorded(drive, f))
    if gaps:
        yield (
            f"{drive}/velodyne_points/data: no .bin for {len(gaps)} frames that have a pose and a time, the first is "
            f"{gaps[0]:010d}; unpack the drive's archive again. If they are left out on purpose, remove their files "
            "in oxts/data too"
        )


def _never_recorded(drive: Path, frame: int) -> bool:
    """Return whether a frame has no sweep in the archive itself, as a blank line in the sweeps' times indicates."""
    path = _times_file(drive)
    blank = path.exists() and not "".join(_lines(path)[frame : frame + 1]).strip()
    return blank or frame in _NEVER_RECORDED.get(drive.name, ())


def _pose(drive: Path, name: str) -> NDArray[np.float64]:
    """Return sensor0_SE3_sensor: from the sensor at ``name`` to the sensor at the drive's first packet."""
    velo_SE3_imu = _calibration(drive.parent / CALIBRATION)
    first = _first_packet(drive)
    scale = mercator_scale(first)
    packet = _packet(drive, name)
    imu0_SE3_imu = inverse(map_SE3_imu(first, scale)) @ map_SE3_imu(packet, scale)
    pose: NDArray[np.float64] = velo_SE3_imu @ imu0_SE3_imu @ inverse(velo_SE3_imu)
    return pose


def _packet(drive: Path, name: str) -> NDArray[np.float64]:
    return read_packet(drive / "oxts" / "data" / f"{name}.txt")


def _first_packet(drive: Path) -> NDArray[np.float64]:
    """Read the packet that the world frame is of: the first good one, so that a damaged one is of its sweep alone.

    Raises UserError where none is good.
    """
    _oxts_frames(drive)  # raises, where there is none
    return _read_packet(_origin_packets(drive)[-1])


def _origin_packets(drive: Path) -> tuple[Path, ...]:
    """Return the files of the packets up to the first good one; the first alone if none is good."""
    try:
        files = _oxts_frames(drive)
    except UserError:
        return ()
    good = next((number for number, path in enumerate(files) if not _packet_fault(path)), 0)
    return files[: good + 1]


def _packet_fault(path: Path) -> str:
    try:
        _read_packet(path)
    except UserError as error:
        return str(error)
    return ""


@lru_cache(maxsize=256)
def _oxts_frames(drive: Path) -> tuple[Path, ...]:
    files = drive / "oxts" / "data"
    return tuple(files / f"{name}.txt" for name in numbered_files(files, ".txt", _FRAME_NUMBER))


@cached_per_file
def _calibration(path: Path) -> NDArray[np.float64]:
    """Read velo_SE3_imu, float64 [4, 4], of a date's drives."""
    try:
        entries = dict(line.split(":", 1) for line in read_lines(path) if ":" in line)
        rotation = np.array(entries["R"].split(), dtype=np.float64).reshape(3, 3)
        translation = np.array(entries["T"].split(), dtype=np.float64).reshape(3)
    except OSError:
        raise UserError(
            f"{path}: missing; it converts poses of the GPS/IMU to those of the LiDAR. It is in the date's "
            "'calibration' archive. Without it, compute poses: --poses odometry"
        ) from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: expected a row 'R:' with 9 and a row 'T:' with 3 numbers ({error})") from None
    velo_SE3_imu = np.eye(4)
    velo_SE3_imu[:3, :3], velo_SE3_imu[:3, 3] = rotation, translation
    check_rigid(velo_SE3_imu, f"{path}: R and T")
    return velo_SE3_imu


def _times_file(drive: Path) -> Path:
    return drive / "velodyne_points" / "timestamps.txt"


def _timestamp_ns(drive: Path, frame: int) -> int:
    line = _line(drive, frame).strip()
    try:
        return _nanoseconds(line)
    except ValueError:
        raise UserError(
            f"{_times_file(drive)}: line {frame + 1} is {line!r}, expected a time as in 2011-09-26 13:02:25.594360375; "
            "fetch the file again"
        ) from None


def _line(drive: Path, frame: int) -> str:
    """Return a frame's line of times. Raises UserError where there is none."""
    path = _times_file(drive)
    lines = _lines(path)
    if frame >= len(lines):
        raise UserError(
            f"{path}: has {len(lines)} lines, no time for frame {frame:010d}; expected one line per frame from 0"
        )
    return lines[frame]


@cached_per_file
def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(read_lines(path))
    except OSError:
        raise UserError(
            f"{missing_path(path)}: missing; it contains the sweeps' times and comes with the drive's archive"
        ) from None


def _nanoseconds(text: str) -> int:
    """Convert a time with up to nine decimals to nanoseconds since 1970, exactly, as float64 could not."""
    seconds, _, decimals = text.partition(".")
    if len(decimals) > 9 or not (decimals or "0").isdecimal():
        raise ValueError(text)
    moment = datetime.strptime(seconds, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9 + int(decimals.ljust(9, "0"))
