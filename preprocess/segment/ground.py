"""Ground removal: which returns of one sweep lie on the ground.

Patchwork++ (Lee et al., IROS 2022; package pypatchworkpp) fits planes to concentric patches. The grid method needs only
numpy: it takes the lowest return of each grid cell, and the highest surface of limited slope below these minima.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.base.errors import UserError

_DEFAULT_HEIGHT_M: Final = 1.73
_NEAR_M: Final = (3.0, 15.0)
_MIN_CELLS_FOR_HEIGHT: Final = 20
_BLOCK_CELLS: Final = 8
_MIN_BLOCK_CELLS: Final = 5
_PIT_DEPTH_M: Final = 0.4
_stdout_lock = threading.Lock()


@dataclass(frozen=True)
class GroundRemovalConfig:
    """Options of ground removal."""

    method: Literal["auto", "patchwork", "grid", "none"] = option(
        "auto",
        "patchwork = Patchwork++; grid = slope-limited surface below cell minima, needs only numpy; auto = patchwork "
        "if pypatchworkpp is installed, else grid, and the cache records which; none = keep the ground, for ablations",
    )
    sensor_height_m: float = option(
        0.0, "sensor above ground, m; 0 = estimate it in every sweep (KITTI: 1.73)", at_least=0, at_most=100
    )
    max_range_m: float = option(80.0, "returns further away horizontally are never ground, m", above=0, at_most=1000)
    plane_distance_m: float = option(
        0.08,
        "patchwork: half thickness of a patch's plane, m; its default of 0.125 removes more of the objects' feet",
        above=0,
        at_most=10,
    )
    cell_m: float = option(
        0.5,
        "grid: edge of a cell, m; finer than a wheel base, coarser than the ring spacing",
        at_least=0.05,
        at_most=100,
    )
    max_slope: float = option(
        0.2, "grid: steepest ground relative to the sensor's own plane, rise over run", at_least=0, at_most=10
    )
    grid_distance_m: float = option(
        0.12, "grid: returns up to this far above the surface are ground, m", at_least=0, at_most=10
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "ground")


def ground_mask(
    xyz: NDArray[np.float32], intensity: NDArray[np.float32], config: GroundRemovalConfig
) -> NDArray[np.bool_]:
    """Mark the returns of one sweep that lie on the ground.

    The result depends on this sweep alone: Patchwork++ adapts its thresholds from call to call, so each sweep gets a
    new instance.

    Args:
        xyz: float32 [N, 3], metres, sensor frame (z up), finite.
        intensity: float32 [N], 0..1; Patchwork++ uses it to detect reflections from below the ground.
        config: options.

    Returns:
        bool [N], true on the ground.

    Raises:
        UserError: the method is patchwork, which is not installed.
    """
    if config.method == "none":
        return np.zeros(len(xyz), np.bool_)
    if resolve_auto(config).method == "patchwork":
        return _patchwork_mask(xyz, intensity, config)
    return _grid_mask(xyz, config)


def resolve_auto(config: GroundRemovalConfig) -> GroundRemovalConfig:
    """Replace "auto" by the method that it means on this machine."""
    if config.method != "auto":
        return config
    installed = importlib.util.find_spec("pypatchworkpp") is not None
    return dataclasses.replace(config, method="patchwork" if installed else "grid")


def sensor_height(xyz: NDArray[np.float32], config: GroundRemovalConfig) -> float:
    """Estimate the height of the sensor above the ground around it, metres.

    The median of the slope-limited surface at ranges of 3 to 15 m; 1.73 m (KITTI) if too little ground is seen.
    """
    range_m = np.hypot(xyz[:, 0], xyz[:, 1])
    near = xyz[(range_m > _NEAR_M[0]) & (range_m < _NEAR_M[1])]
    if len(near) == 0:
        return _DEFAULT_HEIGHT_M
    cell, shape = _cells(near, config.cell_m)
    occupied = np.unique(cell)
    if len(occupied) < _MIN_CELLS_FOR_HEIGHT:
        return _DEFAULT_HEIGHT_M
    height = -float(np.median(_surface(near[:, 2], cell, shape, config).ravel()[occupied]))
    return height if height > 0.1 else _DEFAULT_HEIGHT_M


def _patchwork_mask(
    xyz: NDArray[np.float32], intensity: NDArray[np.float32], config: GroundRemovalConfig
) -> NDArray[np.bool_]:
    try:
        import pypatchworkpp
    except ImportError:
        raise UserError(
            "ground.method=patchwork needs the package pypatchworkpp, which is not installed: "
            "pip install pypatchworkpp, or set ground.method=grid"
        ) from None
    mask = np.zeros(len(xyz), dtype=np.bool_)
    if len(xyz) == 0:
        return mask
    parameters = pypatchworkpp.Parameters()
    parameters.verbose = False
    parameters.sensor_height = config.sensor_height_m or sensor_height(xyz, config)
    parameters.max_range = config.max_range_m
    parameters.th_dist = config.plane_distance_m
    parameters.intensity_thr = 0.0  # which the package leaves uninitialised
    with _silent_stdout():
        estimator = pypatchworkpp.patchworkpp(parameters)
    estimator.estimateGround(np.column_stack([xyz, intensity]).astype(np.float32))
    mask[np.asarray(estimator.getGroundIndices(), dtype=np.int64)] = True
    return mask


@contextlib.contextmanager
def _silent_stdout() -> Iterator[None]:
    # The constructor prints a line despite ``verbose``, and not through sys.stdout.
    with _stdout_lock:
        sys.stdout.flush()
        saved = os.dup(1)
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)


def _grid_mask(xyz: NDArray[np.float32], config: GroundRemovalConfig) -> NDArray[np.bool_]:
    mask = np.zeros(len(xyz), dtype=np.bool_)
    inside = np.flatnonzero(np.hypot(xyz[:, 0], xyz[:, 1]) <= config.max_range_m)
    if len(inside) == 0:
        return mask
    points = xyz[inside]
    cell, shape = _cells(points, config.cell_m)
    floor = -(config.sensor_height_m or sensor_height(xyz, config)) - _PIT_DEPTH_M
    possible = points[:, 2] >= floor - config.max_slope * np.hypot(points[:, 0], points[:, 1])
    surface = _surface(points[possible, 2], cell[possible], shape, config).ravel()[cell]
    mask[inside] = possible & (points[:, 2] - surface <= config.grid_distance_m)
    return mask


def _cells(xyz: NDArray[np.float32], cell_m: float) -> tuple[NDArray[np.int64], tuple[int, int]]:
    index = np.floor(xyz[:, :2] / cell_m).astype(np.int64)
    index -= index.min(axis=0)
    rows, columns = (int(n) for n in index.max(axis=0) + 1)
    return index[:, 0] * columns + index[:, 1], (rows, columns)


def _surface(
    z: NDArray[np.float32], cell: NDArray[np.int64], shape: tuple[int, int], config: GroundRemovalConfig
) -> NDArray[np.float64]:
    """Compute the highest surface of limited slope below the cells' lowest returns: [rows, columns], metres."""
    lowest = np.full(shape[0] * shape[1], np.inf)
    np.minimum.at(lowest, cell, z.astype(np.float64))
    surface = _without_pits(lowest.reshape(shape))
    rise = config.max_slope * config.cell_m
    return _limit_slope(_limit_slope(surface, rise).T, rise).T


