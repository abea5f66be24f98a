"""Waymo Open Dataset v2 (Parquet): ``{training,validation,testing}/{component}/{context}.parquet``.

Read with pyarrow alone. A sequence is a context, a sweep one frame with the returns of all five LiDARs.

- Order of points: by laser (TOP 1, FRONT 2, SIDE_LEFT 3, SIDE_RIGHT 4, REAR 5), then return (1, 2), row and column of
  the range image; only pixels with range > 0. ``Sweep.pixel`` contains these four numbers.
- Sensor frame: the vehicle's axes with the origin at the mount of the TOP LiDAR. ``origin`` is the start of each
  return's ray: the mount of its laser, for TOP at its pixel's time.
- Points of TOP are transformed to the sweep's time by their pixels' poses (component lidar_pose), as Waymo does.
- Intensity is unbounded in the files (mostly below 1, reflectors reach thousands): tanh maps it to 0..1.
- Semantic classes and instances are of TOP's points, in labelled frames (component lidar_segmentation); points of the
  other LiDARs are unlabelled there.
- Boxes (component lidar_box) are those of every frame, without occlusion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, no_boxes
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets import _waymo_tables as tables
from iscc_lidar.preprocess.datasets._files import describe_folder, existing, visible_files
from iscc_lidar.preprocess.datasets._waymo_problems import PURPOSES, find_problems
from iscc_lidar.preprocess.datasets._waymo_returns import LaserCalibration, Returns, concatenate_returns, returns_of
from iscc_lidar.preprocess.datasets._waymo_tables import TOP, laser_name
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.config import option, section
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.waymo import LAYOUT

_SPLITS: Final = {"train": "training", "val": "validation", "test": "testing"}
_NEEDED: Final = tuple(PURPOSES)
_SEGMENTATION: Final = "lidar_segmentation"
_BOXES: Final = "lidar_box"
_OPTIONAL: Final = (_SEGMENTATION, _BOXES)


# By laser, then by return (1, 2): float [H, W, 4] range in metres, intensity, elongation, in no-label zone.
_Images = dict[int, dict[int, NDArray[Any]]]


@dataclass(frozen=True)
class WaymoOptions:
    """Options of reading Waymo's files."""

    second_return: bool = option(False, "append the second returns to each laser's first ones")
    nominal_pose: bool = option(
        False,
        "if lidar_pose is missing, use the frame's pose for all of TOP's pixels instead of raising an error; its "
        "points are then off by up to the distance driven in one revolution, 1 m at 36 km/h",
    )


