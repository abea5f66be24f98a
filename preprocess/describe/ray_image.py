"""A sweep's rays by direction, to ask what they say about a place: seen through, surface, or hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.geometry import squared_lengths

_COLUMNS = 2048  # 0.18 degrees of azimuth
_ROWS = 512  # 0.18 degrees of elevation over half a turn, half the spacing of the beams of usual sensors


@dataclass(frozen=True)
class RayImage:
    """Rays of one sweep, at most one a cell of direction, all in one frame.

    Attributes:
        centre: float32 [3], metres: where directions are counted from, the mean of the rays' origins.
        ray: int32 [rows, columns], row of ``rays``, -1 where no ray went.
        rays: float32 [N, 7]: origin, direction of length 1 (0 for a ray without length), and length, metres. They lie
            side by side because they are read in an order of their own, where each row costs a way to memory.
    """

    centre: NDArray[np.float32]
    ray: NDArray[np.int32]
    rays: NDArray[np.float32]


def make_ray_image(origin: NDArray[np.float32], end: NDArray[np.float32]) -> RayImage:
    """Sort the rays [N, 3] of a sweep by direction; of several in one cell the longest stays."""
    centre = origin.mean(axis=0, dtype=np.float64) if len(origin) else np.zeros(3)
    rays = np.empty((len(origin), 7), np.float32)
    span = end - origin
    length = np.sqrt(squared_lengths(span))
    rays[:, :3], rays[:, 3:6], rays[:, 6] = origin, span / np.maximum(length, 1e-6)[:, None], length
    ray = np.full((_ROWS, _COLUMNS), -1, dtype=np.int32)
    order = np.argsort(length)
    row, column = _cell((end - centre.astype(np.float32)).take(order, axis=0))
    ray[row, column] = order  # of several rays in a cell the last assigned stays, the longest
    return RayImage(centre.astype(np.float32), ray, rays)


def contradicted(
    xyz: NDArray[np.float32], occupied: NDArray[np.bool_], image: RayImage, delta_m: float, tolerance_m: float
) -> NDArray[np.bool_]:
    """Whether a ray that passes within the tolerance of a place says the opposite: bool [M].

    A ray that goes on beyond an ``occupied`` place saw through it; one that ended at most delta_m
    before a free place says that there is matter. A place further behind the surface is hidden from it.
    """
    ray = image.ray[_cell(xyz - image.centre)]
    seen = np.flatnonzero(ray >= 0)
    rays = image.rays.take(ray[seen], axis=0)
    direction = rays[:, 3:6]
    way = xyz.take(seen, axis=0) - rays[:, :3]
    along = np.einsum("ij,ij->i", way, direction)
    beyond = rays[:, 6] - along
    opposite = np.where(occupied[seen], beyond > tolerance_m, (beyond < -tolerance_m) & (beyond > -delta_m))
    asked = np.flatnonzero(opposite)  # few: only theirs is the distance from the ray looked at
    off = way[asked] - along[asked, None] * direction[asked]
    result = np.zeros(len(xyz), dtype=bool)
    result[seen[asked[squared_lengths(off) < tolerance_m**2]]] = True
    return result


def _cell(direction: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    azimuth = np.arctan2(direction[:, 1], direction[:, 0])
    elevation = np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1]))
    column = ((azimuth / (2 * np.pi) + 0.5) * _COLUMNS).astype(np.int64) % _COLUMNS
    row = ((elevation / np.pi + 0.5) * _ROWS).astype(np.int64).clip(0, _ROWS - 1)
    return row, column
