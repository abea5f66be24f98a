"""Cells of a grid that two views share."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST_COUNTED: Final = 2**17
"""Cells of a grid that is gone through from end to end; the points of a larger one are sorted."""


def number_cells(
    first: NDArray[np.float32], second: NDArray[np.float32], corner: NDArray[np.float64], edge_m: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number the cells that points [N1, D] and [N2, D] of one frame lie in: int32 [N1] and [N2], from 0 on.

    Args:
        first: positions, metres.
        second: further ones.
        corner: float64 [D], metres; the grid lies so that one of its corners is at minus this.
        edge_m: edge of a cell, metres.
    """
    columns = np.ascontiguousarray(np.concatenate([first, second]).T)
    if columns.size == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    cell = np.floor((columns + corner[:, None]) / edge_m).astype(np.int64)
    cell -= cell.min(axis=1, keepdims=True)
    size = cell.max(axis=1) + 1
    key = np.ravel_multi_index(tuple(cell), tuple(size))
    if size.prod() > _MOST_COUNTED:
        numbers = np.unique(key, return_inverse=True)[1].astype(np.int32)
    else:  # several times as fast as sorting
        taken = np.zeros(size.prod(), np.int32)
        taken[key] = 1
        numbers = (np.cumsum(taken, dtype=np.int32) - 1)[key]
    return numbers[: len(first)], numbers[len(first) :]
