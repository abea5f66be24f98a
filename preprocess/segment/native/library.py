"""The functions of spanning_tree.c on numpy arrays. They release the GIL."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.c_library import load_library
from iscc_lidar.shared.base.errors import UserError

_INTERFACE: Final = 2  # version of spanning_tree.c that this file was written for

_NO_MEMORY: Final = 1  # what its functions return

Edges = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Edges of a spanning tree, shortest first: both ends, int64 [N - 1], and the lengths, float64 [N - 1]."""


def available() -> bool:
    """Return whether the compiled library can be loaded."""
    return _load()[0] is not None


def why_not_available() -> str:
    """Return why the compiled library cannot be loaded, empty if it can."""
    return _load()[1]


def spanning_tree(xyz: NDArray[np.float64], min_samples: int) -> Edges:
    """Compute the exact minimum spanning tree of points by mutual reachability distance.

    Args:
        xyz: float64 [N, 3], N at least 2, metres, finite and within 1e100.
        min_samples: k of the core distance, the distance to the k-th other point; 1 to N - 1.

    Raises:
        ValueError: an argument is not as stated.
    """
    xyz, n = np.ascontiguousarray(xyz), len(xyz)
    if xyz.dtype != np.float64 or xyz.shape != (n, 3) or n < 2:
        raise ValueError(f"points must be float64 [N, 3] with N at least 2, not {xyz.dtype} {list(xyz.shape)}")
    first, second, length = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1)
    _refuse(_library().iscc_spanning_tree(_at(xyz), n, min_samples, *map(_at, (first, second, length))))
    return first, second, length


def join(first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Join N points along the N - 1 edges of a spanning tree, in order.

    Returns:
        the two nodes of each join, int64 [N - 1, 2], and the number of points of every node, int64 [2N - 1]. Nodes
        below N are points, node N + i is the i-th join.

    Raises:
        ValueError: the edges are not a tree of N points.
    """
    first, second, n = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(second, np.int64), len(first) + 1
    if first.shape != (n - 1,) or second.shape != (n - 1,):
        raise ValueError(f"both ends of edges must be [E], not {list(first.shape)} and {list(second.shape)}")
    children, size = np.empty((n - 1, 2), np.int64), np.empty(2 * n - 1, np.int64)
    _refuse(_library().iscc_join(_at(first), _at(second), n, _at(children), _at(size)))
    return children, size


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    found, reason = load_library("iscc_lidar.preprocess.segment.native._spanning_tree", _INTERFACE)
    if found is not None:
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        found.iscc_spanning_tree.argtypes = [pointer, size, size, pointer, pointer, pointer]
        found.iscc_join.argtypes = [pointer, pointer, size, pointer, pointer]
    return found, reason


def _library() -> ctypes.CDLL:
    found, reason = _load()
    if found is None:
        raise UserError(f"{reason}; or use the package hdbscan: --set clustering.spanning_tree=hdbscan")
    return found


def _at(array: NDArray[Any]) -> int:
    return array.ctypes.data


def _refuse(failed: int) -> None:
    if failed == _NO_MEMORY:
        raise MemoryError("not enough memory for the spanning tree of a window")
    if failed:
        raise ValueError("points that are not finite, a number of neighbours that there is not, or edges of no tree")
