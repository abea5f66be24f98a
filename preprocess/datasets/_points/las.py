"""LAS and LAZ files, by laspy and lazrs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from iscc_lidar.preprocess.datasets._points.columns import Columns, check_points, damaged
from iscc_lidar.shared.base.errors import UserError, missing_package
from iscc_lidar.shared.base.files import open_regular, regular

_USED: Final = ("intensity", "gps_time", "classification")
_HEADER_BYTES: Final = 247
_MINOR_AT: Final = 25
_RECORDS_AT: Final = 100
_RECORD_BYTES: Final = 54
_LATER_RECORDS_AT: Final = 243
_LATER_RECORD_BYTES: Final = 60
"""Places in the header of LAS 1.0 to 1.4, and sizes of a record without its data."""


def count_points(path: Path) -> int:
    """Count the points of a LAS or LAZ file by its header. Raises UserError where it is damaged."""
    with _open(path) as file:
        return _count(path, file)


def read_points(path: Path) -> Columns:
    """Read a LAS or LAZ file: coordinates in metres, float64, and what it has of each point."""
    with _open(path) as file:
        _count(path, file)
        try:
            points = file.read()
            names = [*_USED, *points.point_format.extra_dimension_names]
            found = {name: np.asarray(points[name]) for name in names if name in points.point_format.dimension_names}
            xyz = {axis: np.asarray(getattr(points, axis), dtype=np.float64) for axis in "xyz"}
        except Exception as error:  # of laspy and lazrs, which have many
            raise damaged(path, f"{type(error).__name__}: {error}") from None
    return xyz | {name.lower(): column for name, column in found.items() if column.ndim == 1}


def _open(path: Path) -> Any:
    try:
        import laspy
    except ModuleNotFoundError:
        raise missing_package(f"{path}: a LAS file", "laspy with lazrs", "formats") from None
    _check_records(path)
    try:
        return laspy.open(regular(path), laz_backend=laspy.LazBackend.Lazrs)  # without threads of its own
    except FileNotFoundError:
        raise
    except ModuleNotFoundError:
        raise missing_package(f"{path}: a LAZ file", "lazrs", "formats") from None
    except Exception as error:  # of laspy and lazrs, which have many
        raise damaged(path, f"{type(error).__name__}: {error}") from None


def _check_records(path: Path) -> None:
    """Raise UserError where a header claims more records than the file has room for: laspy would look for each."""
    with open_regular(path) as file:
        header = file.read(_HEADER_BYTES)
    counts = {at: int.from_bytes(header[at : at + 4], "little") for at in (_RECORDS_AT, _LATER_RECORDS_AT)}
    needed = counts[_RECORDS_AT] * _RECORD_BYTES
    if header[_MINOR_AT : _MINOR_AT + 1] >= b"\x04":
        needed = max(needed, counts[_LATER_RECORDS_AT] * _LATER_RECORD_BYTES)
    if needed > path.stat().st_size:
        raise damaged(path, f"claims variable length records of {needed} bytes")


def _count(path: Path, file: Any) -> int:
    header = file.header
    points = check_points(path, int(header.point_count))
    packed = bool(header.are_points_compressed)
    size = path.stat().st_size - int(header.offset_to_point_data)
    if not packed and size < points * int(header.point_format.size):
        raise damaged(path, f"is cut short: {size} bytes of points, expected {points} points")
    if packed and points > _MAX_POINTS_PER_BYTE * max(size, 0):
        raise UserError(f"{path}: {size} bytes claim {points} points; the file is damaged, fetch it again")
    if packed and points:
        _check_chunks(path, int(header.offset_to_point_data), points)
    return points


def _check_chunks(path: Path, start: int, points: int) -> None:
    """Raise UserError where a LAZ file claims more chunks than points: lazrs reserves memory for all, or aborts."""
    with open_regular(path) as file:
        file.seek(start)
        table = int.from_bytes(file.read(8), "little", signed=True)
        if table == -1:  # written as a stream: the place is at the end
            file.seek(-8, os.SEEK_END)
            table = int.from_bytes(file.read(8), "little", signed=True)
        if not start + 8 <= table <= path.stat().st_size - 8:
            raise damaged(path, "its table of chunks lies outside")
        file.seek(table + 4)  # after a version
        chunks = int.from_bytes(file.read(4), "little")
    if chunks > points:
        raise damaged(path, f"claims {chunks} chunks of {points} points")


_MAX_POINTS_PER_BYTE: Final = 50  # LAZ needs a few bytes per point, less only for points that are all the same
