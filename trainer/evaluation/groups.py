"""The groups of many sweeps: their features, from a network or from geometry alone, and the classes of their points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.voxelize import considered, voxelize
from iscc_lidar.trainer.evaluation.frozen import features_of, grouped_view
from iscc_lidar.trainer.evaluation.scores import semantic
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.heads import average_pool

# N points that the network sees, G groups, C classes of the manifest

_SMALLEST_M: Final = 0.05


@dataclass(frozen=True)
class GroupSet:
    """The groups of many sweeps.

    Attributes:
        features: of each network by its name, and "geometry", float32 [G, D].
        classes: int64 [G, C], points of each group by true class.
        outside: int64 [C], points by true class that are in none of the groups.
    """

    features: Mapping[str, NDArray[np.float32]]
    classes: NDArray[np.int64]
    outside: NDArray[np.int64]

    def table(self, cluster: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
        """Count points by cluster and true class, int64 [clusters + 1, C]; row 0 is of no cluster.

        ``cluster`` [G] gives each group one of 0..clusters-1.
        """
        table = np.zeros((clusters + 1, self.classes.shape[1]), np.int64)
        table[0] = self.outside
        np.add.at(table, cluster + 1, self.classes)
        return table


@torch.no_grad()
def gather_groups(
    sweeps: Iterable[CachedSweep], config: PretrainConfig, encoders: Mapping[str, nn.Module], classes: int
) -> GroupSet:
    """Describe all groups of sweeps, however small, with a point that the network sees.

    Features of a network are its voxel features averaged over a group's points, before any head.
    """
    features: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*encoders, "geometry")}
    of_groups, outside = [], np.zeros(classes, np.int64)
    for sweep in sweeps:
        truth, keep = semantic(sweep), considered(sweep, config.data.max_range_m)
        xyz, intensity, label = sweep.xyz[keep], sweep.intensity[keep], sweep.label[keep]
        ids = np.unique(label[label >= 0])
        slot = np.where(label >= 0, np.searchsorted(ids, label), -1)
        inside = np.zeros(len(truth), bool)
        inside[keep] = slot >= 0
        pair = slot[slot >= 0] * classes + truth[inside]
        of_groups.append(np.bincount(pair, minlength=len(ids) * classes).reshape(len(ids), classes))
        outside += np.bincount(truth[~inside], minlength=classes)
        view = grouped_view(voxelize(xyz, intensity, config.model.voxel_size), label, ids)
        for name, encoder in encoders.items():
            features[name].append(average_pool(features_of(encoder, view.coords, view.feats), view, len(ids)).numpy())
        features["geometry"].append(geometry(xyz, intensity, slot, len(ids)))
    joined = {name: np.concatenate(parts) for name, parts in features.items()}
    return GroupSet(joined, np.concatenate(of_groups), outside)


def geometry(
    xyz: NDArray[np.float32], intensity: NDArray[np.float32], slot: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Measure ``count`` groups of points [N] in the sensor frame, the columns of ``GEOMETRY``: float32 [G, 13].

    ``slot`` is the group 0..G-1 of each point, -1 for none.
    """
    order = np.argsort(slot, kind="stable")
    starts = np.searchsorted(slot[order], np.arange(count + 1))
    members = (order[first:stop] for first, stop in pairwise(starts))
    rows = [[*_measure(xyz[own], intensity[own]).values()] for own in members]
    return np.array(rows, np.float32).reshape(-1, len(GEOMETRY))


def _measure(xyz: NDArray[np.float32], intensity: NDArray[np.float32]) -> dict[str, float]:
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
    return {
        "lowest z": low,
        "highest z": high,
        "log height": np.log(max(high - low, _SMALLEST_M)),
        "log length": np.log(length),
        "log width": np.log(width),
        "linearity": (large - medium) / scale,
        "planarity": (medium - small) / scale,
        "scattering": small / scale,
        "verticality": 1 - abs(axis[2, 0]),
        "log points": np.log(len(points)),
        "range": float(np.hypot(middle[0], middle[1])),
        "mean intensity": float(intensity.mean()),
        "spread of intensity": float(intensity.std()),
    }


GEOMETRY: Final = tuple(_measure(np.zeros((1, 3), np.float32), np.zeros(1, np.float32)))
"""Names of the measures of a group. z is above the sensor, length and width are extents along the horizontal axes of
its points' covariance, metres; linearity, planarity and scattering are those of Demantké et al. 2011; verticality is 0
for a level plane, 1 for an upright one."""
