"""Groups: HDBSCAN over the voxels of a stacked window, choosing among the clusters narrow enough for an object.

Voxels first: a surface seen by twelve sweeps is as dense as one seen by one, which is both far cheaper and
closer to objects than clustering all returns. HDBSCAN's own choice then joins a street's houses and hedges
into one group; a cluster that is too wide within one sweep is therefore not a candidate, and its
parts are. One tree serves for that, where clustering wide clusters again takes two to three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.preprocess.segment.density_tree import ClusterTree, SpanningTree, cluster_tree, select_clusters
from iscc_lidar.preprocess.segment.native import library
from iscc_lidar.preprocess.segment.split_trails import split_trails
from iscc_lidar.shared.base.config import option


@dataclass(frozen=True)
class ClusteringConfig:
    """Options of clustering."""

    voxel_size_m: float = option(0.15, "edge of a voxel, m; at .2 poles and far objects suffer")
    min_cluster_size: int = option(15, "HDBSCAN: voxels of the smallest cluster; a person is about 100, a far one 20")
    min_samples: int = option(9, "HDBSCAN: neighbours that measure density; below TARL's 20, as voxels are fewer")
    spanning_tree: Literal["auto", "c", "hdbscan"] = option(
        "auto",
        "what finds the exact spanning tree: this package's C, where installing could compile it, or the package "
        "hdbscan, in ten times the time; the groups differ among voxels at equal distances only",
    )
    max_width_m: float = option(
        20.0, "a wider cluster within one sweep is no object but its parts may be, m; a bus is 18. 0 = no limit"
    )
    attach_m: float = option(0.5, "a voxel in no cluster joins the nearest one up to this far, m; else it is noise")
    trail_cell_m: float = option(
        0.7,
        "parts of a moving group that never touch from sweep to sweep, in cells this wide, m, are two groups; "
        "0 = leave them one",
    )


def cluster_window(
    xyz: NDArray[np.floating],
    sweep: NDArray[np.integer],
    config: ClusteringConfig,
) -> NDArray[np.int32]:
    """Group the points of a window.

    Args:
        xyz: float [N, 3], metres, one frame for all sweeps, near its origin; above ground and in range.
        sweep: int [N], index of each point's sweep within the window, from 0.
        config: options.

    Returns:
        int32 [N]: dense ids from 0, -1 for noise. The same points in another order get the same groups.
    """
    if len(xyz) == 0:
        return np.zeros(0, dtype=np.int32)
    voxel_xyz, voxel = voxelize(xyz, config.voxel_size_m)
    method: SpanningTree = "hdbscan" if settled(config).spanning_tree == "hdbscan" else "c"
    tree = cluster_tree(voxel_xyz, config.min_cluster_size, config.min_samples, method)
    if len(tree.parent) == 0:
        return np.full(len(xyz), NOISE, dtype=np.int32)
    limit = config.max_width_m if config.max_width_m > 0 else np.inf
    allowed = widths_in_one_sweep(xyz, sweep, voxel, tree) <= limit
    label = select_clusters(tree, allowed)[tree.owner]
    group = _dense(_attach(voxel_xyz, label, config.attach_m))[voxel]
    return split_trails(xyz, sweep, group, config.trail_cell_m) if config.trail_cell_m > 0 else group


def settled(config: ClusteringConfig) -> ClusteringConfig:
    """Replace "auto" by what it leads to on this machine."""
    if config.spanning_tree != "auto":
        return config
    return replace(config, spanning_tree="c" if library.available() else "hdbscan")


def voxelize(
    xyz: NDArray[np.floating],
    voxel_size_m: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean point of each occupied voxel, float64 [V, 3], and each point's voxel, int64 [N]."""
    key = np.zeros(len(xyz), dtype=np.int64)
    for axis in range(3):  # one after the other: numpy is slow over rows of three
        cell = np.floor(xyz[:, axis] / voxel_size_m).astype(np.int64)
        low = cell.min()
        key = key * (cell.max() - low + 1) + (cell - low)
    _, voxel, count = np.unique(key, return_inverse=True, return_counts=True)
    total = np.stack([np.bincount(voxel, weights=xyz[:, axis]) for axis in range(3)], axis=1)
    return total / count[:, None], voxel


def widths_in_one_sweep(
    xyz: NDArray[np.floating],
    sweep: NDArray[np.integer],
    voxel: NDArray[np.int64],
    tree: ClusterTree,
) -> NDArray[np.float64]:
    """Return the largest side in plan that each cluster's points have within any one sweep, [clusters], metres.

    Over the stack a moving car is as long as its way; within a sweep it is as long as it is.
    """
    clusters, sweeps = len(tree.parent), int(sweep.max()) + 1
    cell = tree.owner[voxel] * sweeps + sweep
    low = np.full((4, clusters * sweeps), np.inf)
    x, y = np.ascontiguousarray(xyz[:, 0]), np.ascontiguousarray(xyz[:, 1])
    for row, values in enumerate((x, y, -x, -y)):
        np.minimum.at(low[row], cell, values)
    box = low.reshape(4, clusters, sweeps)
    for cluster in range(clusters - 1, 0, -1):  # children first: a cluster holds its children's points
        parent = tree.parent[cluster]
        box[:, parent] = np.minimum(box[:, parent], box[:, cluster])
    side = np.maximum(-box[2:] - box[:2], 0.0)  # minus infinity where a sweep holds none of it
    width: NDArray[np.float64] = side.max(axis=(0, 2))
    return width


def _attach(voxel_xyz: NDArray[np.float64], label: NDArray[np.int64], reach_m: float) -> NDArray[np.int64]:
    """Give each voxel without a label the nearest one's that has, up to ``reach_m`` away."""
    from scipy.spatial import cKDTree

    lost, kept = np.flatnonzero(label < 0), np.flatnonzero(label >= 0)
    if len(lost) == 0 or len(kept) == 0 or reach_m <= 0:
        return label
    distance, nearest = cKDTree(voxel_xyz[kept]).query(voxel_xyz[lost], distance_upper_bound=reach_m)
    found = np.isfinite(distance)
    attached = label.copy()
    attached[lost[found]] = label[kept[nearest[found]]]
    return attached


def _dense(label: NDArray[np.int64]) -> NDArray[np.int32]:
    _, inverse = np.unique(label[label >= 0], return_inverse=True)
    dense = np.full(len(label), NOISE, dtype=np.int32)
    dense[label >= 0] = inverse
    return dense
