"""Points as columns by name, and what the readers of all formats share: limits, errors, binary records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line

Columns = dict[str, NDArray[Any]]
"""Columns [N] of a sweep, by lower-case name."""
NUMBER_TYPES: Final = {"float32": "<f4", "float64": "<f8", "float16": "<f2", "big_endian_float32": ">f4"}
"""Types of the numbers in .bin files, by the name that a user gives."""
MAX_POINTS: Final = 2**25
"""Points of a file: ten times what one revolution of any LiDAR gives."""
MAX_BYTES: Final = 2**31
"""Bytes of a file of points, also of what it unpacks to."""


def damaged(path: Path, what: object) -> UserError:
    """Return the error for a file that is not what its format requires."""
    return UserError(f"{path}: {one_line(what)}; the file is damaged or of another format, fetch or convert it again")


def check_points(path: Path, points: int) -> int:
    """Return a number of points that a file claims. Raises UserError for one that no sweep has."""
    if not 0 <= points <= MAX_POINTS:
        raise damaged(path, f"claims {points} points, expected at most {MAX_POINTS}")
    return points


def read_start(path: Path, size: int) -> bytes:
    """Read the first ``size`` bytes of a file. Raises UserError for what is no file, FileNotFoundError."""
    try:
        with files.open_regular(path) as file:
            return file.read(size)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected a file of points") from None


def read_rest(path: Path, offset: int) -> bytes:
    """Read a file from ``offset`` to its end. Raises UserError where it is larger than any sweep."""
    with files.open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise damaged(path, f"has more than {MAX_BYTES} bytes, more than any sweep")
        file.seek(offset)
        return file.read()


def check_size(path: Path, offset: int, expected: int) -> None:
    """Raise UserError unless a file has ``expected`` bytes or more after ``offset``."""
    size = path.stat().st_size - offset
    if size < expected:
        raise damaged(path, f"is cut short: {size} bytes of points, expected {expected}")


def from_records(records: NDArray[Any]) -> Columns:
    """Split records [N] into columns; those of several values per point are left out."""
    found = {name: records[name] for name in records.dtype.names or ()}
    return {name.lower(): np.ascontiguousarray(column) for name, column in found.items() if column.ndim == 1}


def from_text(path: Path, data: bytes, dtype: np.dtype[Any], points: int) -> Columns:
    """Read rows of numbers in ASCII as the fields of ``dtype``, float64 each."""
    names = dtype.names or ()
    widths = [int(np.prod(dtype[name].shape, dtype=int)) for name in names]
    try:
        values = np.array(data.split(), dtype=np.float64)
    except ValueError as error:
        raise damaged(path, error) from None
    if len(values) < points * sum(widths):
        raise damaged(path, f"is cut short: {len(values)} numbers, expected {points} rows of {sum(widths)}")
    rows = values[: points * sum(widths)].reshape(points, sum(widths))
    starts = np.cumsum([0, *widths[:-1]]).tolist()
    return {
        name.lower(): np.ascontiguousarray(rows[:, start])
        for name, start, width in zip(names, starts, widths, strict=True)
        if width == 1
    }


def record_dtype(path: Path, fields: list[tuple[str, str, int]]) -> np.dtype[Any]:
    """Return the dtype of records by name, type and count of each field; padding fields get names of their own."""
    names = [name for name, _, _ in fields]
    twice = {name for name in names if names.count(name) > 1 and name != "_"}
    if twice:
        raise damaged(path, f"has two fields {sorted(twice)[0]}")
    if sum(count for _, _, count in fields) > _MAX_VALUES or not fields:
        raise damaged(path, f"has {len(fields)} fields, expected 3 to {_MAX_VALUES} values per point")
    unique = [f"_{number}" if name == "_" else name for number, name in enumerate(names)]
    return np.dtype(
        [(name, kind, (count,) if count > 1 else ()) for name, (_, kind, count) in zip(unique, fields, strict=True)]
    )


_MAX_VALUES: Final = 1024
