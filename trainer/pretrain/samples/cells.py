"""Number the cells of a grid that two views share."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MAX_COUNTED: Final = 2**17
"""Cells up to which an array over all of them is used; beyond, the points are sorted."""


def number_cells(
    first: NDArray[np.float32], second: NDArray[np.float32], corner: NDArray[np.float64], edge_m: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the cells of points [N1, D] and [N2, D] of one frame: int32 [N1] and [N2], numbered from 0.

    Args:
        first: positions, metres.
        second: further positions, metres.
        corner: float64 [D], metres; minus this is a corner of the grid.
        edge_m: edge of a cell, metres.
    """
    columns = np.ascontiguousarray(np.concatenate([first, second]).T)
    if columns.size == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    cell = np.floor((columns + corner[:, None]) / edge_m).astype(np.int64)
    cell -= cell.min(axis=1, keepdims=True)
    size = cell.max(axis=1) + 1
    key = np.ravel_multi_index(tuple(cell), tuple(size))
    if size.prod() > _MAX_COUNTED:
        numbers = np.unique(key, return_inverse=True)[1].astype(np.int32)
    else:  # several times as fast as sorting
        taken = np.zeros(size.prod(), np.int32)
        taken[key] = 1
        numbers = (np.cumsum(taken, dtype=np.int32) - 1)[key]
    return numbers[: len(first)], numbers[len(first) :]
