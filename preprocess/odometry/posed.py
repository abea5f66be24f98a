"""A dataset with other poses than its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.datasets._files import existing
from iscc_lidar.preprocess.datasets._folder.times import Times
from iscc_lidar.preprocess.datasets._folder.tracks import Track, cached_track, passed_file
from iscc_lidar.preprocess.datasets._problems import collect_problems
from iscc_lidar.preprocess.datasets.registry import (
    DataProblem,
    Dataset,
    HasOptionalPoses,
    HasRawLabels,
    HasWarnings,
    MayLackPoses,
    watched_files,
)
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError


@dataclass(frozen=True)
class Posed:
    """``dataset`` with poses of its sensor frame from a file, or from a folder with one for each sequence."""

    dataset: Dataset
    poses: Path

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.dataset.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the dataset's classes."""
        return self.dataset.class_names

    @property
    def options(self) -> Any:
        """Options of the dataset, if it has any."""
        return self.dataset.options  # type: ignore[attr-defined]  # an AttributeError if not, as of the dataset

    def sequences(self) -> tuple[str, ...]:
        """List the dataset's sequences."""
        return self.dataset.sequences()

    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Return the dataset's splits."""
        return self.dataset.splits()

    def sweep_names(self, sequence: str) -> tuple[str, ...]:
        """List the names of a sequence's sweeps."""
        return self.dataset.sweep_names(sequence)

    def input_files(self, sequence: str, index: int) -> tuple[Path, ...]:
        """Return the files that a sweep depends on, that of the poses among them."""
        file = passed_file(self.poses, sequence)
        return (*self.dataset.input_files(sequence, index), *existing([file] if file else ()))

    def watched_files(self, sequence: str) -> tuple[Path, ...]:
        """Return the files that are too large to digest."""
        return watched_files(self.dataset, sequence)

    def problems(self, sequence: str) -> Iterator[DataProblem]:
        """Find the problems of the dataset and of the file of poses."""
        yield from self.dataset.problems(sequence)
        yield from collect_problems([lambda: self._track(sequence)])

    def warnings(self, sequence: str) -> Iterator[str]:
        """Describe what the dataset warns of."""
        if isinstance(self.dataset, HasWarnings):
            yield from self.dataset.warnings(sequence)

    def unknown_labels(self, sequence: str, index: int) -> Mapping[int, int]:
        """Count the points of a sweep by each label that the dataset does not define."""
        return self.dataset.unknown_labels(sequence, index) if isinstance(self.dataset, HasRawLabels) else {}

    def read(self, sequence: str, index: int) -> Sweep:
        """Read a sweep. Raises UserError for damaged files, and where it has no pose."""
        sweep, track = self.dataset.read(sequence, index), self._track(sequence)
        if track.by_position:
            return replace(sweep, world_SE3_sensor=track.world_SE3_sensor[index])
        return replace(sweep, world_SE3_sensor=track.at(np.array([sweep.timestamp_ns], np.int64))[0])

    def _track(self, sequence: str) -> Track:
        file = passed_file(self.poses, sequence)
        if file is None:
            raise UserError(f"--poses {self.poses}: contains neither {sequence}.tum nor {sequence}.txt")
        names = self.sweep_names(sequence)
        try:
            return cached_track(file, files.version(file), names, Times((), nominal=True))
        except OSError:
            raise UserError(f"--poses {file}: no such file") from None


def with_poses(dataset: Dataset, poses: Path) -> Dataset:
    """Return a dataset with poses of its LiDAR from a file, or a folder with SEQUENCE.tum or .txt of each sequence.

    Raises UserError where there is no such file or folder, or one file is passed for several sequences.
    """
    if not poses.exists():
        raise UserError(f"--poses {poses}: no such file or folder; expected one, or 'odometry' to compute poses")
    if not poses.is_dir() and len(dataset.sequences()) > 1:
        raise UserError(
            f"--poses {poses}: one file for {len(dataset.sequences())} sequences; pass a folder of NAME.tum"
        )
    return dataset.with_poses(poses) if isinstance(dataset, MayLackPoses) else Posed(without_poses(dataset), poses)


def without_poses(dataset: Dataset) -> Dataset:
    """Return a dataset that does not read its files of poses, where it can do without them."""
    found = dataset.without_poses() if isinstance(dataset, HasOptionalPoses) else None
    return dataset if found is None else found
