"""The tables of nuScenes, joined for the sweeps of LIDAR_TOP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import MAX_M
from iscc_lidar.preprocess.datasets._problems import Rows
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
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

K = TypeVar("K")
V = TypeVar("V")

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
        fault: what is wrong with its rows, so that it cannot be read; empty if nothing is.
    """

    filename: str
    timestamp_us: int
    is_key_frame: bool
    ego_pose: str
    calibration: int
    labels: str | None
    fault: str = ""


@dataclass(frozen=True)
class Tables:
    """The joined tables of one version.

    Attributes:
        scans: by the scene's name, in order of time.
        scene_faults: why the scans of a scene have no order, by its name.
        ego_poses: x, y, z in metres and the quaternion w, x, y, z of global_SE3_ego.
        ego_SE3_lidar: one transform per calibration, float64 [4, 4], by number.
        raw_classes: name of a raw label by its number; empty where category.json has no ``index``.
    """

    scans: Mapping[str, tuple[Scan, ...]]
    scene_faults: Mapping[str, str]
    ego_poses: Rows[str, tuple[float, ...]]
    ego_SE3_lidar: Rows[int, NDArray[np.float64]]
    raw_classes: Mapping[int, str]


@lru_cache(maxsize=4)
def read_tables(folder: Path) -> Tables:
    """Read and join a version's tables, once per process. Raises UserError for a missing or damaged table."""
    try:
        return _join(folder)
    except KeyError as error:
        raise damaged(folder, error) from None


def _join(folder: Path) -> Tables:
    mounted = calibrations(folder)
    numbers_by_token = {value(folder, row, "token", str): number for number, row in enumerate(mounted)}
    scans, scene_faults = _scans(folder, numbers_by_token)
    poses = rows(folder / "ego_pose.json", "token", {scan.ego_pose for found in scans.values() for scan in found})
    return Tables(
        scans={name: tuple(sorted(scans[name], key=lambda scan: scan.timestamp_us)) for name in sorted(scans)},
        scene_faults=scene_faults,
        ego_poses=_by_key(folder / "ego_pose.json", ((row["token"], row) for row in poses), _placed),
        ego_SE3_lidar=_by_key(
            folder / "calibrated_sensor.json", enumerate(mounted), lambda path, row: rigid(_placed(path, row))
        ),
        raw_classes=_raw_classes(folder),
    )


def _by_key(path: Path, found: Iterable[tuple[K, Row]], read: Callable[[Path, Row], V]) -> Rows[K, V]:
    """Read rows by their keys; of those that cannot be read the message is kept."""
    good: dict[K, V] = {}
    faults: dict[K, str] = {}
    for key, row in found:
        try:
            good[key] = read(path, row)
        except (KeyError, UserError) as error:
            faults[key] = _fault(path, error, row)
    return Rows(good, faults)


def _fault(path: Path, error: KeyError | UserError, row: Row) -> str:
    """Describe what is wrong with a row of a table."""
    lacks = f"{path}: a row has no {error}; unpack the version's metadata archive again"
    return f"{lacks if isinstance(error, KeyError) else error} (row {one_line(str(row.get('token'))[:40])})"


def _raw_classes(folder: Path) -> dict[int, str]:
    indexed = [row for row in table(folder, "category", optional=True) if "index" in row]
    classes = {value(folder, row, "index", int): value(folder, row, "name", str) for row in indexed}
    if any(not 0 <= index < 256 for index in classes):
        raise UserError(f"{folder}/category.json: an index is not one of the raw labels 0 to 255; unpack it again")
    return classes


def _placed(path: Path, row: Row) -> tuple[float, ...]:
    """Return translation and quaternion of a row. Raises UserError where they are not finite, or are no rotation."""
    rotation = numbers(path, row, "rotation", 4)
    if not 0.99 < np.linalg.norm(rotation) < 1.01:
        raise UserError(
            f"{path}: rotation {list(rotation)} of a row is not a unit quaternion w, x, y, z; unpack the version's "
            "metadata archive again"
        )
    translation = numbers(path, row, "translation", 3)
    if max(map(abs, translation)) > MAX_M:
        raise UserError(
            f"{path}: translation {list(translation)} of a row is not in metres; unpack the version's metadata archive "
            "again"
        )
    return *translation, *rotation


def _scans(folder: Path, calibration_numbers: Mapping[str, int]) -> tuple[dict[str, list[Scan]], dict[str, str]]:
    """Read the scans of each scene, and why they have no order where a time is missing, by the scene's name."""
    lidarseg = table(folder, "lidarseg", optional=True)
    of_token = ((value(folder, row, "sample_data_token", str), row) for row in lidarseg)
    labels = _by_key(folder / "lidarseg.json", of_token, file_below_root)
    path = folder / "sample_data.json"
    scans: dict[str, list[Scan]] = {}
    scene_faults: dict[str, str] = {}
    for scene, row in lidar_rows(folder, calibration_numbers):
        of_scene = scans.setdefault(scene, [])
        try:
            timestamp_us = value(path, row, "timestamp", int)
        except (KeyError, UserError) as error:
            scene_faults.setdefault(scene, f"{_fault(path, error, row)}, so the sweeps of {scene} have no order")
            continue
        try:
            of_scene.append(_scan(path, row, timestamp_us, calibration_numbers, labels))
        except (KeyError, UserError) as error:
            # What is not known to be between key frames is not left out where key frames alone are read.
            key_frame = row.get("is_key_frame") is not False
            of_scene.append(Scan("", timestamp_us, key_frame, "", 0, None, _fault(path, error, row)))
    return scans, scene_faults


def _scan(
    path: Path, row: Row, timestamp_us: int, calibration_numbers: Mapping[str, int], labels: Rows[str, str]
) -> Scan:
    if not 0 < timestamp_us < _MAX_TIME_US:
        raise UserError(f"{path}: {file_below_root(path, row)} has time {timestamp_us}; unpack it again")
    token = value(path, row, "token", str)
    return Scan(
        filename=file_below_root(path, row),
        timestamp_us=timestamp_us,
        is_key_frame=value(path, row, "is_key_frame", bool),
        ego_pose=value(path, row, "ego_pose_token", str),
        calibration=calibration_numbers[value(path, row, "calibrated_sensor_token", str)],
        labels=labels[token] if token in labels else None,  # noqa: SIM401 (raises for a faulty row)
    )


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
