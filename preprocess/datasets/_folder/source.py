"""The sweeps of a sequence, whatever they are stored in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from iscc_lidar.preprocess.datasets._folder.options import FolderOptions
from iscc_lidar.preprocess.datasets._folder.times import Times
from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.preprocess.datasets._points.columns import Columns


class Source(Protocol):
    """The sweeps of a sequence, in order."""

    @property
    def name(self) -> str:
        """Name of the sequence."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sweeps, unique."""

    @property
    def watched(self) -> tuple[Path, ...]:
        """Files that are too large to digest."""

    def describe(self, index: int) -> str:
        """Return the file of a sweep, and which sweep it is of several, for errors."""

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that a sweep depends on, its points first."""

    def label_file(self, index: int) -> Path | None:
        """Find the file with a sweep's labels."""

    def times(self, options: FolderOptions) -> Times:
        """Return the times of the sweeps."""

    def count(self, index: int, options: FolderOptions) -> int:
        """Count the points of a sweep. Raises UserError for a damaged file."""

    def read(self, index: int, options: FolderOptions) -> Columns:
        """Read a sweep. Raises UserError for a damaged file."""

    def find_track(self, options: FolderOptions) -> Track | None:
        """Return the poses that belong to the sweeps; None where there are none."""
