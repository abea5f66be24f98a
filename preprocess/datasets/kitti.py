"""KITTI's raw recordings and its object detection benchmark; for the odometry layout see ``semantickitti``.

The layouts are distinguished by their folder names and may lie under one root. Points are float32 (x, y, z, intensity
0..1) in the sensor frame, x forward, y left, z up, not motion-compensated; intensity is only clipped to 0..1. There are
no point labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets import _kitti_object, _kitti_raw
from iscc_lidar.preprocess.datasets._files import describe_folder
from iscc_lidar.preprocess.datasets.registry import DataProblem
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.kitti import LAYOUT


@dataclass(frozen=True)
class Kitti:
    """Raw drives and object frames below ``root``."""

    root: Path
    name: str = "kitti"
    class_names: tuple[str, ...] = LAYOUT.class_names
    posed: bool = True

    def without_poses(self) -> Kitti:
        """Return this dataset without the poses of its drives, which are then the identity."""
        return replace(self, posed=False)

    def sequences(self) -> tuple[str, ...]:
        """List the names of the drives, then of the object frames, each sorted."""
        return _kitti_raw.drives(self.root) + _kitti_object.frames(self.root)

    def splits(self) -> dict[str, tuple[str, ...]]:
        """Return the object frames by ``ImageSets``, else training and testing; the raw drives have no splits."""
        return _kitti_object.splits(self.root)

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the frame numbers of the sweeps of a sequence, in order."""
        if _kitti_object.is_frame(sequence):
            return (_kitti_object.points_file(self.root, sequence).stem,)
        return _kitti_raw.sweep_names(_kitti_raw.folder(self.root, sequence))

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files that the sweep depends on, as far as they exist."""
        if _kitti_object.is_frame(sequence):
            return _kitti_object.input_files(self.root, sequence)
        return _kitti_raw.input_files(
            _kitti_raw.folder(self.root, sequence), self.sweep_names(sequence)[index], posed=self.posed
        )

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find what is missing or damaged; each message names the file and what to do."""
        if _kitti_object.is_frame(sequence):
            return _kitti_object.problems(self.root, sequence)
        return _kitti_raw.problems(_kitti_raw.folder(self.root, sequence), posed=self.posed)

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep by its position in the sequence. Raises UserError for damaged or missing files."""
        name = self.sweep_names(sequence)[index]
        if _kitti_object.is_frame(sequence):
            return _kitti_object.read(self.root, sequence)
        return _kitti_raw.read(_kitti_raw.folder(self.root, sequence), name, posed=self.posed)


def open_dataset(root: Path) -> Kitti:
    """Open the drives and frames below ``root``. Raises UserError where there are none."""
    dataset = Kitti(root)
    if dataset.sequences():
        return dataset
    raise UserError(
        f"{root}: looked for DATE/DATE_drive_NNNN_sync/velodyne_points/data (raw) and training/velodyne/*.bin "
        f"(object), and found: {describe_folder(root)}. {_hint(root)}"
    )


def _hint(root: Path) -> str:
    """Suggest what to do, by what the root looks like."""
    broken = list(_kitti_object.broken_links(root))
    if broken:
        return f"{'; '.join(broken)}. Make the link again: ln -s FOLDER_OF_BIN_FILES velodyne"
    for odometry in (root, root / "dataset"):
        if any(odometry.glob("sequences/*/velodyne")):
            return f"This is the odometry layout: use semantickitti with --root {odometry}"
    if any(root.glob("*_drive_*")):
        return f"These are the drives of one date: pass the folder above, --root {root.absolute().parent}"
    if any(root.glob("*/*_drive_*_extract")):
        return "These are unsynced drives (_extract): fetch the 'synced+rectified data' instead"
    if (root / "velodyne").exists():
        return f"Pass the folder above, --root {root.absolute().parent}"
    return "Pass the folder that contains the dates or 'training' as --root (ROOT= with make)"
