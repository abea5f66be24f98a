"""SemanticKITTI, and any data in its layout: ``sequences/NN/{velodyne,labels,poses.txt,calib.txt,times.txt}``.

Points are float32 (x, y, z, intensity 0..0.99) in the sensor frame, motion-compensated; intensity is not changed.
``poses.txt`` is in the camera frame, so world_SE3_sensor = Tr^-1 P Tr with Tr from ``calib.txt``; its rows, like those
of ``times.txt``, are by frame number. Labels are optional.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import (
    cached_per_file,
    check_label_size,
    check_rigid,
    check_times,
    count_rows,
    describe_folder,
    existing,
    is_rigid,
    not_rigid,
    numbered_files,
    read_kitti_points,
    read_numbers,
    to_transform,
    to_transforms,
    visible_files,
)
from iscc_lidar.preprocess.datasets._problems import Rows, collect_problems
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines, regular
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.layouts.formats.kitti_objects import read_camera, read_objects, to_sensor
from iscc_lidar.shared.layouts.semantickitti import CLASS_OF_RAW, LAYOUT, UNLABELLED_RAW

_CLASS_LUT: Final = np.zeros(2**16, dtype=np.uint8)
_CLASS_LUT[list(CLASS_OF_RAW)] = list(CLASS_OF_RAW.values())

_SPLITS: Final = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": tuple(str(number) for number in range(11, 22)),
}

_LABEL_BYTES: Final = 4
_COLUMNS: Final = 4  # x, y, z, intensity
_NOMINAL_PERIOD_NS: Final = 100_000_000  # 10 Hz, where times.txt is absent
_MAX_TIME_S: Final = 9e9  # of 64 bits of nanoseconds

_read_camera = cached_per_file(read_camera)


@dataclass(frozen=True)
class SemanticKitti:
    """A dataset in SemanticKITTI's layout below ``root`` (the folder that contains ``sequences``)."""

    root: Path
    name: str = "semantickitti"
    class_names: tuple[str, ...] = LAYOUT.class_names
    posed: bool = True

    def without_poses(self) -> SemanticKitti:
        """Return this dataset without its poses, which are then the identity."""
        return replace(self, posed=False)

    def sequences(self) -> tuple[str, ...]:
        """List the names of the sequences that contain sweeps, sorted."""
        found = visible_files(self.root / "sequences", "*")
        return tuple(sorted(folder.name for folder in found if (folder / "velodyne").is_dir()))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the benchmark's splits: train is 00 to 10 without 08, val is 08, test 11 to 21."""
        return {split: tuple(s for s in self.sequences() if s in names) for split, names in _SPLITS.items()}

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the frame numbers of the sweeps of a sequence, in order."""
        return _sweep_names(self.root / "sequences" / sequence)

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files that the sweep depends on, as far as they exist."""
        folder = self.root / "sequences" / sequence
        name = self.sweep_names(sequence)[index]
        files = (
            folder / "velodyne" / f"{name}.bin",
            folder / "labels" / f"{name}.label",
            _box_file(folder, name),
            *([folder / "poses.txt"] if self.posed else []),
            folder / "calib.txt",
            folder / "times.txt",
        )
        return existing(files)

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find missing or damaged poses, calibration and times, and files whose size cannot be right."""
        folder = self.root / "sequences" / sequence
        names: tuple[str, ...] = ()
        try:
            names = self.sweep_names(sequence)
        except UserError as error:
            yield DataProblem(str(error))
        frames = [int(name) for name in names]
        of_poses = (
            functools.partial(_check_counts, folder / "poses.txt", frames),
            functools.partial(_read_calibration, folder / "calib.txt"),
        )
        of_times = functools.partial(_check_counts, folder / "times.txt", frames)
        of_sequence = (*of_poses, of_times) if self.posed else (of_times,)
        of_sweep = (_check_points, _check_labels, _boxes)
        yield from collect_problems(of_sequence, names, [functools.partial(check, folder) for check in of_sweep])
        for path in (folder / "poses.txt", folder / "times.txt") if self.posed else (folder / "times.txt",):
            with suppress(UserError):  # of the file, which is reported above
                rows = _rows(path)
                yield from rows.problems(frames) if rows is not None else ()

    def warnings(self, sequence: str) -> Iterator[str]:
        """Report poses and times of different counts: both go by frame number."""
        folder = self.root / "sequences" / sequence
        if not self.posed:
            return
        times, poses = _read_times(folder / "times.txt"), _read_poses(folder / "poses.txt")
        if times is not None and len(times) != len(poses):
            yield (
                f"{folder}: poses.txt has {len(poses)} rows, times.txt {len(times)}, expected one per frame in each; "
                "if a row is missing before the end, all later sweeps have the pose of another frame"
            )

    def unknown_labels(self, sequence: str, index: int) -> dict[int, int]:
        """Count the points of a sweep by each raw class id that SemanticKITTI does not have."""
        folder = self.root / "sequences" / sequence
        name = self.sweep_names(sequence)[index]
        raw = _read_labels(folder / "labels" / f"{name}.label", count_rows(folder / "velodyne" / f"{name}.bin", 4))
        counts = np.bincount([] if raw is None else raw & 0xFFFF, minlength=2**16)
        counts[[*CLASS_OF_RAW, *UNLABELLED_RAW]] = 0
        return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position in the sequence. Raises UserError for damaged or missing files."""
        folder = self.root / "sequences" / sequence
        name = self.sweep_names(sequence)[index]
        xyz, intensity = read_kitti_points(folder / "velodyne" / f"{name}.bin")
        raw = _read_labels(folder / "labels" / f"{name}.label", len(xyz))
        frame = int(name)
        boxes, camera = _boxes(folder, name)
        return Sweep(
            sequence=sequence,
            name=name,
            timestamp_ns=_timestamp_ns(folder / "times.txt", frame),
            xyz=xyz,
            intensity=intensity,
            origin=np.zeros((1, 3), dtype=np.float32),
            world_SE3_sensor=_pose(folder, frame) if self.posed else np.eye(4),
            semantic=None if raw is None else _CLASS_LUT[raw & 0xFFFF],
            instance=None if raw is None else (raw >> 16).astype(np.int32),
            boxes=boxes,
            camera=camera,
        )


