"""Any folder of sweeps: .pcd, .ply, .las, .laz, .npy, .npz or .bin, in ``ROOT`` or in ``ROOT/SEQUENCE``; or bags.

A bag (ROS 1 or 2, MCAP) is a sequence; its poses are those of tf or odometry messages. Else poses are of the LiDAR, in
the files' own axes: ``poses.txt`` (KITTI) or ``NAME.tum`` next to the sweeps, or a file that is passed. What the files
do not define is found in some sweeps and can be set by ``--data`` (``FolderOptions``): columns, unit and axes of the
coordinates, the intensity that becomes 1, times of points, by which they are moved to where they are at the sweep's
time. Labels are a column, or ``NAME.label`` as in SemanticKITTI (class in the low 16 bits); ``ROOT/classes.txt`` names
the classes, the first is unlabelled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import check_rigid, describe_folder, existing
from iscc_lidar.preprocess.datasets._folder.deskew import deskew
from iscc_lidar.preprocess.datasets._folder.fields import coordinates, intensity_of, offsets_s, rotation_of
from iscc_lidar.preprocess.datasets._folder.found import find_difference, find_options
from iscc_lidar.preprocess.datasets._folder.labels import (
    check_label_file,
    classes_of,
    is_class,
    read_classes,
    read_labels,
)
from iscc_lidar.preprocess.datasets._folder.merged import ORIGINS
from iscc_lidar.preprocess.datasets._folder.options import NONE, FolderOptions
from iscc_lidar.preprocess.datasets._folder.source import Source
from iscc_lidar.preprocess.datasets._folder.sources import find_sequences, open_source, track_of
from iscc_lidar.preprocess.datasets._folder.tracks import Track, passed_file
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.preprocess.datasets._points.formats import SUFFIXES
from iscc_lidar.preprocess.datasets._problems import collect_problems
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.config import section
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.label_files import CLASSES_FILE


@dataclass(frozen=True)
class Folder:
    """Sweeps below ``root``; ``poses`` is a file of poses, or a folder of them by sequence, that was passed."""

    root: Path
    options: FolderOptions = section(FolderOptions)
    poses: Path | None = None
    name: str = "folder"
    given: FolderOptions | None = None  # as the user gave them, once the others are found
    posed: bool = True

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in classes.txt; without it there are no labels."""
        return read_classes(self._classes_file)

    def sequences(self) -> tuple[str, ...]:
        """List the names of the folders that contain sweeps, sorted."""
        return tuple(sorted(find_sequences(self.root, self.options)))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return no splits."""
        return {}

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the names of the sweeps of a sequence, in order."""
        return self._source(sequence).names

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files that the sweep depends on, as far as they exist."""
        passed = [file] if (file := self._passed_poses(sequence)) else []
        return existing([*self._source(sequence).files(index), *passed, self._classes_file])

    def watched_files(self, sequence: str) -> tuple[Path, ...]:
        """Return the files that are too large to digest."""
        return self._source(sequence).watched

    def settled(self) -> tuple[Folder, tuple[str, ...]]:
        """Return this dataset with "auto" in its options replaced by what some sweeps show, and notes for the user."""
        found = find_options(self.root, self.options)
        return replace(self, options=found.options, given=self.given or self.options), found.notes

    def with_poses(self, poses: Path) -> Folder:
        """Return this dataset with poses from a file, or from a folder with a file for each sequence."""
        return replace(self, poses=poses)

    def without_poses(self) -> Folder | None:
        """Return this dataset without its poses, which are then the identity; None if points are deskewed by them."""
        return None if self._options.deskew == "on" else replace(self, posed=False)

    def has_poses(self, sequence: str) -> bool:
        """Return whether there are poses of a sequence."""
        return bool(self._passed_poses(sequence)) or self._source(sequence).find_track(self.options) is not None

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find missing or wrong poses and times, and files whose header or size cannot be right."""
        source, options = self._source(sequence), self._options
        places = {name: index for index, name in enumerate(source.names)}
        of_sequence: list[Callable[[], object]] = [
            functools.partial(self._check_alike, sequence),
            lambda: self.class_names,
        ]
        of_sweep: list[Callable[[str], object]] = [
            lambda name: source.count(places[name], options),
            lambda name: check_label_file(source, places[name], options),
        ]
        if self.posed:
            of_sequence.append(functools.partial(self._track, source))
            of_sweep.append(lambda name: self._pose(source, places[name]))
        yield from collect_problems(of_sequence, source.names, of_sweep)

    def warnings(self, sequence: str) -> Iterator[str]:
        """Report labels that are not used without names of the classes, and a missing column of intensity."""
        source, options = self._source(sequence), self._options
        if options.intensity_field != NONE and options.intensity_field not in source.read(0, options):
            yield f"{source.describe(0)}: has no column {options.intensity_field}, as others have; intensity is 0 there"
        if len(self.class_names) < 2 and read_labels(source, 0, options)[0] is not None:
            yield (
                f"{self.root}: the sweeps have labels, which are not used without {self._classes_file}: one name "
                "of a class in each line, the first is that of label 0, unlabelled"
            )

    def unknown_labels(self, sequence: str, index: int) -> Mapping[int, int]:
        """Count the points of a sweep by each label beyond the classes of classes.txt."""
        if len(self.class_names) < 2:
            return {}
        semantic, _ = read_labels(self._source(sequence), index, self._options)
        if semantic is None:
            return {}
        values, counts = np.unique(semantic[~is_class(semantic, len(self.class_names))], return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position. Raises UserError for damaged files, and where it has no pose."""
        source, options = self._source(sequence), self._options
        columns, sweep_ns = source.read(index, options), source.times(options).ns[index]
        xyz = coordinates(columns, source.describe(index)) * options.range_scale
        origin, offset_s = _origins(columns) * options.range_scale, offsets_s(columns, options, sweep_ns)
        world_SE3_file = self._pose(source, index)
        if offset_s is not None:
            xyz, origin = _deskewed(xyz, origin, offset_s, self._track(source), sweep_ns)
        semantic, instance = read_labels(source, index, options, columns)
        file_SE3_sensor = np.eye(4)
        file_SE3_sensor[:3, :3] = rotation_of(options).T
        return Sweep(
            sequence=sequence,
            name=source.names[index],
            timestamp_ns=sweep_ns,
            xyz=_without_ego(_rotated(rotation_of(options), xyz), options.ego_box),
            intensity=intensity_of(columns, options, len(xyz)),
            origin=_rotated(rotation_of(options), origin),
            world_SE3_sensor=world_SE3_file @ file_SE3_sensor,
            semantic=classes_of(semantic, len(self.class_names)),
            instance=instance,
        )

    def read_unposed(self, sequence: str, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, int]:
        """Read the points of a sweep as measured, to compute its pose.

        Returns:
            valid points, float64 [M, 3], metres, in the file's axes; seconds of each after the sweep's time, float64
            [M], or None where they have no times; the sweep's time, nanoseconds.
        """
        source, options = self._source(sequence), self._options
        columns, sweep_ns = source.read(index, options), source.times(options).ns[index]
        xyz = coordinates(columns, source.describe(index)) * options.range_scale
        seen = _without_ego(_rotated(rotation_of(options), xyz), options.ego_box)
        valid = _valid(xyz) & np.isfinite(seen).all(axis=1)
        offset_s = offsets_s(columns, options, sweep_ns)
        return xyz[valid], None if offset_s is None else offset_s[valid], sweep_ns

    @property
    def _classes_file(self) -> Path:
        return (self.root.parent if self.root.is_file() else self.root) / CLASSES_FILE

    @property
    def _options(self) -> FolderOptions:
        return find_options(self.root, self.options).options

    def _source(self, sequence: str) -> Source:
        return open_source(self.root, sequence, self.options)

    def _passed_poses(self, sequence: str) -> Path | None:
        """Return the file of poses that was passed for a sequence."""
        return None if self.poses is None else passed_file(self.poses, sequence)

    def _track(self, source: Source) -> Track:
        """Return the poses of the LiDAR. Raises UserError where there are none."""
        passed = self._passed_poses(source.name)
        own = source.find_track(self.options) if self.poses is None else None
        track = track_of(passed, source, self.options) if passed else own
        if track is None:
            where = f"{self.root}: sequence {source.name}" if self.poses is None else f"{self.poses}"
            looked = "poses.txt, *.tum" if self.poses is None else f"{source.name}.tum, {source.name}.txt"
            raise UserError(
                f"{where}: no poses (looked for {looked}); compute them with --poses odometry, or pass --poses FILE"
            )
        mount = self.options.lidar_in_pose_frame
        return replace(track, world_SE3_sensor=track.world_SE3_sensor @ _mount(mount)) if mount else track

    def _check_alike(self, sequence: str) -> None:
        """Raise UserError where a sequence's files differ from those by which open options were found."""
        if found := find_difference(self.root, sequence, self.given or self.options):
            raise UserError(found)

    def _pose(self, source: Source, index: int) -> NDArray[np.float64]:
        if not self.posed:
            return np.eye(4)
        time_ns = source.times(self.options).ns[index]
        found: NDArray[np.float64] = self._track(source).at(np.array([time_ns], np.int64))[0]
        return found


def open_dataset(root: Path) -> Folder:
    """Open the sweeps below ``root``. Raises UserError where there are none."""
    dataset = Folder(root)
    if dataset.sequences():
        return dataset
    raise UserError(
        f"{root}: looked for sweeps ({', '.join(SUFFIXES)}) in it and in its folders, and for bags, and found: "
        f"{describe_folder(root)}"
    )


def _valid(xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(xyz).all(axis=1) & xyz.any(axis=1))


def _origins(columns: Columns) -> NDArray[np.float64]:
    """Return where the LiDAR of each point is, float64 [N, 3] if there are several, else [1, 3]."""
    if ORIGINS[0] not in columns:
        return np.zeros((1, 3))
    return np.stack([columns[name] for name in ORIGINS], axis=1).astype(np.float64)


def _deskewed(
    xyz: NDArray[np.float64], origin: NDArray[np.float64], offset_s: NDArray[np.float64], track: Track, sweep_ns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Deskew the valid points and their origins; the others stay as they are."""
    valid = _valid(xyz)
    moved, origins = xyz.copy(), np.broadcast_to(origin, xyz.shape).copy()
    moved[valid] = deskew(xyz[valid], offset_s[valid], track, sweep_ns)
    origins[valid] = deskew(origins[valid], offset_s[valid], track, sweep_ns)
    return moved, origins


def _rotated(rotation: NDArray[np.float64], xyz: NDArray[np.float64]) -> NDArray[np.float32]:
    """Permute the axes of points, float32 [N, 3]: exact, and invalid ones stay invalid."""
    axes = np.abs(rotation).argmax(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(xyz[:, axes] * rotation.sum(axis=1), dtype=np.float32)


def _without_ego(xyz: NDArray[np.float32], box: tuple[float, ...]) -> NDArray[np.float32]:
    """Make the points in a box invalid, in place."""
    if box:
        corners = np.array(box, np.float32).reshape(2, 3)
        low, high = corners.min(axis=0), corners.max(axis=0)
        xyz[((xyz >= low) & (xyz <= high)).all(axis=1)] = np.nan
    return xyz


def _mount(values: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the pose of the LiDAR in the frame whose poses are given. Raises UserError for no unit quaternion."""
    from scipy.spatial.transform import Rotation

    if abs(np.linalg.norm(values[3:]) - 1) > 1e-2:
        raise UserError("--data lidar_in_pose_frame: expected x,y,z and a unit quaternion qx,qy,qz,qw")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_quat(values[3:]).as_matrix(), values[:3]
    check_rigid(pose, "--data lidar_in_pose_frame")
    return pose