def _without_pits(lowest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Remove minima far below most of their neighbourhood: reflections seen below the street.

    One such cell would pull the surface down for metres around it. A neighbourhood is a block of cells; its reference
    is the lower quintile of the minima, which a car or a wall in the block does not affect.
    """
    row, column = np.nonzero(np.isfinite(lowest))
    z = lowest[row, column]
    block = (row // _BLOCK_CELLS) * (lowest.shape[1] // _BLOCK_CELLS + 1) + column // _BLOCK_CELLS
    order = np.lexsort((z, block))
    _, start, member, count = np.unique(block[order], return_index=True, return_inverse=True, return_counts=True)
    reference = z[order][start + count // 5][member]
    pit = (z[order] < reference - _PIT_DEPTH_M) | (count[member] < _MIN_BLOCK_CELLS)
    kept = lowest.copy()
    if not pit.all():
        kept[row[order[pit]], column[order[pit]]] = np.inf
    return kept


def _limit_slope(surface: NDArray[np.float64], rise: float) -> NDArray[np.float64]:
    """Lower a surface until it changes by at most ``rise`` from row to row."""
    ramp = rise * np.arange(len(surface))[:, None]
    upward = np.minimum.accumulate(surface - ramp, axis=0) + ramp
    downward = np.minimum.accumulate((surface + ramp)[::-1], axis=0)[::-1] - ramp
    limited: NDArray[np.float64] = np.minimum(upward, downward)
    return limited
