"""The tables of nuScenes, joined for the sweeps of LIDAR_TOP."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import MAX_M
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.nuscenes_tables import (
    Row,
    calibrations,
    damaged,
    file_below_root,
    lidar_rows,
    numbers,
    rows,
    table,
    value,
)

_MAX_TIME_US: Final = 2**53  # the year 2255

TABLES: Final = ("sensor", "calibrated_sensor", "scene", "sample", "sample_data", "ego_pose")


@dataclass(frozen=True, slots=True)
class Scan:
    """One LIDAR_TOP row of sample_data, joined with the other tables.

    Attributes:
        filename: file of the points, relative to the root.
        timestamp_us: microseconds since 1970.
        is_key_frame: whether it is one of the key frames, at 2 Hz, which have labels.
        ego_pose: key into ``Tables.ego_poses``, of this row's own time.
        calibration: index into ``Tables.ego_SE3_lidar``.
        labels: lidarseg file, relative to the root, or None.
    """

    filename: str
    timestamp_us: int
    is_key_frame: bool
    ego_pose: str
    calibration: int
    labels: str | None


@dataclass(frozen=True)
class Tables:
    """The joined tables of one version.

    Attributes:
        scans: by the scene's name, in order of time.
        ego_poses: x, y, z in metres and the quaternion w, x, y, z of global_SE3_ego.
        ego_SE3_lidar: one transform per calibration, float64 [4, 4].
        raw_classes: name of a raw label by its number; empty where category.json has no ``index``.
    """

    scans: Mapping[str, tuple[Scan, ...]]
    ego_poses: Mapping[str, tuple[float, ...]]
    ego_SE3_lidar: tuple[NDArray[np.float64], ...]
    raw_classes: Mapping[int, str]


@functools.lru_cache(maxsize=4)
def read_tables(folder: Path) -> Tables:
    """Read and join a version's tables, once per process. Raises UserError for a missing or damaged table."""
    try:
        return _join(folder)
    except KeyError as error:
        raise damaged(folder, error) from None


def _join(folder: Path) -> Tables:
    mounted = calibrations(folder)
    scans = _scans(folder, {value(folder, row, "token", str): number for number, row in enumerate(mounted)})
    poses = rows(folder / "ego_pose.json", "token", {scan.ego_pose for found in scans.values() for scan in found})
    return Tables(
        scans={name: tuple(sorted(scans[name], key=lambda scan: scan.timestamp_us)) for name in sorted(scans)},
        ego_poses={value(folder, row, "token", str): _placed(folder, row) for row in poses},
        ego_SE3_lidar=tuple(rigid(_placed(folder, row)) for row in mounted),
        raw_classes=_raw_classes(folder),
    )


def _raw_classes(folder: Path) -> dict[int, str]:
    indexed = [row for row in table(folder, "category", optional=True) if "index" in row]
    classes = {value(folder, row, "index", int): value(folder, row, "name", str) for row in indexed}
    if any(not 0 <= index < 256 for index in classes):
        raise UserError(f"{folder}/category.json: an index is not one of the raw labels 0 to 255; unpack it again")
    return classes


def _placed(folder: Path, row: Row) -> tuple[float, ...]:
    """Return translation and quaternion of a row. Raises UserError where they are not finite, or are no rotation."""
    rotation = numbers(folder, row, "rotation", 4)
    if not 0.99 < np.linalg.norm(rotation) < 1.01:
        raise UserError(
            f"{folder}: rotation {list(rotation)} of a row of its tables is not a unit quaternion w, x, y, z; unpack "
            "the version's metadata archive again"
        )
    translation = numbers(folder, row, "translation", 3)
    if max(map(abs, translation)) > MAX_M:
        raise UserError(
            f"{folder}: translation {list(translation)} of a row of its tables is not in metres; unpack the version's "
            "metadata archive again"
        )
    return *translation, *rotation


def _scans(folder: Path, calibration_numbers: Mapping[str, int]) -> dict[str, list[Scan]]:
    lidarseg = table(folder, "lidarseg", optional=True)
    labels = {value(folder, row, "sample_data_token", str): file_below_root(folder, row) for row in lidarseg}
    scans: dict[str, list[Scan]] = {}
    for scene, row in lidar_rows(folder, calibration_numbers):
        scan = Scan(
            filename=file_below_root(folder, row),
            timestamp_us=value(folder, row, "timestamp", int),
            is_key_frame=value(folder, row, "is_key_frame", bool),
            ego_pose=value(folder, row, "ego_pose_token", str),
            calibration=calibration_numbers[value(folder, row, "calibrated_sensor_token", str)],
            labels=labels.get(value(folder, row, "token", str)),
        )
        if not 0 < scan.timestamp_us < _MAX_TIME_US:
            raise UserError(f"{folder}/sample_data.json: {scan.filename} has time {scan.timestamp_us}; unpack it again")
        scans.setdefault(scene, []).append(scan)
    return scans


def rigid(row: tuple[float, ...]) -> NDArray[np.float64]:
    """Convert a translation in metres and a quaternion (x, y, z, w, x, y, z) to a rigid transform, float64 [4, 4]."""
    w, x, y, z = np.array(row[3:], dtype=np.float64) / np.linalg.norm(row[3:])
    transform = np.eye(4)
    transform[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    transform[:3, 3] = row[:3]
    return transform