@dataclass(frozen=True)
class Waymo:
    """Waymo Open Dataset v2 below ``root``, the folder that contains ``training``, ``validation`` or ``testing``."""

    root: Path
    name: str = "waymo"
    class_names: tuple[str, ...] = LAYOUT.class_names
    options: WaymoOptions = section(WaymoOptions)

    def sequences(self) -> tuple[str, ...]:
        """List the names of the contexts of all splits, sorted, also of those that lack a component."""
        return tuple(sorted({name for names in self.splits().values() for name in names}))

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the official splits: train, val and test are the folders training, validation and testing."""
        return {split: _contexts(self.root / folder) for split, folder in _SPLITS.items()}

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the timestamps of a context's frames in microseconds, in order."""
        return tuple(str(frame) for frame in tables.image_rows(self._file(sequence, "lidar")))

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files of the context, as far as they exist; all its sweeps are in the same ones."""
        return existing(self._file(sequence, component) for component in (*_NEEDED, *_OPTIONAL))

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find missing and damaged components, missing columns, frames without poses, lasers without calibration."""
        files = {component: self._file(sequence, component) for component in (*_NEEDED, *_OPTIONAL)}
        optional = (*_OPTIONAL, "lidar_pose") if self.options.nominal_pose else _OPTIONAL
        wanted = {component: file for component, file in files.items() if file.exists() or component not in optional}
        yield from find_problems(wanted, self._returns, nominal_pose=self.options.nominal_pose)
        twice = [folder for folder in _SPLITS.values() if sequence in _contexts(self.root / folder)]
        if len(twice) > 1:
            yield DataProblem(
                f"{self.root}: context {sequence} is in {' and '.join(twice)}; remove it from one of them"
            )

    def unknown_labels(self, sequence: str, index: int) -> dict[int, int]:
        """Count the points of a sweep by each class number that Waymo does not have."""
        frame = int(self.sweep_names(sequence)[index])
        file = self._file(sequence, _SEGMENTATION)
        lasers = tables.image_rows(file).get(frame, {}) if file.exists() else {}
        images = [tables.range_images(file, tables.LABELS, frame, laser, 1).get(1) for laser in lasers]
        classes = [image[..., 1].ravel() for image in images if image is not None]
        found, counts = np.unique(np.concatenate([np.empty(0, np.int32), *classes]), return_counts=True)
        known = range(len(self.class_names))
        return {int(c): int(n) for c, n in zip(found, counts, strict=True) if c not in known}

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position in the sequence. Raises UserError for missing or damaged files."""
        frame = int(self.sweep_names(sequence)[index])
        images = self._range_images(sequence, frame)
        world_SE3_vehicle = self._vehicle_pose(sequence, frame)
        returns = concatenate_returns(list(self._place(sequence, frame, images, world_SE3_vehicle)))
        semantic, instance = self._labels(sequence, frame, images, returns.pixel)
        vehicle_SE3_sensor = np.eye(4)
        vehicle_SE3_sensor[:3, 3] = self._calibration(sequence, TOP).vehicle_SE3_laser[:3, 3]
        return Sweep(
            sequence=sequence,
            name=str(frame),
            timestamp_ns=frame * 1000,
            xyz=(returns.xyz - vehicle_SE3_sensor[:3, 3]).astype(np.float32),
            intensity=returns.intensity,
            origin=(returns.origin - vehicle_SE3_sensor[:3, 3]).astype(np.float32),
            world_SE3_sensor=world_SE3_vehicle @ vehicle_SE3_sensor,
            semantic=semantic,
            instance=instance,
            pixel=returns.pixel,
            boxes=self._boxes(sequence, frame, vehicle_SE3_sensor[:3, 3]),
        )

    @property
    def _returns(self) -> int:
        return 2 if self.options.second_return else 1

    def _file(self, sequence: str, component: str) -> Path:
        for folder in _SPLITS.values():
            if any((self.root / folder / known / f"{sequence}.parquet").exists() for known in _NEEDED):
                return self.root / folder / component / f"{sequence}.parquet"
        raise UserError(f"{self.root}: contains no context {sequence} in {', '.join(_SPLITS.values())}")

    def _range_images(self, sequence: str, frame: int) -> _Images:
        file = self._file(sequence, "lidar")
        rows = tables.image_rows(file)[frame]
        if absent := tables.lasers(file) - rows.keys():
            name = laser_name(min(absent))
            raise UserError(f"{file}: has no range image of {name} for frame {frame}; fetch it again")
        # Read in the order of the file's rows, which is the fastest.
        images = {
            k: tables.range_images(file, tables.LIDAR, frame, k, self._returns)
            for k in sorted(rows, key=rows.__getitem__)
        }
        return dict(sorted(images.items()))

    def _boxes(self, sequence: str, frame: int, mount: NDArray[np.float64]) -> Boxes | None:
        """Read boxes in the sensor frame, whose axes are the vehicle's; None if the context lacks the component."""
        file = self._file(sequence, _BOXES)
        if not file.exists():
            return None
        of_frame = tables.boxes(file)
        found = of_frame[frame] if frame in of_frame else no_boxes()
        return replace(found, centre=found.centre - mount)

    def _vehicle_pose(self, sequence: str, frame: int) -> NDArray[np.float64]:
        file = self._file(sequence, "vehicle_pose")
        poses = tables.vehicle_poses(file)
        if frame not in poses:
            raise UserError(f"{file}: has no pose for frame {frame}; fetch the file again")
        return poses[frame]

    def _calibration(self, sequence: str, laser: int) -> LaserCalibration:
        file = self._file(sequence, "lidar_calibration")
        calibrations = tables.calibrations(file)
        if laser not in calibrations:
            raise UserError(f"{file}: has no entry for {laser_name(laser)}; fetch it again")
        return calibrations[laser]

    def _pixel_poses(self, sequence: str, frame: int) -> NDArray[np.floating[Any]] | None:
        """Read the poses of TOP's pixels [H, W, 6]; None if there are none and the frame's pose is to be used."""
        file = self._file(sequence, "lidar_pose")
        if file.exists() and TOP in tables.image_rows(file).get(frame, {}):
            image = tables.range_images(file, tables.POSE, frame, TOP, 1).get(1)
            if image is not None:
                return image
        if self.options.nominal_pose:
            return None
        fault = f"has no poses of the pixels of TOP for frame {frame}" if file.exists() else "missing"
        raise UserError(
            f"{file}: {fault}; fetch the component lidar_pose, or pass --data nominal_pose=true to use the frame's one "
            "pose, which is less exact"
        )

    def _place(
        self, sequence: str, frame: int, images: _Images, world_SE3_vehicle: NDArray[np.float64]
    ) -> Iterator[Returns]:
        for laser, of_return in images.items():
            calibration = self._calibration(sequence, laser)
            poses = self._pixel_poses(sequence, frame) if laser == TOP and of_return else None
            for number, image in of_return.items():
                try:
                    yield returns_of(image, laser, number, calibration, poses, world_SE3_vehicle)
                except ValueError as error:
                    where = f"frame {frame}, {laser_name(laser)}, return {number}"
                    raise UserError(f"{self._file(sequence, 'lidar')}: {where}: {error}") from None

    def _labels(
        self, sequence: str, frame: int, images: _Images, pixel: NDArray[np.uint16]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]] | tuple[None, None]:
        file = self._file(sequence, _SEGMENTATION)
        lasers = tables.image_rows(file).get(frame) if file.exists() else None
        if not lasers:
            return None, None
        semantic, instance = np.zeros(len(pixel), np.uint8), np.zeros(len(pixel), np.int32)
        for laser in lasers:
            of_return = tables.range_images(file, tables.LABELS, frame, laser, self._returns)
            for number, image in images.get(laser, {}).items():
                labels = of_return.get(number)
                if labels is None:
                    continue
                if labels.shape[:2] != image.shape[:2]:
                    raise UserError(
                        f"{file}: frame {frame}, laser {laser}, return {number}: labels of {labels.shape[:2]} pixels "
                        f"for a range image of {image.shape[:2]}; take both components from release 2.0.1"
                    )
                own = (pixel[:, 0] == laser) & (pixel[:, 1] == number)
                object_id, class_id = labels[pixel[own, 2], pixel[own, 3]].T
                semantic[own] = np.where((class_id > 0) & (class_id < len(self.class_names)), class_id, 0)
                instance[own] = object_id
        return semantic, instance


def open_dataset(root: Path) -> Waymo:
    """Open the dataset below ``root``. Raises UserError where no context with LiDAR data is found."""
    dataset = Waymo(root)
    if any(file for folder in _SPLITS.values() for file in visible_files(root / folder / "lidar", "*.parquet")):
        return dataset
    raise UserError(
        f"{root}: looked for {{training,validation,testing}}/lidar/*.parquet and found: {describe_folder(root)}. "
        "Pass the folder that contains 'training' as --root (ROOT= with make); the tables are those of the Waymo Open "
        "Dataset v2, the .tfrecord files of v1 are not read"
    )


def _contexts(folder: Path) -> tuple[str, ...]:
    files = (file for component in _NEEDED for file in visible_files(folder / component, "*.parquet"))
    return tuple(sorted({file.stem for file in files}))
