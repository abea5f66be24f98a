"""Files of plain arrays: .bin (rows of numbers without a header), .npy and .npz."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._points.columns import (
    MAX_BYTES,
    NUMBER_TYPES,
    Columns,
    check_points,
    damaged,
    from_records,
    read_rest,
)
from iscc_lidar.shared.base.errors import UserError

_USUAL: Final = ("x", "y", "z", "intensity")
_POINTS: Final = ("points", "xyz", "xyzi", "pointcloud", "point_cloud", "pc", "arr_0", "data")


def count_rows(path: Path, names: Sequence[str], dtype: str) -> int:
    """Count the points of a .bin file by its size. Raises UserError where the last row is cut."""
    size, each = path.stat().st_size, np.dtype(NUMBER_TYPES[dtype]).itemsize * len(names)
    if size % each:
        raise UserError(
            f"{path}: {size} bytes are no multiple of the {each} of a point ({len(names)} columns of {dtype}); the "
            "file is cut short, or has other columns: --data columns=x,y,z,..."
        )
    return check_points(path, size // each)


def read_rows(path: Path, names: Sequence[str], dtype: str) -> Columns:
    """Read the rows of a .bin file, whose columns have ``names``."""
    rows = count_rows(path, names, dtype)
    return name_columns(path, np.frombuffer(read_rest(path, 0), NUMBER_TYPES[dtype]).reshape(rows, len(names)), names)


def name_columns(path: Path, rows: NDArray[Any], names: Sequence[str] = ()) -> Columns:
    """Name the columns of rows [N, C]: without ``names`` the first four are x, y, z and intensity."""
    if not 3 <= rows.shape[1] <= 64:
        raise UserError(f"{path}: has {rows.shape[1]} columns, expected at least x, y, z")
    names = names or _USUAL[: rows.shape[1]] + ("_",) * (rows.shape[1] - len(_USUAL))
    if len(names) != rows.shape[1]:
        raise UserError(f"{path}: has {rows.shape[1]} columns, --data columns names {len(names)}")
    return {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(names) if name != "_"}


def count_npy(path: Path) -> int:
    """Count the points of a .npy file by its header and size."""
    with path.open("rb") as file:
        return _header(path, file, path.stat().st_size)[0][0]


def read_npy(path: Path, names: Sequence[str]) -> Columns:
    """Read a .npy file: rows [N, C], or records [N] with named fields."""
    return _named(path, load_array(path, read_rest(path, 0)), names)


def load_array(path: Path, data: bytes) -> NDArray[Any]:
    """Load an array of numbers from the content of a .npy file, whose header must fit its size."""
    file = io.BytesIO(data)
    shape, dtype, fortran = _header(path, file, len(data))
    found = np.frombuffer(data, dtype, count=int(np.prod(shape, dtype=np.int64)), offset=file.tell())
    return found.reshape(shape, order="F" if fortran else "C")


def count_npz(path: Path) -> int:
    """Count the points of a .npz file by the header of its first array."""
    with _zip(path) as archive:
        item = _members(path, archive)[0]
        with archive.open(item) as file:
            return _header(path, file, item.file_size)[0][0]


def read_npz(path: Path, names: Sequence[str]) -> Columns:
    """Read a .npz file: columns [N] by name, or rows [N, C] named points, xyz or the like, and columns next to it."""
    with _zip(path) as archive:
        arrays = {
            item.filename.removesuffix(".npy").lower(): load_array(path, archive.read(item))
            for item in _members(path, archive)
        }
    tables = [name for name, array in arrays.items() if array.ndim == 2 or array.dtype.names]
    rows = next((name for name in (*_POINTS, *tables) if name in tables), None)
    columns = {} if rows is None else _named(path, arrays[rows], names)
    columns |= {name: array for name, array in arrays.items() if array.ndim == 1 and not array.dtype.names}
    return {name: column for name, column in columns.items() if len(column) == len(next(iter(columns.values())))}


def _named(path: Path, array: NDArray[Any], names: Sequence[str]) -> Columns:
    if array.dtype.names:
        return from_records(array)
    if array.ndim != 2:
        raise damaged(path, f"its array has shape {list(array.shape)}, expected [points, columns] or records")
    return name_columns(path, array, names)


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Raises UserError where it is damaged, also when it is read within."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (FileNotFoundError, UserError, MemoryError):
        raise
    except Exception as error:  # of zipfile and of each way to compress, which have many
        raise damaged(path, f"{type(error).__name__}: {error}") from None


def _members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """List the arrays in an archive, which must unpack to a bounded size."""
    members = [item for item in archive.infolist() if item.filename.endswith(".npy")]
    if not members:
        raise damaged(path, "contains no array")
    if sum(item.file_size for item in members) > MAX_BYTES:
        raise damaged(path, f"unpacks to more than {MAX_BYTES} bytes, more than any sweep")
    return members


def _header(path: Path, file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Read the header of an array: shape, type and order. Raises UserError unless numbers of this size follow."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as error:  # of parsing a forged header, which has many
        raise damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if dtype.hasobject or not shape or min(shape) < 0:
        raise damaged(path, f"its array is {dtype} {list(shape)}, expected numbers")
    expected = dtype.itemsize
    for length in shape:
        expected *= length
    if file.tell() + expected > size:
        raise damaged(path, f"is cut short: {size} bytes, expected {file.tell() + expected}")
    check_points(path, shape[0])
    return shape, dtype, fortran
