"""What is compared: of each group in each labelled sweep the classes of its points, and what it looks like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.shared.cache.sweep import CachedSweep

LOOKS: Final = (
    *("length", "width", "height", "bottom", "top", "intensity", "intensity_spread", "line", "sheet", "volume"),
)
"""Size along the principal axes in the plane and upright, lower and upper end above the ground, metres; mean and
standard deviation of intensity; how far points form a line, a sheet, a volume (Weinmann et al. 2015), 0..1."""
_LEAST: Final = 5
_CELL_M: Final = 4.0


@dataclass(frozen=True)
class GroupSweeps:
    """Groups in labelled sweeps of a sequence, one row for each group and sweep.

    Attributes:
        sweep: int32 [R], index of the sweep.
        group: int32 [R], ID.
        points: int32 [R], number of its points there.
        classes: int32 [R, C], how many are of each class; column 0 counts unlabelled ones.
        looks: float32 [R, 10], see LOOKS; NaN with fewer than five points.
    """

    sweep: NDArray[np.int32]
    group: NDArray[np.int32]
    points: NDArray[np.int32]
    classes: NDArray[np.int32]
    looks: NDArray[np.float32]


def join(parts: Iterable[GroupSweeps], classes: int) -> GroupSweeps:
    """Join the rows of several sweeps."""
    none = np.zeros(0, np.int32)
    found = list(parts) or [GroupSweeps(none, none, none, np.zeros((0, classes), np.int32), _NO_LOOKS)]
    names = GroupSweeps.__dataclass_fields__
    return GroupSweeps(*(np.concatenate([getattr(part, name) for part in found]) for name in names))


_NO_LOOKS: Final = np.zeros((0, len(LOOKS)), np.float32)


def describe_sweep(sweep: CachedSweep, semantic: NDArray[np.uint8], classes: int) -> GroupSweeps:
    """Describe the groups of a sweep whose points have the classes ``semantic``, uint8 [N]."""
    order = np.argsort(sweep.label, kind="stable")
    order = order[np.searchsorted(sweep.label[order], 0) :]
    group, start = np.unique(sweep.label[order], return_index=True)
    row = np.repeat(np.arange(len(group)), np.diff(np.append(start, len(order))))
    counts = np.bincount(row * classes + semantic[order], minlength=len(group) * classes).reshape(-1, classes)
    points = counts.sum(axis=1)
    xyz = sweep.xyz[order].astype(np.float64)
    looks = _looks(xyz, sweep.intensity[order].astype(np.float64), start, row, points) if len(group) else _NO_LOOKS
    if len(group):
        centre = np.add.reduceat(xyz[:, :2], start, axis=0) / points[:, None]
        looks[:, 3:5] -= _ground_height(sweep, centre)[:, None]
        looks[points < _LEAST] = np.nan
    index = np.full(len(group), sweep.index, np.int32)
    return GroupSweeps(
        index, group.astype(np.int32), points.astype(np.int32), counts.astype(np.int32), looks.astype(np.float32)
    )


def _looks(
    xyz: NDArray[np.float64],
    intensity: NDArray[np.float64],
    start: NDArray[np.int64],
    row: NDArray[np.int64],
    points: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return looks [G, 10] of groups whose points follow one another; lower and upper ends are sensor heights."""
    mean = np.add.reduceat(xyz, start, axis=0) / points[:, None]
    centred = xyz - mean[row]
    products = centred[:, :, None] * centred[:, None, :]
    covariance = np.add.reduceat(products, start, axis=0) / points[:, None, None]
    turn = 0.5 * np.arctan2(2 * covariance[:, 0, 1], covariance[:, 0, 0] - covariance[:, 1, 1])
    cos, sin = np.cos(turn)[row], np.sin(turn)[row]
    along = cos * centred[:, 0] + sin * centred[:, 1]
    across = cos * centred[:, 1] - sin * centred[:, 0]
    sizes = [np.maximum.reduceat(v, start) - np.minimum.reduceat(v, start) for v in (along, across, xyz[:, 2])]
    low, high = np.minimum.reduceat(xyz[:, 2], start), np.maximum.reduceat(xyz[:, 2], start)
    bright = np.add.reduceat(intensity, start) / points
    spread = np.sqrt(np.maximum(np.add.reduceat(intensity**2, start) / points - bright**2, 0))
    values = np.linalg.eigvalsh(covariance + 1e-9 * np.eye(3))[:, ::-1]
    first, second, third = values.T
    shape = [(first - second) / first, (second - third) / first, third / values.sum(axis=1)]
    return np.stack([*sizes, low, high, bright, spread, *shape], axis=1)


def _ground_height(sweep: CachedSweep, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of the ground near positions [G, 2] in the sensor's frame, metres: the mean in cells of 4 m."""
    ground = sweep.xyz[sweep.label == GROUND].astype(np.float64)
    if not len(ground):
        return np.full(len(centre), float(np.min(sweep.xyz[:, 2], initial=0)))
    usual = float(np.median(ground[:, 2]))
    corner = np.floor(np.minimum(ground[:, :2].min(axis=0), centre.min(axis=0)) / _CELL_M)
    cells = [(np.floor(xy / _CELL_M) - corner).astype(np.int64) for xy in (ground[:, :2], centre)]
    size = np.maximum(cells[0].max(axis=0), cells[1].max(axis=0)) + 1
    own, asked = (cell[:, 0] * size[1] + cell[:, 1] for cell in cells)
    cell, inverse = np.unique(own, return_inverse=True)
    height = np.bincount(inverse, ground[:, 2]) / np.bincount(inverse)
    at = np.minimum(np.searchsorted(cell, asked), len(cell) - 1)
    return np.where(cell[at] == asked, height[at], usual)
