"""What adapters share: float32 rows, sizes of label files, what lies at a root, every complaint of a check."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError


def complaints(checks: Iterable[Callable[[], object]]) -> Iterator[str]:
    """Run every check and give the messages of those that raise UserError, each message once."""
    said = set()
    for check in checks:
        try:
            check()
        except UserError as error:
            message = str(error)
            if message not in said:
                said.add(message)
                yield message


def count_rows(path: Path, columns: int) -> int:
    """Number of points in a file of float32 rows, by its size. Raises UserError where it is missing or cut short."""
    try:
        size = path.stat().st_size
    except OSError:
        raise UserError(f"{first_missing(path)}: missing; unpack the archive that holds it again") from None
    if size % (4 * columns):
        raise UserError(
            f"{path}: {size} bytes is no whole number of points of {4 * columns} bytes; the file is cut short or "
            "damaged, fetch it again"
        )
    return size // (4 * columns)


def read_rows(path: Path, columns: int) -> NDArray[np.float32]:
    """Read a file of little-endian float32 rows [N, columns]. Raises UserError where missing or cut short."""
    count_rows(path, columns)
    return np.fromfile(path, dtype="<f4").reshape(-1, columns)


def check_label_size(path: Path, points: int, bytes_each: int) -> None:
    """Raise UserError where a file of labels does not have ``bytes_each`` for each point of its sweep."""
    size = path.stat().st_size
    if size != bytes_each * points:
        raise UserError(
            f"{path}: {size} bytes, expected {bytes_each} for each of the sweep's {points} points; "
            "the label or the .bin file is damaged or of another sweep"
        )


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG file, pixels, from its head. Raises UserError where it is none."""
    head = path.open("rb").read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        raise UserError(f"{path}: is no PNG image; fetch it again, or remove it: the commonest size is taken then")
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)


def found_in(root: Path) -> str:
    """What lies at a root, for the message that something else was looked for."""
    if not root.is_dir():
        return "no such folder"
    return ", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "an empty folder"


def first_missing(path: Path) -> Path:
    """The file's folder where that is not there either, for one message instead of one for each file."""
    return path if path.parent.is_dir() else path.parent
