"""nuScenes: LIDAR_TOP's samples and sweeps by the tables of v1.0-trainval, v1.0-test or v1.0-mini.

Points are float32 (x, y, z, intensity 0..255, ring), motion-compensated, in the LiDAR's frame, which is x right,
y forward, z up. They are turned to x forward, y left, z up: x' = y, y' = -x, exactly. Intensity is divided by 255
and clipped to 0..1; the ring is not used. A quarter of the points lie within 2 m, on the car itself: they keep
their place. world_SE3_sensor is the ego pose of the sweep's own sample_data times the calibration times that
turn; the world is the log's map, about 1 km wide, and ego poses are planar (z = 0). Labels (lidarseg) are on
key frames only, one sweep in ten.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import check_label_size, complaints, count_rows, found_in, read_rows
from iscc_lidar.preprocess.datasets._nuscenes_tables import TABLES, Scan, Tables, missing_tables, read_tables, rigid
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.nuscenes_tables import VERSIONS, versions
from iscc_lidar.shared.layouts.nuscenes import LAYOUT, class_lut, splits

_COLUMNS: Final = 5
_LIDAR_SE3_SENSOR: Final = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class NuScenes:
    """The scenes of every version whose tables are below ``root``; a scene that two versions hold is read once."""

    root: Path
    name: str = "nuscenes"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The 16 classes of the lidarseg benchmark by index; 0 is unlabelled or left out."""
        return LAYOUT.class_names

    def sequences(self) -> tuple[str, ...]:
        """Names of the scenes, sorted: of those in the tables the ones of which some key frame's file is there.

        The archives hold 85 scenes each, the tables all: scenes of archives that were not fetched are left out.
        """
        return _scenes(self.root)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The official splits by scene: train (700), val (150), test, mini_train, mini_val."""
        return splits({scene: _version_of_scene(self.root)[scene] for scene in self.sequences()})

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """Time stamps in microseconds of a scene's sweeps, key frames and others, in order."""
        return tuple(str(scan.timestamp_us) for scan in self._scans(sequence))

    def key_frames(self, sequence: str) -> tuple[bool, ...]:
        """Of each sweep whether it is a key frame: those at 2 Hz that are annotated."""
        return tuple(scan.is_key_frame for scan in self._scans(sequence))

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """The files of points and labels, those that exist.

        The tables are not among them: they are published once, and reading 2 GB for every scene to see that
        they are the same would take longer than the work. Make a new cache after mending a table.
        """
        scan = self._scans(sequence)[index]
        labels = _labels_file(self.root, scan)
        points = self.root / scan.filename
        return tuple(file for file in (points, labels) if file is not None and file.exists())

    def problems(self, sequence: str) -> Iterator[str]:
        """Missing or damaged points and labels, sweeps without a pose, time stamps that occur twice."""
        scans = self._scans(sequence)
        yield from complaints(check for scan in scans for check in self._checks(sequence, scan))
        twice = [name for name, count in Counter(self.sweep_names(sequence)).items() if count > 1]
        if twice:
            yield f"{self._folder(sequence)}/sample_data.json: {sequence} has two sweeps of time {twice[0]}"

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position in the sequence. Raises UserError for damaged or missing files."""
        scan = self._scans(sequence)[index]
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

    def _checks(self, sequence: str, scan: Scan) -> Iterator[Callable[[], object]]:
        yield functools.partial(count_rows, self.root / scan.filename, _COLUMNS)
        yield functools.partial(self._pose, sequence, scan)
        yield functools.partial(self._check_labels, sequence, scan)

    def _check_labels(self, sequence: str, scan: Scan) -> None:
        path = _labels_file(self.root, scan)
        if path is not None:
            _check_label_file(path, count_rows(self.root / scan.filename, _COLUMNS))
            _class_lut(self._folder(sequence))

    def _labels(self, sequence: str, scan: Scan, points: int) -> NDArray[np.uint8] | None:
        path = _labels_file(self.root, scan)
        if path is None:
            return None
        _check_label_file(path, points)
        classes: NDArray[np.uint8] = _class_lut(self._folder(sequence))[np.fromfile(path, dtype=np.uint8)]
        return classes

    def _pose(self, sequence: str, scan: Scan) -> NDArray[np.float64]:
        tables = self._tables(sequence)
        if scan.ego_pose not in tables.ego_poses:
            raise UserError(
                f"{self._folder(sequence)}/ego_pose.json: has no pose for {scan.filename}; the table is cut short "
                "or of another release, unpack the version's metadata archive again"
            )
        global_SE3_ego = rigid(tables.ego_poses[scan.ego_pose])
        pose: NDArray[np.float64] = global_SE3_ego @ tables.ego_SE3_lidar[scan.calibration] @ _LIDAR_SE3_SENSOR
        return pose

    def _scans(self, sequence: str) -> tuple[Scan, ...]:
        return self._tables(sequence).scans[sequence]

    def _tables(self, sequence: str) -> Tables:
        return read_tables(self._folder(sequence))

    def _folder(self, sequence: str) -> Path:
        return self.root / _version_of_scene(self.root)[sequence]


def open_dataset(root: Path) -> NuScenes:
    """Open the versions below ``root``. Raises UserError where there is none, or tables are missing."""
    if not versions(root):
        raise UserError(
            f"{root}: looked for a folder of tables, {' or '.join(VERSIONS)}, and found: {found_in(root)}. "
            f"Poses and scenes are in its tables ({', '.join(TABLES)}.json): unpack the metadata archive into {root}, "
            f"or pass the folder that holds it and 'samples'{_hint(root)}"
        )
    for version in versions(root):
        missing = missing_tables(root / version)
        if missing:
            raise UserError(
                f"{root / version}: the tables {', '.join(missing)} are missing; unpack the version's metadata archive "
                "again"
            )
    dataset = NuScenes(root)
    if not dataset.sequences():
        raise UserError(
            f"{root}: has the tables of {', '.join(versions(root))}, but none of the key frames that they list, as "
            f"samples/LIDAR_TOP/*.pcd.bin; found: {found_in(root)}. Unpack the file blobs into {root}"
        )
    return dataset


def read_points(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read one .pcd.bin file; needs no tables.

    Returns:
        xyz, float32 [N, 3], metres, x forward, y left, z up; intensity, float32 [N], 0..1.

    Raises:
        UserError: missing or cut short.
    """
    points = read_rows(path, _COLUMNS)
    xyz = np.stack([points[:, 1], -points[:, 0], points[:, 2]], axis=1)
    return xyz, np.clip(np.nan_to_num(points[:, 3] / np.float32(255)), 0, 1)


