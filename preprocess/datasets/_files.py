"""Helpers of the adapters: files of float32 rows, labels and numbers, numbered files, checks of poses and times."""

from __future__ import annotations

import errno
import functools
import stat
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_lines
from iscc_lidar.shared.base.text import one_line

_RIGID: Final = 1e-3  # as data_schemas.sweep requires of a pose
MAX_M: Final = 1e8  # beyond any map's coordinates, in metres

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


def existing(files: Iterable[Path]) -> tuple[Path, ...]:
    """Keep the files that exist; not folders and devices in their place, which reading a sweep refuses."""
    return tuple(file for file in files if file.is_file())


def visible_files(folder: Path, pattern: str) -> Iterator[Path]:
    """Find files as ``folder.glob`` does, but not hidden ones, as macOS and editors leave: ._000000.bin."""
    return (file for file in folder.glob(pattern) if not file.name.startswith("."))


def numbered_files(folder: Path, suffix: str, expected: str) -> tuple[str, ...]:
    """Return the names without suffix of a folder's files, which must be numbers, in numerical order.

    Hidden files are left out. Raises UserError where there is no file, one whose name is not what was ``expected``, or
    two of one number, such as 7 and 000007.
    """
    names = [file.stem for file in visible_files(folder, f"*{suffix}")]
    if not names:
        raise UserError(f"{folder}: contains no {suffix} file; unpack its archive again")
    return by_number(names, lambda name: f"{folder}/{name}{suffix}", expected)


def by_number(names: Sequence[str], file: Callable[[str], str], expected: str) -> tuple[str, ...]:
    """Sort names by the number that each is. Raises UserError where one is none, or two are the same number."""
    bad = sorted(name for name in names if not (name.isascii() and name.isdecimal()))
    if bad:
        raise UserError(f"{one_line(file(bad[0]))}: expected {expected} as the file's name")
    twice = [number for number, count in Counter(map(int, names)).items() if count > 1]
    if twice:
        first, second = sorted(name for name in names if int(name) == min(twice))[:2]
        raise UserError(f"{file(first)} and {file(second)}: two files of one number; remove the wrong one")
    return tuple(sorted(names, key=int))


def read_numbers(path: Path, columns: int) -> NDArray[np.float64]:
    """Read lines of ``columns`` numbers, float64 [N, columns]; a row's number is that of its line, from 0.

    What is not a number is NaN. Raises UserError for a line of another number of columns, also for a blank one between
    others, as it may belong to another frame, and FileNotFoundError.
    """
    rows = [line.split() for line in read_lines(path)]
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != columns), None)
    if wrong is not None:
        raise UserError(
            f"{path}: line {wrong} has {len(rows[wrong - 1])} columns, expected {columns} numbers in every line, as "
            "line 1 is of frame 0; fetch the file again"
        )
    try:
        return np.array(rows, dtype=np.float64).reshape(-1, columns)
    except ValueError:
        return np.array([[_number(text) for text in row] for row in rows], dtype=np.float64).reshape(-1, columns)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def to_transform(words: Sequence[str]) -> NDArray[np.float64]:
    """Convert a row of KITTI's format, 12 numbers, to [4, 4]. Raises ValueError for other words."""
    return np.vstack([np.array(words, dtype=np.float64).reshape(3, 4), [0, 0, 0, 1]])


def to_transforms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert rows of KITTI's format [P, 12] to [P, 4, 4]."""
    return np.concatenate([rows, np.tile([0.0, 0, 0, 1], (len(rows), 1))], axis=1).reshape(-1, 4, 4)


def is_rigid(transforms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of [P, 4, 4] are finite rotations and translations, bool [P]."""
    with np.errstate(invalid="ignore", over="ignore"):
        rotation = transforms[:, :3, :3]
        off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        good: NDArray[np.bool_] = (off < _RIGID) & (np.abs(transforms[:, :3, 3]) < MAX_M).all(axis=1)
        good[good] &= np.linalg.det(rotation[good]) > 0
    return good


def not_rigid(where: str) -> str:
    """Return the message for a transform that is not rigid."""
    return (
        f"{where}: is not a finite rotation and translation in metres; the numbers are damaged or in another order, "
        "fetch the file again"
    )


def check_rigid(transform: NDArray[np.float64], where: str) -> None:
    """Raise UserError unless [4, 4] is a finite rotation and translation."""
    if not is_rigid(transform[None])[0]:
        raise UserError(not_rigid(where))


def check_times(times: Sequence[float] | NDArray[np.int64], name: Callable[[int], str]) -> None:
    """Raise UserError unless each time is later than the one before; ``name`` describes number i."""
    wrong = np.flatnonzero(~(np.diff(np.asarray(times)) > 0))
    if len(wrong):
        later = int(wrong[0]) + 1
        raise UserError(
            f"{name(later)}: its time is not later than that before it ({times[later]} after {times[later - 1]}); the "
            "times are damaged or of another sequence, fetch them again"
        )


def file_size(path: Path) -> int:
    """Return the size of a file in bytes. Raises UserError for a folder, device or loop of links, FileNotFoundError."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise  # of the disk or the network
        raise UserError(f"{path}: is not a file, expected one ({error.strerror}); fetch it again") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is not a file, expected one; fetch it again")
    return status.st_size


def count_rows(path: Path, columns: int) -> int:
    """Count the points of a file of float32 rows by its size. Raises UserError where it is missing or cut short."""
    try:
        size = file_size(path)
    except FileNotFoundError:
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
    size = file_size(path)
    if size != bytes_each * points:
        raise UserError(
            f"{path}: {size} bytes, expected {bytes_each} for each of the sweep's {points} points; "
            "the label or the .bin file is damaged or of another sweep"
        )


def png_size(path: Path) -> tuple[int, int]:
    """Read width and height of a PNG file, pixels, from its header. Raises UserError where it is not one."""
    with files.open_regular(path) as file:
        header = file.read(24)
    if len(header) < 24 or header[:8] != b"\x89PNG\r\n\x1a\n":
        raise UserError(f"{path}: not a PNG image; fetch it again, or remove it: the most common size is assumed then")
    width, height = struct.unpack(">II", header[16:24])
    return int(width), int(height)


def describe_folder(root: Path) -> str:
    """List what a folder contains, for the message that something else was expected."""
    if not root.is_dir():
        return "no such folder"
    return one_line(", ".join(sorted(entry.name for entry in root.iterdir())[:8])) or "an empty folder"


def missing_path(path: Path) -> Path:
    """Return a missing file's folder if that is missing too, for one message instead of one per file."""
    return path if path.parent.is_dir() else path.parent