def open_dataset(root: Path) -> SemanticKitti:
    """Open the dataset below ``root``. Raises UserError where no sequence with sweeps is found."""
    for candidate in (root, root / "dataset"):
        dataset = SemanticKitti(candidate)
        if dataset.sequences():
            return dataset
    raise UserError(
        f"{root}: looked for sequences/NN/velodyne/*.bin and found: {describe_folder(root)}. "
        "Pass the folder that contains 'sequences' as --root (ROOT= with make)"
    )


@functools.lru_cache(maxsize=256)
def _sweep_names(folder: Path) -> tuple[str, ...]:
    return numbered_files(folder / "velodyne", ".bin", "a frame number, as in 000042.bin,")


def _box_file(folder: Path, name: str) -> Path:
    return folder / "label_2" / f"{name}.txt"


def _boxes(folder: Path, name: str) -> tuple[Boxes, Camera] | tuple[None, None]:
    """Read boxes in the format of KITTI's object benchmark, which only synthetic data have."""
    if not (folder / "label_2").is_dir():
        return None, None
    camera = _read_camera(folder / "calib.txt")
    return to_sensor(read_objects(_box_file(folder, name)), camera), camera


def _read_labels(path: Path, points: int) -> NDArray[np.uint32] | None:
    if not _has_labels(path):
        return None
    check_label_size(path, points, _LABEL_BYTES)
    return np.fromfile(regular(path), dtype="<u4")


def _has_labels(file: Path) -> bool:
    """Return whether a sweep has labels. Raises UserError for a file of its number but another name: 7.label."""
    others = [name for name in _label_names(file.parent).get(int(file.stem), ()) if name != file.stem]
    if others:
        raise UserError(f"{file.parent}/{others[0]}.label: its sweep is named {file.stem}.bin; give both the same name")
    return file.exists()