def _hint(root: Path) -> str:
    if root.name in VERSIONS:
        return f". This is the folder of tables itself: pass the one above, --root {root.absolute().parent}"
    if (root / "samples" / "LIDAR_TOP").is_dir():
        return ". The points are here, the tables are not; without them only single files can be read (read_points)"
    return ""


@functools.lru_cache(maxsize=4)
def _version_of_scene(root: Path) -> dict[str, str]:
    """Version whose tables a scene is read by: the first of ``VERSIONS`` that has it."""
    return {scene: version for version in reversed(versions(root)) for scene in read_tables(root / version).scans}


@functools.lru_cache(maxsize=4)
def _scenes(root: Path) -> tuple[str, ...]:
    found = _version_of_scene(root)
    return tuple(sorted(scene for scene in found if _is_there(root, read_tables(root / found[scene]).scans[scene])))


def _is_there(root: Path, scans: tuple[Scan, ...]) -> bool:
    return any((root / scan.filename).exists() for scan in scans if scan.is_key_frame)


@functools.lru_cache(maxsize=4)
def _class_lut(folder: Path) -> NDArray[np.uint8]:
    raw_classes = read_tables(folder).raw_classes
    if not raw_classes:
        raise UserError(
            f"{folder}/category.json: has no 'index' of the raw labels, though there are labels; nuScenes-lidarseg "
            "brings its own category.json, unpack it over this folder"
        )
    return class_lut(raw_classes)


def _labels_file(root: Path, scan: Scan) -> Path | None:
    """The label file that the tables name, or None where there is none or none were unpacked at all."""
    path = None if scan.labels is None else root / scan.labels
    return path if path is not None and path.parent.is_dir() else None


def _check_label_file(path: Path, points: int) -> None:
    if not path.exists():
        raise UserError(f"{path}: missing; unpack nuScenes-lidarseg again, or remove the folder {path.parent}")
    check_label_size(path, points, 1)
