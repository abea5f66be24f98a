"""Several LiDARs of one vehicle: their sweeps nearest in time become one, in the frame of the first LiDAR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._files import cached_per_file, check_rigid, existing, to_transform
from iscc_lidar.preprocess.datasets._folder.fields import coordinates, offsets_s
from iscc_lidar.preprocess.datasets._folder.options import FolderOptions
from iscc_lidar.preprocess.datasets._folder.source import Source
from iscc_lidar.preprocess.datasets._folder.times import Times
from iscc_lidar.preprocess.datasets._folder.tracks import Track
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.base.names import require_plain_name

EXTRINSICS_FILE: Final = "extrinsics.txt"
ORIGINS: Final = ("_origin_x", "_origin_y", "_origin_z")
"""Columns with where each point's LiDAR is, in units of the coordinates."""


@dataclass(frozen=True)
class MergedSource:
    """Sweeps of several LiDARs.

    Attributes:
        sources: the LiDARs; the first gives names, times and poses.
        first_SE3_lidar: float64 [4, 4] of each, metres.
        file: that the transforms are from, if any.
    """

    sources: tuple[Source, ...]
    first_SE3_lidar: tuple[NDArray[np.float64], ...]
    file: Path | None = None

    @property
    def name(self) -> str:
        """Name of the sequence."""
        return self.sources[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the first LiDAR's sweeps."""
        return self.sources[0].names

    @property
    def watched(self) -> tuple[Path, ...]:
        """Files that are too large to digest."""
        return tuple(dict.fromkeys(file for source in self.sources for file in source.watched))

    def describe(self, index: int) -> str:
        """Return the file of the first LiDAR's sweep."""
        return self.sources[0].describe(index)

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of all LiDARs that a sweep depends on."""
        found = [self.sources[0].files(index)]
        found += [source.files(k) for _, source, k in self._others(index, FolderOptions())]
        return (*(file for files in found for file in files), *existing([self.file] if self.file else ()))

    def label_file(self, index: int) -> Path | None:
        """Return no file: labels of several LiDARs are a column."""
        return None

    def times(self, options: FolderOptions) -> Times:
        """Return the times of the first LiDAR's sweeps."""
        return self.sources[0].times(options)

    def count(self, index: int, options: FolderOptions) -> int:
        """Count the points of all LiDARs."""
        others = sum(source.count(k, options) for _, source, k in self._others(index, options))
        return self.sources[0].count(index, options) + others

    def read(self, index: int, options: FolderOptions) -> Columns:
        """Read the sweeps of all LiDARs as one. Columns that not all have are left out."""
        at_ns = self.times(options).ns[index]
        parts = [_placed(self.sources[0], index, options, self.first_SE3_lidar[0], at_ns)]
        for lidar, source, k in self._others(index, options):
            parts.append(_placed(source, k, options, self.first_SE3_lidar[lidar], at_ns))
        names = [name for name in parts[0] if all(name in part for part in parts)]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def find_track(self, options: FolderOptions) -> Track | None:
        """Return the poses of the first LiDAR."""
        return self.sources[0].find_track(options)

    def _others(self, index: int, options: FolderOptions) -> Iterator[tuple[int, Source, int]]:
        """Yield number and source of each other LiDAR and its sweep nearest in time, within half a period."""
        mine = np.array(self.times(options).ns)
        period = int(np.median(np.diff(mine))) if len(mine) > 1 else 10**9
        for lidar, source in enumerate(self.sources[1:], start=1):
            apart = np.abs(np.array(source.times(options).ns) - mine[index])
            nearest = int(np.argmin(apart))
            if 2 * apart[nearest] <= period:
                yield lidar, source, nearest


def _placed(
    source: Source, index: int, options: FolderOptions, first_SE3_lidar: NDArray[np.float64], at_ns: int
) -> Columns:
    """Read a sweep with its points, their LiDAR's place and their times in the frame and time of the first LiDAR."""
    columns, own_ns = source.read(index, options), source.times(options).ns[index]
    xyz = coordinates(columns, source.describe(index))
    mount = first_SE3_lidar.copy()
    mount[:3, 3] /= options.range_scale or 1.0
    valid = np.isfinite(xyz).all(axis=1) & xyz.any(axis=1)
    xyz[valid] = transform(mount, xyz[valid])
    columns |= dict(zip("xyz", xyz.T, strict=True))
    columns |= {name: np.full(len(xyz), mount[axis, 3]) for axis, name in enumerate(ORIGINS)}
    offset_s = offsets_s(columns, options, own_ns)
    if offset_s is not None:
        columns[options.time_field] = (offset_s + (own_ns - at_ns) / 1e9) / options.time_unit_s
    return columns


@cached_per_file
def read_extrinsics(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the LiDARs of a sequence: per line a folder and 12 numbers, the LiDAR's pose on the vehicle as in KITTI.

    Raises UserError for other lines.
    """
    found: dict[str, Any] = {}
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            matrix = to_transform(words[1:])
        except ValueError:
            raise UserError(f"{path}: line {number}: expected the name of a folder and 12 numbers") from None
        check_rigid(matrix, f"{path}: line {number}")
        found[require_plain_name(words[0], f"{path}: line {number}")] = matrix
    if not found:
        raise UserError(f"{path}: has no line with the name of a folder and 12 numbers")
    return found


def merge(sources: list[Source], vehicle_SE3_lidar: list[NDArray[np.float64]], file: Path | None = None) -> Source:
    """Merge LiDARs by their poses on the vehicle; a single one stays as it is."""
    first = inverse(vehicle_SE3_lidar[0])
    return MergedSource(tuple(sources), tuple(first @ pose for pose in vehicle_SE3_lidar), file)
