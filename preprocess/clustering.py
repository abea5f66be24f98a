"""Groups: HDBSCAN over the voxels of a stacked window, again inside what came out too wide.

Voxels first: a surface seen by twelve sweeps is as dense as one seen by one, which is both far cheaper and
closer to objects than clustering all returns. One pass joins a street's houses and hedges into one
group, so a group that is too wide for an object within one sweep is clustered again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.config import option

NOISE: Final = -1


@dataclass(frozen=True)
class ClusteringConfig:
    """Options of clustering."""

    voxel_size_m: float = option(0.15, "edge of a voxel, m; at .2 poles suffer")
    min_cluster_size: int = option(20, "HDBSCAN: voxels of the smallest cluster")
    min_samples: int = option(10, "HDBSCAN: neighbours that measure density; half of TARL's 20, as voxels are fewer")
    split_width_m: float = option(15.0, "a cluster wider than this within one sweep is clustered again, m; 0 = never")
    max_levels: int = option(3, "how often a cluster is clustered again at most")


def cluster_window(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], config: ClusteringConfig,
) -> NDArray[np.int32]:
    """Group the points of a window.

    Args:
        xyz: float [N, 3], metres, one frame for all sweeps, near its origin; above ground and in range.
        sweep: int [N], index of each point's sweep within the window, from 0.
        config: options.

    Returns:
        int32 [N]: dense ids from 0, -1 for noise. Same points in another order get the same partition.
    """
    if len(xyz) == 0:
        return np.zeros(0, dtype=np.int32)
    voxel_xyz, voxel = voxelize(xyz, config.voxel_size_m)
    label = _hdbscan(voxel_xyz, config, allow_single_cluster=False)
    for _ in range(config.max_levels if config.split_width_m > 0 else 0):
        wide = np.flatnonzero(widths_in_one_sweep(xyz, sweep, label[voxel]) > config.split_width_m)
        if not _split(voxel_xyz, label, wide, config):
            break
    return _dense(label)[voxel]


def voxelize(
    xyz: NDArray[np.floating], voxel_size_m: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean point of each occupied voxel, float64 [V, 3], and each point's voxel, int64 [N]."""
    cell = np.floor(xyz / voxel_size_m).astype(np.int64)
    cell -= cell.min(axis=0)
    extent = cell.max(axis=0) + 1
    key = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    _, voxel, count = np.unique(key, return_inverse=True, return_counts=True)
    total = np.stack([np.bincount(voxel, weights=xyz[:, axis]) for axis in range(3)], axis=1)
    return total / count[:, None], voxel


def widths_in_one_sweep(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], label: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Return the largest side in plan that each label's points have within any one sweep, [labels], metres.

    Over the stack a moving car is as long as its way; within a sweep it is as long as it is.
    """
    labels = int(label.max(initial=NOISE)) + 1
    sweeps = int(sweep.max(initial=0)) + 1
    inside = np.flatnonzero(label >= 0)
    cell = label[inside].astype(np.int64) * sweeps + sweep[inside]
    width = np.zeros(labels)
    for axis in range(2):
        low, high = np.full(labels * sweeps, np.inf), np.full(labels * sweeps, -np.inf)
        np.minimum.at(low, cell, xyz[inside, axis])
        np.maximum.at(high, cell, xyz[inside, axis])
        side = np.maximum(high - low, 0.0).reshape(labels, sweeps)
        width = np.maximum(width, side.max(axis=1, initial=0.0))
    return width


def _split(
    voxel_xyz: NDArray[np.float64], label: NDArray[np.int64], wide: NDArray[np.int64], config: ClusteringConfig,
) -> bool:
    """Cluster the members of each wide label again, in place; what is noise there keeps the wide label."""
    changed = False
    used = int(label.max(initial=NOISE)) + 1
    for parent in wide.tolist():
        members = np.flatnonzero(label == parent)
        parts = _hdbscan(voxel_xyz[members], config, allow_single_cluster=False)
        if parts.max(initial=NOISE) < 1:
            continue
        found = parts >= 0
        label[members[found]] = used + parts[found]
        used += int(parts.max()) + 1
        changed = True
    return changed


def _hdbscan(
    voxel_xyz: NDArray[np.float64], config: ClusteringConfig, allow_single_cluster: bool,
) -> NDArray[np.int64]:
    import hdbscan

    if len(voxel_xyz) < max(config.min_cluster_size, config.min_samples + 1):
        return np.full(len(voxel_xyz), NOISE, dtype=np.int64)
    fit = hdbscan.HDBSCAN(
        min_cluster_size=config.min_cluster_size, min_samples=config.min_samples,
        algorithm="boruvka_kdtree", core_dist_n_jobs=1, allow_single_cluster=allow_single_cluster)
    return np.asarray(fit.fit_predict(voxel_xyz), dtype=np.int64)


def _dense(label: NDArray[np.int64]) -> NDArray[np.int32]:
    _, inverse = np.unique(label[label >= 0], return_inverse=True)
    dense = np.full(len(label), NOISE, dtype=np.int32)
    dense[label >= 0] = inverse
    return dense
