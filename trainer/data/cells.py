"""Cells of a grid that two views share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    cell = np.floor((np.concatenate([first, second]) + corner) / edge_m).astype(np.int64)
    if len(cell) == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    cell -= cell.min(axis=0)
    key = np.ravel_multi_index(tuple(cell.T), tuple(cell.max(axis=0) + 1))  # single numbers sort much faster than rows
    numbers = np.unique(key, return_inverse=True)[1].astype(np.int32)
    return numbers[: len(first)], numbers[len(first) :]
