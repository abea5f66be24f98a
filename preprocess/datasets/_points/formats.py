"""The formats of files of points, by suffix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from iscc_lidar.preprocess.datasets._files import file_size
from iscc_lidar.preprocess.datasets._points import arrays, las, pcd, ply
from iscc_lidar.preprocess.datasets._points.columns import Columns, damaged


class _Reader(Protocol):
    """The module of a format."""

    def count_points(self, path: Path) -> int: ...
    def read_points(self, path: Path) -> Columns: ...


_READERS: Final[dict[str, _Reader]] = {".pcd": pcd, ".ply": ply, ".las": las, ".laz": las}
SUFFIXES: Final = (".bin", ".npy", ".npz", *_READERS)
"""Suffixes of the files that can be read, in lower case."""


def count_points(path: Path, names: Sequence[str], dtype: str) -> int:
    """Count the points of a file by its header and size; ``names`` and ``dtype`` of the columns as of read_points.

    Raises UserError where it is missing or damaged.
    """
    _require(path)
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return arrays.count_rows(path, names, dtype)
    if suffix in (".npy", ".npz"):
        return arrays.count_npy(path) if suffix == ".npy" else arrays.count_npz(path)
    return _READERS[suffix].count_points(path)


def read_points(path: Path, names: Sequence[str], dtype: str) -> Columns:
    """Read a file of points as columns [N] by lower-case name.

    ``names`` are those of the columns of .bin, .npy and .npz files, () for x, y, z, intensity in the last two;
    ``dtype`` is the type of the numbers in .bin files. Raises UserError where the file is missing or damaged.
    """
    _require(path)
    suffix = path.suffix.lower()
    if suffix == ".bin":
        columns = arrays.read_rows(path, names, dtype)
    elif suffix in (".npy", ".npz"):
        columns = (arrays.read_npy if suffix == ".npy" else arrays.read_npz)(path, names)
    else:
        columns = _READERS[suffix].read_points(path)
    for name, column in columns.items():
        if column.dtype.kind not in "fiub":
            raise damaged(path, f"{name} is {column.dtype}, expected numbers")
    return columns


def _require(path: Path) -> None:
    try:
        file_size(path)
    except FileNotFoundError:
        raise damaged(path, "missing") from None
