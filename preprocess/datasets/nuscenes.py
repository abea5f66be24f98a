"""nuScenes: samples and sweeps of LIDAR_TOP by the tables of v1.0-trainval, v1.0-test or v1.0-mini.

Points are float32 (x, y, z, intensity 0..255, ring), motion-compensated, in the LiDAR frame, which is x right, y
forward, z up. They are rotated to x forward, y left, z up: x' = y, y' = -x, exactly. Intensity is divided by 255 and
clipped to 0..1; the ring is not used. A quarter of the points lie within 2 m, on the ego vehicle: they are kept.
world_SE3_sensor is the ego pose of the sweep's own sample_data times the calibration times that rotation; the world is
the log's map, about 1 km wide, and ego poses are planar (z = 0). Only key frames, one sweep in ten, have labels
(lidarseg). Where a scene has the files of none of its other sweeps, its key frames alone are read.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import (
    check_label_size,
    count_rows,
    describe_folder,
    existing,
    read_rows,
)
from iscc_lidar.preprocess.datasets._nuscenes_tables import TABLES, Scan, Tables, read_tables, rigid
from iscc_lidar.preprocess.datasets._problems import collect_problems
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import regular
from iscc_lidar.shared.layouts.formats.nuscenes_tables import VERSIONS, versions
from iscc_lidar.shared.layouts.nuscenes import LAYOUT, class_lut, splits

_COLUMNS: Final = 5
_LIDAR_SE3_SENSOR: Final = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class NuScenes:
    """The scenes of every version whose tables are below ``root``; a scene that is in two versions is read once."""

    root: Path
    name: str = "nuscenes"
    class_names: tuple[str, ...] = LAYOUT.class_names

    def sequences(self) -> tuple[str, ...]:
        """List the names of the scenes in the tables of which at least one key frame's file is there, sorted.

        Each archive contains 85 scenes, the tables all: scenes of archives that were not fetched are left out.
        """
        return _scenes(self.root)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the official splits by scene: train (700), val (150), test, mini_train, mini_val."""
        return splits({scene: _version_of_scene(self.root)[scene] for scene in self.sequences()})

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the timestamps in microseconds of a scene's sweeps, key frames and others, in order."""
        return tuple(str(scan.timestamp_us) for scan in self._scans(sequence))

    def key_frames(self, sequence: str) -> tuple[bool, ...]:
        """Return for each sweep whether it is one of the annotated key frames, at 2 Hz."""
        return tuple(scan.is_key_frame for scan in self._scans(sequence))

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files of points and labels, as far as they exist.

        The tables are not among them: they are published once, and reading 2 GB for every scene to see that they are
        unchanged would take longer than preprocessing. Make a new cache after a table was repaired.
        """
        scan = self._scans(sequence)[index]
        labels = _labels_file(self.root, scan)
        return existing((self.root / scan.filename, *([labels] if labels else [])))

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find missing or damaged points and labels, sweeps without a pose, timestamps that occur twice."""
        try:
            scans = self._scans(sequence)
        except UserError as error:
            yield DataProblem(str(error))
            return
        labelled = any(_labels_file(self.root, scan) for scan in scans)
        of_sequence = [functools.partial(_class_lut, self._folder(sequence))] if labelled else []
        names = [str(scan.timestamp_us) for scan in scans]
        by_name = dict(zip(names, scans, strict=True))
        yield from collect_problems(
            of_sequence,
            names,
            (
                lambda name: self._check_points(by_name[name]),
                lambda name: self._pose(sequence, by_name[name]),
                lambda name: self._check_labels(by_name[name]),
            ),
        )
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            yield DataProblem(
                f"{self._folder(sequence)}/sample_data.json: {sequence} has two sweeps of time {twice[0]}"
            )

    def warnings(self, sequence: str) -> Iterator[str]:
        """Report scenes of which only the key frames are here."""
        if len(self._scans(sequence)) < len(self._tables(sequence).scans[sequence]):
            folder = self.root / "sweeps" / "LIDAR_TOP"
            what = f"has no file of {sequence}" if folder.is_dir() else "missing"
            yield (
                f"{folder}: {what}, so only key frames are read, at 2 Hz: enough to fine-tune and to score, but "
                "windows of 12 then span 6 s, not 0.6, and give worse groups to pre-train on. Unpack 'sweeps' of the "
                "file blobs too"
            )

    def unknown_labels(self, sequence: str, index: int) -> dict[int, int]:
        """Count the points of a sweep by each raw label that category.json does not list."""
        scan = self._scans(sequence)[index]
        path = _labels_file(self.root, scan)
        if path is not None:
            _check_label_file(path, count_rows(self.root / scan.filename, _COLUMNS))
        counts = np.bincount([] if path is None else np.fromfile(regular(path), dtype=np.uint8), minlength=256)
        counts[list(self._tables(sequence).raw_classes)] = 0
        return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position in the sequence. Raises UserError for damaged or missing files."""
        scan = _sound(self._scans(sequence)[index])
        xyz, intensity = read_points(self.root / scan.filename)
        return Sweep(
            sequence=sequence,
            name=str(scan.timestamp_us),
            timestamp_ns=scan.timestamp_us * 1000,
            xyz=xyz,
            intensity=intensity,
            origin=np.zeros((1, 3), dtype=np.float32),
            world_SE3_sensor=self._pose(sequence, scan),
            semantic=self._labels(sequence, scan, len(xyz)),
        )

    def _check_points(self, scan: Scan) -> int:
        return count_rows(self.root / _sound(scan).filename, _COLUMNS)

    def _check_labels(self, scan: Scan) -> None:
        path = _labels_file(self.root, scan)
        if path is not None:
            _check_label_file(path, self._check_points(scan))

    def _labels(self, sequence: str, scan: Scan, points: int) -> NDArray[np.uint8] | None:
        path = _labels_file(self.root, scan)
        if path is None:
            return None
        _check_label_file(path, points)
        classes: NDArray[np.uint8] = _class_lut(self._folder(sequence))[np.fromfile(regular(path), dtype=np.uint8)]
        return classes

    def _pose(self, sequence: str, scan: Scan) -> NDArray[np.float64]:
        tables = self._tables(sequence)
        if _sound(scan).ego_pose not in tables.ego_poses:
            raise UserError(
                f"{self._folder(sequence)}/ego_pose.json: has no pose for {scan.filename}; the table is cut short "
                "or of another release, unpack the version's metadata archive again"
            )
        global_SE3_ego = rigid(tables.ego_poses[scan.ego_pose])
        pose: NDArray[np.float64] = global_SE3_ego @ tables.ego_SE3_lidar[scan.calibration] @ _LIDAR_SE3_SENSOR
        return pose

    def _scans(self, sequence: str) -> tuple[Scan, ...]:
        return _scans_here(self.root, self._folder(sequence), sequence)

    def _tables(self, sequence: str) -> Tables:
        return read_tables(self._folder(sequence))

    def _folder(self, sequence: str) -> Path:
        return self.root / _version_of_scene(self.root)[sequence]


def open_dataset(root: Path) -> NuScenes:
    """Open the versions below ``root``. Raises UserError where there is none, or tables are missing."""
    if not versions(root):
        raise UserError(
            f"{root}: looked for a folder of tables, {' or '.join(VERSIONS)}, and found: {describe_folder(root)}. "
            f"Poses and scenes are in its tables ({', '.join(TABLES)}.json): unpack the metadata archive into {root}, "
            f"or pass the folder that contains it and 'samples'{_hint(root)}"
        )
    for version in versions(root):
        missing = [f"{name}.json" for name in TABLES if not (root / version / f"{name}.json").is_file()]
        if missing:
            raise UserError(
                f"{root / version}: the tables {', '.join(missing)} are missing; unpack the version's metadata archive "
                "again"
            )
    dataset = NuScenes(root)
    if not dataset.sequences():
        raise UserError(
            f"{root}: has the tables of {', '.join(versions(root))}, but none of the key frames that they list, "
            f"samples/LIDAR_TOP/*.pcd.bin; found: {describe_folder(root)}. Unpack the file blobs into {root}"
        )
    return dataset


def read_points(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read one .pcd.bin file, without the tables: xyz, float32 [N, 3], metres, and intensity, float32 [N], 0..1.

    x is forward, y left, z up. Raises UserError where the file is missing or cut short.
    """
    points = read_rows(path, _COLUMNS)
    xyz = np.stack([points[:, 1], -points[:, 0], points[:, 2]], axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        return xyz, np.clip(np.nan_to_num(points[:, 3] / np.float32(255)), 0, 1)


def _hint(root: Path) -> str:
    if root.name in VERSIONS:
        return f". This is the folder of tables itself: pass the one above, --root {root.absolute().parent}"
    if (root / "samples" / "LIDAR_TOP").is_dir():
        return ". The points are here, but not the tables; without them only single files can be read (read_points)"
    return ""


@functools.lru_cache(maxsize=4)
def _version_of_scene(root: Path) -> dict[str, str]:
    """Return the version whose tables each scene is read by: the first of ``VERSIONS`` that contains it."""
    return {scene: version for version in reversed(versions(root)) for scene in read_tables(root / version).scans}


@functools.lru_cache(maxsize=4)
def _scenes(root: Path) -> tuple[str, ...]:
    found = _version_of_scene(root)
    return tuple(sorted(scene for scene in found if _has_points(root, read_tables(root / found[scene]).scans[scene])))


def _has_points(root: Path, scans: tuple[Scan, ...]) -> bool:
    """Return whether a key frame's file is there; also where faults of the tables hide all their names."""
    key_frames = [scan for scan in scans if scan.is_key_frame]
    if not scans or (key_frames and all(scan.fault for scan in key_frames)):
        return True
    return any((root / scan.filename).exists() for scan in key_frames if not scan.fault)


def _sound(scan: Scan) -> Scan:
    """Return a scan. Raises UserError where its rows are faulty."""
    if scan.fault:
        raise UserError(scan.fault)
    return scan


@functools.lru_cache(maxsize=1024)
def _scans_here(root: Path, folder: Path, scene: str) -> tuple[Scan, ...]:
    """Return all sweeps of a scene, or its key frames where the file of no other sweep is here."""
    tables = read_tables(folder)
    if scene in tables.scene_faults:
        raise UserError(tables.scene_faults[scene])
    scans = tables.scans[scene]
    between = [scan for scan in scans if not (scan.is_key_frame or scan.fault)]
    unpacked = {parent: (root / parent).is_dir() for parent in {str(Path(scan.filename).parent) for scan in between}}
    if any(unpacked.values()) and any((root / scan.filename).exists() for scan in between):
        return scans
    return tuple(scan for scan in scans if scan.is_key_frame)


@functools.lru_cache(maxsize=4)
def _class_lut(folder: Path) -> NDArray[np.uint8]:
    raw_classes = read_tables(folder).raw_classes
    if not raw_classes:
        raise UserError(
            f"{folder}/category.json: has no 'index' of the raw labels, but there are labels; nuScenes-lidarseg "
            "contains its own category.json, unpack it over this folder"
        )
    return class_lut(raw_classes)


def _labels_file(root: Path, scan: Scan) -> Path | None:
    """Return the label file that the tables name; None if they name none, or no label files were unpacked."""
    path = None if scan.labels is None else root / scan.labels
    return path if path is not None and path.parent.is_dir() else None


def _check_label_file(path: Path, points: int) -> None:
    if not path.exists():
        raise UserError(f"{path}: missing; unpack nuScenes-lidarseg again, or remove the folder {path.parent}")
    check_label_size(path, points, 1)
