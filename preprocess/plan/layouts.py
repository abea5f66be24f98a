"""Guess in which other type and number of columns a file of points would be sound, for the message that it is not."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_READ_BYTES: Final = 1_440_000  # a multiple of every row's size below, so that each layout begins with complete rows
_TYPES: Final = {"float32": "<f4", "float64": "<f8", "float16": "<f2", "big-endian float32": ">f4"}
_COLUMNS: Final = (3, 4, 5, 6, 8)
_ADVICE: Final = "Convert the data again, as the dataset defines them"


def other_layout(path: Path | str) -> str:
    """Describe the layout in which a file of rows looks like a sweep, or return general advice."""
    if str(path).endswith(".bin") and (data := Path(path).read_bytes()[:_READ_BYTES]):
        if data.startswith((b"\x93NUMPY", b"# .PCD", b"ply", b"VERSION")):
            return "The file has the header of another format; write bare rows of float32 numbers instead"
        own = 5 if str(path).endswith(".pcd.bin") else 4  # nuScenes, KITTI
        for name, columns in [("float32", own), *itertools.product(_TYPES, _COLUMNS)]:
            if _is_plausible(data, _TYPES[name], columns):
                found = f"Read as {columns} columns of {name} it looks like a sweep. "
                return (found if (name, columns) != ("float32", own) else "") + _ADVICE
    return _ADVICE


def _is_plausible(data: bytes, dtype: str, columns: int) -> bool:
    size = np.dtype(dtype).itemsize * columns
    rows: NDArray[np.float64] = np.frombuffer(data[: len(data) // size * size], dtype).reshape(-1, columns)
    with np.errstate(all="ignore"):
        xyz = rows[:, :3].astype(np.float64)
        if len(xyz) < 100 or not np.isfinite(xyz).all() or np.abs(xyz).max() > 500:
            return False
    spread = np.percentile(xyz, 90, axis=0) - np.percentile(xyz, 10, axis=0)
    lengths = np.linalg.norm(xyz, axis=1)
    return bool(2 * spread[2] < spread[:2].min() and np.median(lengths) > 2 and spread[2] > 0.1)
