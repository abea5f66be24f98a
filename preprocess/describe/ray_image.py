"""A sweep's rays by direction, to ask what they say about a place: seen through, surface, or hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_COLUMNS = 2048  # 0.18 degrees of azimuth
_ROWS = 512  # 0.18 degrees of elevation over half a turn, half the spacing of the beams of usual sensors


@dataclass(frozen=True)
class RayImage:
    """Rays of one sweep, at most one a cell of direction, all in one frame.

    Attributes:
        centre: float64 [3], metres: where directions are counted from, the mean of the rays' origins.
        ray: int32 [rows, columns], index into ``origin`` and ``end``, -1 where no ray went.
        origin: float32 [N, 3], metres.
        end: float32 [N, 3], metres.
    """

    centre: NDArray[np.float64]
    ray: NDArray[np.int32]
    origin: NDArray[np.float32]
    end: NDArray[np.float32]


def make_ray_image(origin: NDArray[np.float32], end: NDArray[np.float32]) -> RayImage:
    """Sort the rays [N, 3] of a sweep by direction; of several in one cell the longest stays."""
    centre = origin.mean(axis=0, dtype=np.float64) if len(origin) else np.zeros(3)
    ray = np.full((_ROWS, _COLUMNS), -1, dtype=np.int32)
    length = np.linalg.norm(end - origin, axis=1)
    order = np.argsort(length)
    row, column = _cell((end - centre.astype(np.float32))[order])
    ray[row, column] = order  # of several rays in a cell the last assigned stays, the longest
    return RayImage(centre, ray, origin, end)


def contradicted(
    xyz: NDArray[np.float32], occupied: NDArray[np.bool_], image: RayImage, delta_m: float, tolerance_m: float
) -> NDArray[np.bool_]:
    """Whether a ray that passes within the tolerance of a place says the opposite: bool [M].

    A ray that goes on beyond an ``occupied`` place saw through it; one that ended at most delta_m
    before a free place says that there is matter. A place further behind the surface is hidden from it.
    """
    row, column = _cell(xyz - image.centre.astype(np.float32))
    ray = image.ray[row, column]
    seen = ray >= 0
    result = np.zeros(len(xyz), dtype=bool)
    ray, place = ray[seen], xyz[seen]
    span = image.end[ray] - image.origin[ray]
    length = np.linalg.norm(span, axis=1)
    along = np.einsum("ij,ij->i", place - image.origin[ray], span) / np.maximum(length, 1e-6)
    foot = image.origin[ray] + span * (along / np.maximum(length, 1e-6))[:, None]
    speaks = np.linalg.norm(place - foot, axis=1) < tolerance_m
    beyond = length - along
    says_free = beyond > tolerance_m
    says_occupied = (beyond < -tolerance_m) & (beyond > -delta_m)
    result[seen] = speaks & np.where(occupied[seen], says_free, says_occupied)
    return result


def _cell(direction: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    azimuth = np.arctan2(direction[:, 1], direction[:, 0])
    elevation = np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1]))
    column = ((azimuth / (2 * np.pi) + 0.5) * _COLUMNS).astype(np.int64) % _COLUMNS
    row = ((elevation / np.pi + 0.5) * _ROWS).astype(np.int64).clip(0, _ROWS - 1)
    return row, column
