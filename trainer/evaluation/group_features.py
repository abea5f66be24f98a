"""Features of groups: pooled from a network, or measured on their points without any."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from iscc_lidar.trainer.evaluation.groups import Describe, SweepGroups
from iscc_lidar.trainer.pretrain.heads import average_pool

GEOMETRY: Final = (
    "lowest z",
    "highest z",
    "log height",
    "log length",
    "log width",
    "linearity",
    "planarity",
    "scattering",
    "verticality",
    "log points",
    "range",
    "mean intensity",
    "spread of intensity",
)
"""What is measured of a group. z is above the sensor, length and width are extents along the horizontal axes of its
points' covariance, metres; linearity, planarity and scattering are those of Demantké et al. 2011; verticality is 0
for a level plane, 1 for an upright one."""

_SMALLEST_M: Final = 0.05


def pooled(encoder: nn.Module) -> Describe:
    """Mean of a network's voxel features over each group's points, before any head."""

    @torch.no_grad()
    def describe(groups: SweepGroups) -> NDArray[np.float32]:
        h = encoder(groups.view.coords, groups.view.feats)
        features: NDArray[np.float32] = average_pool(h, groups.view, groups.count).numpy()
        return features

    return describe


def geometry(groups: SweepGroups) -> NDArray[np.float32]:
    """The columns of ``GEOMETRY`` of each group, float32 [G, 13]."""
    order = np.argsort(groups.slot, kind="stable")
    starts = np.searchsorted(groups.slot[order], np.arange(groups.count + 1))
    members = (order[first:stop] for first, stop in pairwise(starts))
    rows = [_measure(groups.xyz[own], groups.intensity[own]) for own in members]
    return np.array(rows, np.float32).reshape(-1, len(GEOMETRY))


def _measure(xyz: NDArray[np.float32], intensity: NDArray[np.float32]) -> tuple[float, ...]:
    points = xyz.astype(np.float64)
    middle = points.mean(axis=0)
    offset = points - middle
    covariance = offset.T @ offset / len(points)
    value, axis = np.linalg.eigh(covariance)  # ascending
    small, medium, large = np.sqrt(np.maximum(value, 0))
    along = offset[:, :2] @ np.linalg.eigh(covariance[:2, :2])[1]
    width, length = np.maximum(np.ptp(along, axis=0), _SMALLEST_M)
    low, high = points[:, 2].min(), points[:, 2].max()
    scale = max(large, 1e-6)
    return (
        low,
        high,
        np.log(max(high - low, _SMALLEST_M)),
        np.log(length),
        np.log(width),
        (large - medium) / scale,
        (medium - small) / scale,
        small / scale,
        1 - abs(axis[2, 0]),
        np.log(len(points)),
        float(np.hypot(middle[0], middle[1])),
        float(intensity.mean()),
        float(intensity.std()),
    )
