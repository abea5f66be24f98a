"""A sweep's rays by direction, to look up whether a location was seen through, is a surface, or is hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.geometry import squared_lengths

_COLUMNS = 2048  # 0.18 degrees of azimuth
_ROWS = 512  # 0.18 degrees of elevation over half a turn, half the spacing of the beams of usual sensors


@dataclass(frozen=True)
class RayImage:
    """Rays of one sweep, at most one per cell of direction, all in one frame.

    Attributes:
        centre: float32 [3], metres: the point that directions are seen from, the mean of the rays' origins.
        ray: int32 [rows, columns], row of ``rays``, -1 where there is no ray.
        rays: float32 [N, 7]: origin, unit direction (0 for a ray without length), and length, metres. In one array,
            because rows are read in random order: each costs one memory access rather than three.
    """

    centre: NDArray[np.float32]
    ray: NDArray[np.int32]
    rays: NDArray[np.float32]


def make_ray_image(origin: NDArray[np.float32], end: NDArray[np.float32]) -> RayImage:
    """Sort the rays [N, 3] of a sweep by direction; of several in one cell the longest is kept."""
    centre = origin.mean(axis=0, dtype=np.float64) if len(origin) else np.zeros(3)
    rays = np.empty((len(origin), 7), np.float32)
    span = end - origin
    length = np.sqrt(squared_lengths(span))
    rays[:, :3], rays[:, 3:6], rays[:, 6] = origin, span / np.maximum(length, 1e-6)[:, None], length
    ray = np.full((_ROWS, _COLUMNS), -1, dtype=np.int32)
    order = np.argsort(length)
    row, column = _cell((end - centre.astype(np.float32)).take(order, axis=0))
    ray[row, column] = order  # of several rays in a cell the last one assigned is kept, which is the longest
    return RayImage(centre.astype(np.float32), ray, rays)


def contradicted(
    xyz: NDArray[np.float32], occupied: NDArray[np.bool_], image: RayImage, delta_m: float, tolerance_m: float
) -> NDArray[np.bool_]:
    """Return which locations are contradicted by a ray that passes within the tolerance: bool [M].

    A ray that continues beyond an ``occupied`` location saw through it. A ray that ended at most delta_m before a free
    location shows that it is occupied; a free location further behind that surface is hidden from the ray.
    """
    ray = image.ray[_cell(xyz - image.centre)]
    seen = np.flatnonzero(ray >= 0)
    rays = image.rays.take(ray[seen], axis=0)
    direction = rays[:, 3:6]
    offset = xyz.take(seen, axis=0) - rays[:, :3]
    along = np.einsum("ij,ij->i", offset, direction)
    beyond = rays[:, 6] - along
    opposite = np.where(occupied[seen], beyond > tolerance_m, (beyond < -tolerance_m) & (beyond > -delta_m))
    candidates = np.flatnonzero(opposite)  # few: the distance from the ray is computed for these only
    across = offset[candidates] - along[candidates, None] * direction[candidates]
    result = np.zeros(len(xyz), dtype=bool)
    result[seen[candidates[squared_lengths(across) < tolerance_m**2]]] = True
    return result


def _cell(direction: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    azimuth = np.arctan2(direction[:, 1], direction[:, 0])
    elevation = np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1]))
    column = ((azimuth / (2 * np.pi) + 0.5) * _COLUMNS).astype(np.int64) % _COLUMNS
    row = ((elevation / np.pi + 0.5) * _ROWS).astype(np.int64).clip(0, _ROWS - 1)
    return row, column
