"""Ground of a window: which of its stacked points lie on the ground, and how high the others stand above it.

All sweeps of the window show the ground together: where one sweep sees a ring of it every few metres, twelve from a
moving vehicle see most of it, and far objects are no longer taken for ground. First a surface: the highest one of
limited slope below the lowest point of each grid cell. Then, around each cell, a plane through what touches that
surface: a cell's lowest point is lower than the ground by the noise of the sensor, and on a slope by its own width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option

_CONTACT_M: Final = 0.08
_ROUNDING_M: Final = 1e-6
"""A cell's lowest point may lie below the surface by the rounding of the surface."""
_PLANE_CELLS: Final = 3
_MAX_TILT: Final = 0.3
_RIDGE_M2: Final = 0.02
"""Added to the variances of a plane's points: where they lie on one line, the plane is level across it."""
_NEAR_M: Final = (3.0, 15.0)
_MIN_NEAR_CELLS: Final = 20
_PIT_DEPTH_M: Final = 0.4
_BLOCK_CELLS: Final = 8
_MIN_BLOCK_CELLS: Final = 5
_TOUCH_M: Final = 0.2
_TOUCH_CELLS: Final = 9
_MIN_TOUCHING: Final = 0.15
_MAX_CELLS: Final = 2**21
"""Cells of the grid at most, 700 m on each side: a window of points spread over more has coarser ones."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroundConfig:
    """Options of ground removal."""

    method: Literal["surface", "none"] = option(
        "surface", "surface = the ground below a window's points; none = keep the ground, for ablations"
    )
    cell_m: float = option(
        0.5,
        "edge of a grid cell, m; finer than a wheel base, coarser than the ring spacing",
        at_least=0.05,
        at_most=100,
    )
    max_slope: float = option(
        0.2, "steepest ground relative to the sensor's own plane, rise over run", at_least=0, at_most=10
    )
    distance_m: float = option(
        0.08, "points up to this far above the plane of the ground around them are ground, m", at_least=0, at_most=10
    )
    feet_m: float = option(
        0.2,
        "points up to this far above it are in a group only if the group stands over them: feet, kerbs, grass, m",
        at_least=0,
        at_most=10,
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "ground")
        if self.feet_m < self.distance_m:
            raise ValueError(f"ground.feet_m must be at least ground.distance_m, {self.distance_m}, not {self.feet_m}")


def heights(xyz: NDArray[np.floating], config: GroundConfig) -> Array:
    """Compute how high each point of a window stands above the ground around it.

    Args:
        xyz: float [N, 3], metres, finite, of all sweeps of the window, z up like in one of its sensors.
        config: options.

    Returns:
        float64 [N], metres; above the surface alone, or infinite, where no ground is near; infinite if the method is
        none. Points below the ground, such as reflections, are below 0 by as much.
    """
    if len(xyz) == 0 or config.method == "none":
        return np.full(len(xyz), np.inf)
    x, y, z = (np.ascontiguousarray(xyz[:, axis], dtype=np.float64) for axis in range(3))
    grid = _Grid.around(x, y, config.cell_m)
    cell = grid.cell(x, y)
    lowest = _lowest(z, cell, grid)
    possible = z >= _floor(lowest, grid, config.max_slope).ravel()[cell]
    if not possible.all():
        lowest = _lowest(z[possible], cell[possible], grid)
    above = z - _surface(lowest.reshape(grid.rows, grid.columns), config.max_slope * grid.cell_m).ravel()[cell]
    touching = np.flatnonzero((above >= -_ROUNDING_M) & (above <= _CONTACT_M))
    at = x[touching], y[touching], cell[touching]
    off = z[touching] - _fit_planes(*at, z[touching], grid).below(*at)
    touching = touching[np.abs(off) <= _CONTACT_M / 2]  # once more, through what is nearer to the first planes
    planes = _fit_planes(x[touching], y[touching], cell[touching], z[touching], grid)
    height = z - planes.below(x, y, cell)
    height = np.where(np.isfinite(height), height, np.where(above > _TOUCH_M, above, np.inf))
    return np.where(above > _TOUCH_M, np.maximum(height, above), height)


@dataclass(frozen=True)
class _Grid:
    """Square cells from a corner on: ``rows`` along x, ``columns`` along y."""

    corner: tuple[float, float]
    cell_m: float
    rows: int
    columns: int

    @classmethod
    def around(cls, x: Array, y: Array, cell_m: float) -> _Grid:
        extent = (x.max() - x.min()) * (y.max() - y.min())
        cell_m = max(cell_m, float(np.sqrt(extent / _MAX_CELLS)))
        corner = tuple(float(np.floor(values.min() / cell_m) * cell_m) for values in (x, y))
        rows, columns = (int((values.max() - low) / cell_m) + 1 for values, low in zip((x, y), corner, strict=True))
        return cls((corner[0], corner[1]), cell_m, rows, columns)

    def cell(self, x: Array, y: Array) -> NDArray[np.int64]:
        row, column = (
            ((values - low) / self.cell_m).astype(np.int64) for values, low in zip((x, y), self.corner, strict=True)
        )
        return row * self.columns + column


@dataclass(frozen=True)
class _Planes:
    """A plane for each cell: z of its middle point, and slopes; z is infinite below where nothing is known."""

    x: Array
    y: Array
    z: Array
    slope_x: Array
    slope_y: Array

    def below(self, x: Array, y: Array, cell: NDArray[np.int64]) -> Array:
        """Return the height of the planes of some cells at places in them, [N]."""
        found: Array = self.z[cell] + (
            self.slope_x[cell] * (x - self.x[cell]) + self.slope_y[cell] * (y - self.y[cell])
        )
        return found


def _fit_planes(x: Array, y: Array, cell: NDArray[np.int64], z: Array, grid: _Grid) -> _Planes:
    """Fit a plane to the mean points of each cell and those around it, by least squares."""
    from scipy.ndimage import uniform_filter

    cells = grid.rows * grid.columns
    count = np.bincount(cell, minlength=cells)
    mean = [np.bincount(cell, weights=values, minlength=cells) / np.maximum(count, 1) for values in (x, y, z)]

    def around(values: Array) -> Array:
        average: Array = uniform_filter(values.reshape(grid.rows, grid.columns), _PLANE_CELLS, mode="constant").ravel()
        return average

    share = around((count > 0).astype(np.float64))
    known = share > 0.5 / _PLANE_CELLS**2
    scale = 1 / np.maximum(share, 1e-9)
    mx, my, mz = (around(values) * scale for values in mean)
    xx, xy, yy, xz, yz = (around(mean[a] * mean[b]) * scale for a, b in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2)))
    var_x, var_y, cov = xx - mx * mx + _RIDGE_M2, yy - my * my + _RIDGE_M2, xy - mx * my
    cov_xz, cov_yz = xz - mx * mz, yz - my * mz
    determinant = var_x * var_y - cov * cov
    slope_x = np.clip((var_y * cov_xz - cov * cov_yz) / determinant, -_MAX_TILT, _MAX_TILT)
    slope_y = np.clip((var_x * cov_yz - cov * cov_xz) / determinant, -_MAX_TILT, _MAX_TILT)
    return _Planes(mx, my, np.where(known, mz, -np.inf), slope_x, slope_y)


def _lowest(z: Array, cell: NDArray[np.int64], grid: _Grid) -> Array:
    lowest = np.full(grid.rows * grid.columns, np.inf)
    np.minimum.at(lowest, cell, z)
    return lowest


def _floor(lowest: Array, grid: _Grid, max_slope: float) -> Array:
    """Return the lowest height at which the ground can be in each cell, [rows, columns]: what is lower is a reflection.

    It falls from that of the ground around the sensor, the lower quartile of the cells' lowest points there.
    """
    x, y = (
        low + grid.cell_m * (np.arange(cells) + 0.5)
        for low, cells in zip(grid.corner, (grid.rows, grid.columns), strict=True)
    )
    distance = np.hypot(x[:, None], y[None])
    around = lowest.reshape(distance.shape)[(distance > _NEAR_M[0]) & (distance < _NEAR_M[1])]
    around = around[np.isfinite(around)]
    if len(around) < _MIN_NEAR_CELLS:
        return np.full(distance.shape, -np.inf)
    floor: Array = np.quantile(around, 0.25) - _PIT_DEPTH_M - max_slope * distance
    return floor


def _surface(lowest: Array, rise: float) -> Array:
    """Compute the highest surface of limited slope below the cells' lowest points: [rows, columns], metres.

    A cell far below the ground, a reflection, would pull the surface down for metres around it. Where it does, it is
    almost the only one there to touch the surface: such cells are left out, and the surface is computed again.
    """
    from scipy.ndimage import uniform_filter

    lowest = _without_pits(lowest)
    seen = np.isfinite(lowest)
    for _ in range(2):
        surface = _limit_slope(_limit_slope(lowest, rise).T, rise).T
        touches = seen & (lowest - surface <= _TOUCH_M)
        touching, of = (
            uniform_filter(values.astype(np.float32), _TOUCH_CELLS, mode="constant") for values in (touches, seen)
        )
        alone = touches & (touching < _MIN_TOUCHING * of)
        if not alone.any():
            return surface
        lowest = np.where(alone, np.inf, lowest)
        seen &= ~alone
    return _limit_slope(_limit_slope(lowest, rise).T, rise).T


def _without_pits(lowest: Array) -> Array:
    """Leave out cells far below most of their neighbourhood: reflections seen below the street.

    A neighbourhood is a block of cells; its reference is the lower quintile of their lowest points, which a car or a
    wall in the block does not affect.
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


def _limit_slope(surface: Array, rise: float) -> Array:
    """Lower a surface until it changes by at most ``rise`` from row to row."""
    ramp = rise * np.arange(len(surface))[:, None]
    upward = np.minimum.accumulate(surface - ramp, axis=0) + ramp
    downward = np.minimum.accumulate((surface + ramp)[::-1], axis=0)[::-1] - ramp
    limited: Array = np.minimum(upward, downward)
    return limited
