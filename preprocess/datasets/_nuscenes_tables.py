"""The tables of nuScenes, joined to what one LiDAR's sweeps need: ``ROOT/v1.0-{trainval,test,mini}/*.json``.

sample_data and ego_pose of v1.0-trainval have 2.6 million rows in about 2 GB of text, of which one in eight
is LIDAR_TOP's. They are read in pieces and only the wanted rows are decoded: some 20 seconds and a third of a
gigabyte in each process, against 6 GB with whole tables. It relies on rows that hold no objects and no braces
in strings, which is so by the schema (docs/schema_nuscenes.md of the nuScenes development kit).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.errors import UserError

VERSIONS: Final = ("v1.0-trainval", "v1.0-test", "v1.0-mini")  # the scenes of mini are also in trainval
TABLES: Final = ("sensor", "calibrated_sensor", "scene", "sample", "sample_data", "ego_pose")
CHANNEL: Final = "LIDAR_TOP"

_CHUNK_BYTES: Final = 1 << 20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scan:
    """One LIDAR_TOP row of sample_data with what the other tables say of it.

    Attributes:
        filename: points, relative to the root.
        timestamp_us: microseconds since 1970.
        is_key_frame: one in ten is, at 2 Hz: those that have labels.
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
        ego_SE3_lidar: float64 [4, 4] each, one for every calibration.
        raw_classes: name of a raw label by its number; empty where category.json has no ``index``.

    """

    scans: Mapping[str, tuple[Scan, ...]]
    ego_poses: Mapping[str, tuple[float, ...]]
    ego_SE3_lidar: tuple[NDArray[np.float64], ...]
    raw_classes: Mapping[int, str]


def versions(root: Path) -> tuple[str, ...]:
    """Versions whose folder is below ``root``."""
    return tuple(version for version in VERSIONS if (root / version).is_dir())


def missing_tables(folder: Path) -> list[str]:
    """Names of the tables that a version lacks."""
    return [f"{name}.json" for name in TABLES if not (folder / f"{name}.json").is_file()]


@functools.lru_cache(maxsize=4)
def read_tables(folder: Path) -> Tables:
    """Read and join a version's tables, once in a process. Raises UserError for a missing or damaged one."""
    try:
        return _join(folder)
    except KeyError as error:
        raise UserError(
            f"{folder}: rows of a table lack {error}; unpack the version's metadata archive again"
        ) from None


def _join(folder: Path) -> Tables:
    sensors = {row["token"] for row in _table(folder, "sensor") if row["channel"] == CHANNEL}
    calibrations = [row for row in _table(folder, "calibrated_sensor") if row["sensor_token"] in sensors]
    scans = _scans(folder, {row["token"]: number for number, row in enumerate(calibrations)})
    return Tables(
        scans={name: tuple(sorted(scans[name], key=lambda scan: scan.timestamp_us)) for name in sorted(scans)},
        ego_poses=_poses(folder, {scan.ego_pose for found in scans.values() for scan in found}),
        ego_SE3_lidar=tuple(rigid((*row["translation"], *row["rotation"])) for row in calibrations),
        raw_classes={row["index"]: row["name"] for row in _table(folder, "category", optional=True) if "index" in row},
    )


def _scans(folder: Path, calibrations: Mapping[str, int]) -> dict[str, list[Scan]]:
    scene_of = _scene_of_sample(folder)
    labels = {row["sample_data_token"]: row["filename"] for row in _table(folder, "lidarseg", optional=True)}
    scans: dict[str, list[Scan]] = {}
    for row in _rows(folder / "sample_data.json", "calibrated_sensor_token", calibrations):
        scan = Scan(
            filename=row["filename"],
            timestamp_us=row["timestamp"],
            is_key_frame=row["is_key_frame"],
            ego_pose=row["ego_pose_token"],
            calibration=calibrations[row["calibrated_sensor_token"]],
            labels=labels.get(row["token"]),
        )
        scans.setdefault(_lookup(scene_of, row["sample_token"], folder), []).append(scan)
    return scans


def _poses(folder: Path, tokens: Container[str]) -> dict[str, tuple[float, ...]]:
    rows = _rows(folder / "ego_pose.json", "token", tokens)
    return {row["token"]: (*row["translation"], *row["rotation"]) for row in rows}


def rigid(row: tuple[float, ...]) -> NDArray[np.float64]:
    """Rigid transform, float64 [4, 4], of a translation in metres and a quaternion: x, y, z, w, x, y, z."""
    w, x, y, z = np.array(row[3:], dtype=np.float64) / np.linalg.norm(row[3:])
    transform = np.eye(4)
    transform[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    transform[:3, 3] = row[:3]
    return transform


def _scene_of_sample(folder: Path) -> dict[str, str]:
    names = {row["token"]: row["name"] for row in _table(folder, "scene")}
    return {row["token"]: _lookup(names, row["scene_token"], folder) for row in _table(folder, "sample")}


def _lookup(table: Mapping[str, str], token: str, folder: Path) -> str:
    try:
        return table[token]
    except KeyError:
        raise UserError(
            f"{folder}: the tables refer to a row {token!r} that is not there; they are of different releases or "
            "cut short, unpack the version's metadata archive again"
        ) from None


def _table(folder: Path, name: str, optional: bool = False) -> list[Row]:
    path = folder / f"{name}.json"
    if optional and not path.exists():
        return []
    try:
        rows: list[Row] = json.loads(path.read_bytes())
    except OSError:
        raise UserError(f"{path}: missing; it is in the version's metadata archive") from None
    except ValueError as error:
        raise UserError(f"{path}: is no JSON table ({error}); unpack the version's metadata archive again") from None
    return rows


def _rows(path: Path, key: str, wanted: Container[str]) -> Iterator[Row]:
    """Rows of a table of flat rows whose value of ``key`` is wanted, without holding the table in memory."""
    value = re.compile(rf'"{key}"\s*:\s*"([^"]*)"'.encode())
    for text in _row_texts(path):
        found = value.search(text)
        if found and found[1].decode() in wanted:
            try:
                yield json.loads(text[text.index(b"{") :] + b"}")
            except ValueError as error:
                raise UserError(f"{path}: expected a table of flat rows ({error}); unpack the archive again") from None


def _row_texts(path: Path) -> Iterator[bytes]:
    """Text of each row of a table, up to its closing brace."""
    rest = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                *texts, rest = (rest + chunk).split(b"}")
                yield from texts
    except OSError:
        raise UserError(f"{path}: missing; it is in the version's metadata archive") from None
    if rest.strip() not in (b"]", b"[]"):
        raise UserError(f"{path}: does not end as a table; it is cut short, unpack the version's archive again")
