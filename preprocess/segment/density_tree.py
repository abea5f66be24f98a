"""The cluster tree of HDBSCAN (Campello et al. 2013; McInnes and Healy 2017).

Points are joined in order of mutual reachability distance. A branch with fewer than ``min_cluster_size`` points is
points that fall out of a cluster; a fork into two larger branches is two new clusters. The spanning tree is exact by
either method: they differ only among edges of equal length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.segment.native import library
from iscc_lidar.preprocess.segment.native.library import Edges

SpanningTree = Literal["c", "hdbscan"]
"""By this package's C code, in a twentieth of the time, or by the package hdbscan."""


@dataclass(frozen=True)
class ClusterTree:
    """Nested clusters of N points. Cluster 0 contains all points; a parent comes before its children.

    Attributes:
        parent: int64 [clusters], -1 for cluster 0.
        stability: float64 [clusters], excess of mass: the sum over its points of the range of 1/distance in which they
            belong to it.
        owner: int64 [N], the innermost cluster of each point; -1 if there is no cluster.
        gap: float64 [clusters], the distance at which a cluster joins the other one of its parent; infinite for
            cluster 0.
    """

    parent: NDArray[np.int64]
    stability: NDArray[np.float64]
    owner: NDArray[np.int64]
    gap: NDArray[np.float64]


def cluster_tree(
    xyz: NDArray[np.float64], min_cluster_size: int, min_samples: int, method: SpanningTree
) -> ClusterTree:
    """Build the cluster tree of points.

    Args:
        xyz: float64 [N, 3].
        min_cluster_size: points of the smallest cluster, at least 2.
        min_samples: k of the core distance, the distance to the k-th other point.
        method: what computes the spanning tree.

    Returns:
        the tree; without clusters if N is below ``min_cluster_size`` or not above ``min_samples``.
    """
    if len(xyz) < max(min_cluster_size, min_samples + 1, 2):
        none = np.zeros(0, dtype=np.int64)
        return ClusterTree(none, np.zeros(0), np.full(len(xyz), -1, dtype=np.int64), np.zeros(0))
    if method == "c":
        first, second, distance = library.spanning_tree(xyz, min_samples)
        children, size = library.join(first, second)
    else:
        first, second, distance = packaged_spanning_tree(xyz, min_samples)
        children, size = join(first, second)
    return _condense(children, size, distance, min_cluster_size)


def packaged_spanning_tree(xyz: NDArray[np.float64], min_samples: int) -> Edges:
    """Compute the spanning tree with the package hdbscan; see ``library.spanning_tree``."""
    from hdbscan import HDBSCAN

    # Only its spanning tree is used, which does not depend on the cluster size.
    fitted = HDBSCAN(
        min_cluster_size=len(xyz),
        min_samples=min_samples,
        algorithm="boruvka_kdtree",
        core_dist_n_jobs=1,
        gen_min_span_tree=True,
        approx_min_span_tree=False,
    ).fit(xyz)
    edges = fitted._min_spanning_tree
    first, second, length = edges[:, 0].astype(np.int64), edges[:, 1].astype(np.int64), edges[:, 2]
    order = np.argsort(length, kind="stable")
    return first[order], second[order], length[order]


def join(first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Join points along edges; see ``library.join``.

    Union-find cannot be vectorised: this is the only loop over all points, 0.1 s for 100 k points on plain lists.
    """
    n = len(first) + 1
    above = list(range(2 * n - 1))
    size = [1] * n
    left: list[int] = []
    right: list[int] = []
    for node, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True), start=n):
        while above[a] != a:
            above[a] = a = above[above[a]]
        while above[b] != b:
            above[b] = b = above[above[b]]
        above[a] = above[b] = node
        left.append(a)
        right.append(b)
        size.append(size[a] + size[b])
    return np.stack([np.array(left), np.array(right)], axis=1), np.array(size)


def _condense(
    children: NDArray[np.int64], size: NDArray[np.int64], distance: NDArray[np.float64], min_cluster_size: int
) -> ClusterTree:
    n, nodes = len(children) + 1, len(size)
    up = np.full(nodes, nodes - 1)
    up[children[:, 0]] = up[children[:, 1]] = np.arange(n, nodes)
    density = np.zeros(nodes)
    density[n:] = 1 / np.maximum(distance, 1e-9)
    large = size >= min_cluster_size
    fork = np.flatnonzero(large[children].all(axis=1))
    starts = np.zeros(nodes, dtype=np.bool_)  # nodes at which a cluster is born
    starts[children[fork].ravel()] = True
    starts[nodes - 1] = True
    own = np.arange(nodes)
    start_of = _follow(np.where(starts, own, up))
    leaves_at = _follow(np.where(large, own, up))[:n]

    start = np.flatnonzero(starts)[::-1]
    number = np.zeros(nodes, dtype=np.int64)
    number[start] = np.arange(len(start))
    owner = number[start_of[:n]]
    parent = number[start_of[up[start]]]
    parent[0] = -1
    birth = density[up[start]]
    birth[0] = 0.0
    fallen = np.bincount(owner, weights=density[leaves_at] - birth[owner], minlength=len(start))
    handed_on = np.bincount(parent[1:], weights=size[start[1:]] * (birth[1:] - birth[parent[1:]]), minlength=len(start))
    gap = np.concatenate([np.zeros(n), distance])[up[start]]
    gap[0] = np.inf
    return ClusterTree(parent, (fallen + handed_on).astype(np.float64), owner, gap)


def _follow(pointer: NDArray[np.int64]) -> NDArray[np.int64]:
    """Follow each pointer to its end, doubling the stride; an end points to itself."""
    while True:
        further = pointer[pointer]
        if np.array_equal(further, pointer):
            return pointer
        pointer = further


def gather(values: NDArray[np.float64], tree: ClusterTree, by: np.ufunc) -> None:
    """Let each cluster contain its children: combine their values [clusters, ...] with its own, in place."""
    for cluster in range(len(tree.parent) - 1, 0, -1):  # children first
        own = values[tree.parent[cluster]]
        by(own, values[cluster], out=own)


def select_clusters(
    tree: ClusterTree, allowed: NDArray[np.bool_], whole: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Choose clusters, none inside another, with the greatest total stability, only among those ``allowed``.

    One that is ``whole`` is chosen rather than clusters inside it, however stable they are. Cluster 0 is never chosen.
    If all are allowed and none is whole these are HDBSCAN's "excess of mass" clusters.

    Returns:
        int64 [clusters]: the chosen cluster that each cluster is or lies in, -1 where there is none.
    """
    clusters = len(tree.parent)
    below = np.zeros(clusters)
    chosen = np.zeros(clusters, dtype=np.bool_)
    for cluster in range(clusters - 1, 0, -1):
        preferred = tree.stability[cluster] >= below[cluster] or (whole is not None and whole[cluster])
        chosen[cluster] = allowed[cluster] and preferred
        below[tree.parent[cluster]] += tree.stability[cluster] if chosen[cluster] else below[cluster]
    within = np.full(clusters, -1, dtype=np.int64)
    for cluster in range(1, clusters):
        above = within[tree.parent[cluster]]
        within[cluster] = above if above >= 0 else (cluster if chosen[cluster] else -1)
    return within
