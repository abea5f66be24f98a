"""Groups: HDBSCAN over the voxels of a stacked window, choosing only clusters narrow enough for an object.

Voxels, because then a surface seen by twelve sweeps is as dense as one seen by one: far cheaper than clustering all
returns, and closer to objects. HDBSCAN itself joins a street's houses and hedges into one cluster, so a cluster that is
too wide within one sweep is not a candidate, but the clusters that it consists of are. This needs one tree only;
clustering wide clusters again takes two to three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.preprocess.segment.density_tree import (
    ClusterTree,
    SpanningTree,
    cluster_tree,
    gather,
    select_clusters,
)
from iscc_lidar.preprocess.segment.native import library
from iscc_lidar.preprocess.segment.voxels import voxelize
from iscc_lidar.preprocess.segment.whole_objects import are_whole
from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class ClusteringConfig:
    """Options of clustering."""

    voxel_size_m: float = option(
        0.1, "edge of a voxel, m; coarser ones join what stands close together", at_least=0.02, at_most=10
    )
    min_cluster_size: int = option(
        20, "HDBSCAN: voxels of the smallest cluster; a person has about 200, a far one 20", at_least=2
    )
    min_samples: int = option(
        5, "HDBSCAN: neighbours for the density; fewer than TARL's 20, as voxels are fewer", at_least=1, at_most=10_000
    )
    spanning_tree: Literal["auto", "c", "hdbscan"] = option(
        "auto",
        "c = this package's C code, if a compiler was there at installation; hdbscan = the package, 20 times slower. "
        "Both trees are exact; the groups differ only among voxels at equal distances",
    )
    max_width_m: float = option(
        20.0,
        "a cluster wider than this within one sweep is split into its sub-clusters, m; a bus is 18. 0 = no limit",
        at_least=0,
    )
    attach_m: float = option(
        0.5, "a voxel in no cluster joins the nearest one up to this far, m; else it is noise", at_least=0, at_most=1000
    )
    join_parts: bool = option(True, "a cluster of the size and height of a car or truck is one group")
    split_moving: bool = option(True, "separate what moves differently: riders from the cars whose trails they cross")
    split_touching: bool = option(True, "separate people and two-wheelers that stand close together")

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "clustering")


def cluster_window(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], height: NDArray[np.float64], config: ClusteringConfig
) -> NDArray[np.int32]:
    """Group the points of a window.

    Args:
        xyz: float [N, 3], metres, one frame for all sweeps, near its origin; points above ground and in range.
        sweep: int [N], index of each point's sweep within the window, from 0.
        height: float64 [N], metres above the ground.
        config: options.

    Returns:
        int32 [N]: dense ids from 0, -1 for noise. The groups do not depend on the order of the points.
    """
    if len(xyz) == 0:
        return np.zeros(0, dtype=np.int32)
    voxel_xyz, voxel = voxelize(xyz, config.voxel_size_m)
    method = spanning_tree(config)
    tree = cluster_tree(voxel_xyz, config.min_cluster_size, config.min_samples, method)
    if len(tree.parent) == 0:
        return np.full(len(xyz), NOISE, dtype=np.int32)
    limit = config.max_width_m if config.max_width_m > 0 else np.inf
    allowed = widths_in_one_sweep(xyz, sweep, voxel, tree) <= limit
    whole = None
    if config.join_parts:
        of_voxel = np.bincount(voxel, weights=height) / np.bincount(voxel)
        whole = are_whole(voxel_xyz, of_voxel, tree)
    label = select_clusters(tree, allowed, whole)[tree.owner]
    return _dense(_attach(voxel_xyz, label, config.attach_m))[voxel]


def spanning_tree(config: ClusteringConfig) -> SpanningTree:
    """Return what computes the spanning tree on this machine."""
    return "hdbscan" if resolve_auto(config).spanning_tree == "hdbscan" else "c"


def resolve_auto(config: ClusteringConfig) -> ClusteringConfig:
    """Replace "auto" by what it means on this machine."""
    if config.spanning_tree != "auto":
        return config
    return replace(config, spanning_tree="c" if library.available() else "hdbscan")


def why_slow(config: ClusteringConfig) -> str:
    """Return why preprocessing takes longer here than it could, empty if it does not."""
    if config.spanning_tree != "auto" or library.available():
        return ""
    return f"preprocessing takes several times as long here, by the package hdbscan: {library.why_not_available()}"


def widths_in_one_sweep(
    xyz: NDArray[np.floating], sweep: NDArray[np.integer], voxel: NDArray[np.int64], tree: ClusterTree
) -> NDArray[np.float64]:
    """Return the largest horizontal side that each cluster has within any one sweep, [clusters], metres.

    Over the stack a moving car is as long as its path; within one sweep it has its own length.
    """
    clusters, sweeps = len(tree.parent), int(sweep.max()) + 1
    cell = tree.owner[voxel] * sweeps + sweep
    low = np.full((4, clusters * sweeps), np.inf)
    x, y = np.ascontiguousarray(xyz[:, 0]), np.ascontiguousarray(xyz[:, 1])
    for row, values in enumerate((x, y, -x, -y)):
        np.minimum.at(low[row], cell, values)
    box = np.ascontiguousarray(low.reshape(4, clusters, sweeps).swapaxes(0, 1))
    gather(box, tree, np.minimum)
    side = np.maximum(-box[:, 2:] - box[:, :2], 0.0)  # minus infinity where a sweep has no point of it
    width: NDArray[np.float64] = side.max(axis=(1, 2))
    return width


def _attach(voxel_xyz: NDArray[np.float64], label: NDArray[np.int64], reach_m: float) -> NDArray[np.int64]:
    """Give each unlabelled voxel the label of the nearest labelled one, up to ``reach_m`` away."""
    from scipy.spatial import cKDTree

    free, labelled = np.flatnonzero(label < 0), np.flatnonzero(label >= 0)
    if len(free) == 0 or len(labelled) == 0 or reach_m <= 0:
        return label
    distance, nearest = cKDTree(voxel_xyz[labelled]).query(voxel_xyz[free], distance_upper_bound=reach_m)
    found = np.isfinite(distance)
    attached = label.copy()
    attached[free[found]] = label[labelled[nearest[found]]]
    return attached


def _dense(label: NDArray[np.int64]) -> NDArray[np.int32]:
    _, inverse = np.unique(label[label >= 0], return_inverse=True)
    dense = np.full(len(label), NOISE, dtype=np.int32)
    dense[label >= 0] = inverse
    return dense
