"""Helpers of the adapters: files of float32 rows and of labels, numbered files, errors collected by a check."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError

T = TypeVar("T")
_CACHED_FILES: Final = 64  # keys and small tables, a few kB each


def cached_per_file(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """Cache what a function reads from a file, until the file is changed or replaced.

    What it returns for a missing file is not cached.
    """

    @functools.lru_cache(_CACHED_FILES)
    def cached(path: Path, _version: tuple[int, ...]) -> T:
        return read(path)

    def read_or_cached(path: Path) -> T:
        try:
            version = files.version(path)
        except OSError:
            return read(path)
        return cached(path, version)

    return functools.wraps(read)(read_or_cached)


def collect_errors(checks: Iterable[Callable[[], object]]) -> Iterator[str]:
    """Run every check; yields the message of each UserError, each message once."""
    seen = set()
    for check in checks:
        try:
            check()
        except UserError as error:
            if str(error) not in seen:
                seen.add(str(error))
                yield str(error)


def existing(files: Iterable[Path]) -> tuple[Path, ...]:
    """Keep the files that exist."""
    return tuple(file for file in files if file.exists())


def numbered_files(folder: Path, suffix: str, expected: str) -> tuple[str, ...]:
    """Return the names without suffix of a folder's files, which must be numbers, in numerical order.

    Raises UserError where there is no file, or one whose name is not what was ``expected``.
    """
    names = [file.stem for file in folder.glob(f"*{suffix}")]
    bad = sorted(name for name in names if not name.isdecimal())
    if bad:
        raise UserError(f"{folder}/{bad[0]}{suffix}: expected {expected} as the file's name")
    if not names:
        raise UserError(f"{folder}: contains no {suffix} file; unpack its archive again")
    return tuple(sorted(names, key=int))


def count_rows(path: Path, columns: int) -> int:
    """Count the points of a file of float32 rows by its size. Raises UserError where it is missing or cut short."""
    try:
        size = path.stat().st_size
    except OSError:
        raise UserError(f"{missing_path(path)}: missing; unpack the archive that contains it again") from None
    if size % (4 * columns):
        raise UserError(
            f"{path}: {size} bytes is not a whole number of points of {4 * columns} bytes; the file is cut short or "
            "damaged, fetch it again"
        )
    return size // (4 * columns)


def read_rows(path: Path, columns: int) -> NDArray[np.float32]:
    """Read a file of little-endian float32 rows [N, columns]. Raises UserError where it is missing or cut short."""
    count_rows(path, columns)
    return np.fromfile(path, dtype="<f4").reshape(-1, columns)


def read_kitti_points(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read a .bin file of KITTI: xyz, float32 [N, 3], metres, and intensity, float32 [N], clipped to 0..1.

    Raises UserError where it is missing or cut short.
    """
    points = read_rows(path, 4)
    return np.ascontiguousarray(points[:, :3]), np.clip(np.nan_to_num(points[:, 3]), 0, 1)


def check_label_size(path: Path, points: int, bytes_each: int) -> None:
    """Raise UserError unless a label file has ``bytes_each`` bytes for each point of its sweep."""
    size = path.stat().st_size
    if size != bytes_each * points:
        raise UserError(
            f"{path}: {size} bytes, expected {bytes_each} for each of the sweep's {points} points; "
            "the label or the .bin file is damaged or of another sweep"
        )


def png_size(path: Path) -> tuple[int, int]:
    """Read width and height of a PNG file, pixels, from its header. Raises UserError where it is not one."""
    header = path.open("rb").read(24)
    if len(header) < 24 or header[:8] != b"\x89PNG\r\n\x1a\n":
        raise UserError(f"{path}: not a PNG image; fetch it again, or remove it: the most common size is assumed then")
    width, height = struct.unpack(">II", header[16:24])
    return int(width), int(height)


def describe_folder(root: Path) -> str:
    """List what a folder contains, for the message that something else was expected."""
    if not root.is_dir():
        return "no such folder"
    return ", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "an empty folder"


def missing_path(path: Path) -> Path:
    """Return a missing file's folder if that is missing too, for one message instead of one per file."""
    return path if path.parent.is_dir() else path.parent
