"""Other methods to compare the clustering with: what TARL calls, and the cheapest one that could work."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_HALF_OF_NEIGHBOURS: Final = 13  # of 27 offsets, without the middle, one of each opposite pair


def plain_hdbscan(
    xyz: NDArray[np.floating],
    min_cluster_size: int = 20,
    min_samples: int = 20,
) -> NDArray[np.int32]:
    """Cluster all points [N, 3] with the package ``hdbscan``, as TARL (CVPR 2023) calls it; -1 is noise."""
    import hdbscan

    if len(xyz) <= max(min_cluster_size, min_samples):
        return np.full(len(xyz), -1, dtype=np.int32)
    fit = hdbscan.HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, core_dist_n_jobs=1)
    return np.asarray(fit.fit_predict(xyz), dtype=np.int32)


def connected_components(xyz: NDArray[np.floating], cell_m: float, min_points: int = 20) -> NDArray[np.int32]:
    """Label points [N, 3] whose occupied cells touch, corners included; groups below ``min_points`` are noise.

    Points join over one to two cells, so cells of 0.3 m are a reach of 0.45 m on average.
    """
    from scipy.sparse import coo_matrix, csgraph

    if len(xyz) == 0:
        return np.zeros(0, dtype=np.int32)
    cell = np.floor(xyz / cell_m).astype(np.int64)
    cell -= cell.min(axis=0) - 1
    extent = cell.max(axis=0) + 2
    step = np.array([extent[1] * extent[2], extent[2], 1])
    key, voxel = np.unique(cell @ step, return_inverse=True)
    offsets = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    first, second = [], []
    for offset in (offsets @ step)[:_HALF_OF_NEIGHBOURS]:
        at = np.minimum(np.searchsorted(key, key + offset), len(key) - 1)
        found = np.flatnonzero(key[at] == key + offset)
        first.append(found)
        second.append(at[found])
    rows, columns = np.concatenate(first), np.concatenate(second)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(key), len(key)))
    label = csgraph.connected_components(graph, directed=False)[1][voxel]
    large = np.bincount(label)[label] >= min_points
    dense = np.full(len(xyz), -1, dtype=np.int32)
    dense[large] = np.unique(label[large], return_inverse=True)[1]
    return dense
