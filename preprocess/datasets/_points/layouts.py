"""Guess the type and number of columns of a file of bare numbers: those by which it looks like a sweep."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets._points.columns import NUMBER_TYPES, read_start

_READ_BYTES: Final = 1_440_000  # a multiple of every row's size below, so that each layout begins with complete rows
_COLUMNS: Final = (3, 4, 5, 6, 8)
_ADVICE: Final = "Convert the data again, as the dataset defines them"


def other_layout(path: Path | str) -> str:
    """Describe the layout in which a file of rows looks like a sweep, or return general advice."""
    if str(path).endswith(".bin") and (data := Path(path).read_bytes()[:_READ_BYTES]):
        if data.startswith((b"\x93NUMPY", b"# .PCD", b"ply", b"VERSION")):
            return "The file has the header of another format; write bare rows of float32 numbers instead"
        own = 5 if str(path).endswith(".pcd.bin") else 4  # nuScenes, KITTI
        for name, columns in [("float32", own), *itertools.product(NUMBER_TYPES, _COLUMNS)]:
            if _is_plausible(data, NUMBER_TYPES[name], columns):
                found = f"Read as {columns} columns of {name} it looks like a sweep. "
                return (found if (name, columns) != ("float32", own) else "") + _ADVICE
    return _ADVICE


def fitting_layouts(path: Path) -> list[tuple[str, int]]:
    """List all types and numbers of columns in which a .bin file of complete rows looks like a sweep.

    Rows of twice or three times as many columns, which also fit, are left out; and a layout fits only if every second
    row by itself looks like a sweep, as rows of half the true length do not.
    """
    data, size, found = read_start(path, _READ_BYTES), path.stat().st_size, list[tuple[str, int]]()
    for name, columns in itertools.product(NUMBER_TYPES, range(3, 17)):
        dtype = NUMBER_TYPES[name]
        if size % (np.dtype(dtype).itemsize * columns) or any(n == name and columns % c == 0 for n, c in found):
            continue
        rows = _rows(data, dtype, columns)
        if all(_looks_like_a_sweep(rows[start::2]) for start in (0, 1)):
            found.append((name, columns))
    return found


def _is_plausible(data: bytes, dtype: str, columns: int) -> bool:
    return _looks_like_a_sweep(_rows(data, dtype, columns))


def _rows(data: bytes, dtype: str, columns: int) -> NDArray[np.floating]:
    size = np.dtype(dtype).itemsize * columns
    found: NDArray[np.floating] = np.frombuffer(data[: len(data) // size * size], dtype).reshape(-1, columns)
    return found


def _looks_like_a_sweep(rows: NDArray[np.floating]) -> bool:
    with np.errstate(all="ignore"):
        xyz = rows[:, :3].astype(np.float64)
        if len(xyz) < 100 or not np.isfinite(xyz).all() or np.abs(xyz).max() > 500:
            return False
    spread = np.percentile(xyz, 90, axis=0) - np.percentile(xyz, 10, axis=0)
    lengths = np.linalg.norm(xyz, axis=1)
    return bool(2 * spread[2] < spread[:2].min() and np.median(lengths) > 2 and spread[2] > 0.1)