@cached_per_file
def _label_names(folder: Path) -> Mapping[int, tuple[str, ...]]:
    """Return the names of the label files by their numbers."""
    names: dict[int, tuple[str, ...]] = {}
    for name in (file.stem for file in visible_files(folder, "*.label")):
        if name.isascii() and name.isdecimal():
            names[int(name)] = (*names.get(int(name), ()), name)
    return names


def _check_points(folder: Path, name: str) -> int:
    return count_rows(folder / "velodyne" / f"{name}.bin", _COLUMNS)


def _check_labels(folder: Path, name: str) -> None:
    labels = folder / "labels" / f"{name}.label"
    if _has_labels(labels):
        check_label_size(labels, _check_points(folder, name), _LABEL_BYTES)


def _check_counts(path: Path, frames: Sequence[int]) -> None:
    """Raise UserError where a file has no row for a frame: those of others may be the wrong ones, too."""
    rows = _rows(path)
    if rows is not None and (without := [frame for frame in frames if frame not in rows]):
        raise _no_row(path, len(rows), without[0])


def _no_row(path: Path, count: int, frame: int) -> UserError:
    return UserError(
        f"{path}: has {count} rows, none for frame {frame:06d}; expected one row per frame number from 0. Fetch the "
        "file again, or remove the sweeps that have none"
    )


def _rows(path: Path) -> Rows[int, Any] | None:
    """Read the poses or times of a sequence by frame number; None where the times are missing, which is allowed."""
    return _read_poses(path) if path.name == "poses.txt" else _read_times(path)


def _pose(folder: Path, frame: int) -> NDArray[np.float64]:
    poses = _read_poses(folder / "poses.txt")
    if frame not in poses:
        raise _no_row(folder / "poses.txt", len(poses), frame)
    camera_SE3_sensor = _read_calibration(folder / "calib.txt")
    world: NDArray[np.float64] = inverse(camera_SE3_sensor) @ poses[frame] @ camera_SE3_sensor
    return world


@cached_per_file
def _read_poses(path: Path) -> Rows[int, NDArray[np.float64]]:
    """Read the poses of the camera, float64 [4, 4], by frame number."""
    try:
        rows = read_numbers(path, 12)
    except FileNotFoundError:
        raise UserError(
            f"{path}: missing. It comes with SemanticKITTI's label download; KITTI's own poses/NN.txt differs and "
            "does not match the first sweeps of sequence 00. Without it, compute poses: --poses odometry"
        ) from None
    poses = to_transforms(rows)
    good = is_rigid(poses)
    return Rows(
        {row: poses[row] for row in np.flatnonzero(good).tolist()},
        {row: not_rigid(f"{path}: line {row + 1}") for row in np.flatnonzero(~good).tolist()},
    )


@cached_per_file
def _read_calibration(path: Path) -> NDArray[np.float64]:
    try:
        entries = dict(line.split(":", 1) for line in read_lines(path) if ":" in line)
        matrix = to_transform(entries["Tr"].split())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; poses are in the camera frame and need its Tr row") from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: expected a row 'Tr:' with 12 numbers ({error}); fetch the file again") from None
    check_rigid(matrix, f"{path}: Tr")
    return matrix


def _timestamp_ns(path: Path, frame: int) -> int:
    times = _read_times(path)
    if times is None:
        return frame * _NOMINAL_PERIOD_NS
    if frame not in times:
        raise _no_row(path, len(times), frame)
    return round(times[frame] * 1e9)


@cached_per_file
def _read_times(path: Path) -> Rows[int, float] | None:
    """Read the times in seconds by frame number; None where the file is missing."""
    try:
        times: list[float] = read_numbers(path, 1)[:, 0].tolist()
    except FileNotFoundError:
        return None
    good = {row: time for row, time in enumerate(times) if abs(time) < _MAX_TIME_S}
    lines = list(good)
    check_times(list(good.values()), lambda number: f"{path}: line {lines[number] + 1}")
    wrong = (row for row in range(len(times)) if row not in good)
    return Rows(good, {row: f"{path}: line {row + 1}: is not a time in seconds; fetch the file again" for row in wrong})
