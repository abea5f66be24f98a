"""Score groups without training on labels: clusters of groups, named after classes, as a segmentation.

Prototypes of training are compared with k-means of as many clusters, on pooled features of the networks and on
geometry. Labels only name the clusters: those of the scored sweeps themselves (the usual protocol, an upper bound), or
those of the training cache. Points in no group have no prediction and count as missed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq
from scipy.optimize import linear_sum_assignment

from iscc_lidar.trainer.evaluation.groups import GroupSet
from iscc_lidar.trainer.evaluation.scores import score

# G groups, D features, K clusters, C classes of the manifest; a table [K + 1, C] counts points by cluster and true
# class, row 0 is of no cluster, column 0 unlabelled; names [K + 1] are the classes of the clusters, 0 for none.

_RESTARTS: Final = 4
_ITERATIONS: Final = 40


@dataclass(frozen=True)
class Clustering:
    """The cluster, 0..clusters-1, of each group of the training cache [G] and of the scored sweeps [G']."""

    clusters: int
    train: NDArray[np.int64]
    val: NDArray[np.int64]


@dataclass(frozen=True)
class KMeans:
    """Standardisation and centres [K, D]."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    centres: NDArray[np.float64]

    def nearest(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Find the nearest centre of each row [G, D], int64 [G]."""
        found, _ = vq((features - self.mean) / self.std, self.centres)
        return np.asarray(found, np.int64)


def fit_kmeans(features: NDArray[np.float32], clusters: int, seed: int) -> KMeans:
    """Fit to rows [G, D]: the tightest of a few runs from k-means++. There are no more clusters than rows."""
    mean, std = features.mean(axis=0, dtype=np.float64), np.maximum(features.std(axis=0, dtype=np.float64), 1e-6)
    x = (features - mean) / std
    clusters = min(clusters, len(x))
    runs = [_fit(x, clusters, seed * _RESTARTS + run) for run in range(_RESTARTS)]
    _, centres = min(runs, key=lambda run: run[0])
    return KMeans(mean, std, centres)


def _fit(x: NDArray[np.float64], clusters: int, seed: int) -> tuple[float, NDArray[np.float64]]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centres, _ = kmeans2(x, clusters, iter=_ITERATIONS, minit="++", seed=seed)
    _, distance = vq(x, centres)
    return float(np.square(distance).sum()), centres


def cluster_by_kmeans(train: GroupSet, val: GroupSet, clusters: int, seed: int) -> dict[str, Clustering]:
    """Cluster the groups by k-means on each of the features, fitted on the groups of the training cache."""
    found = {}
    for name, features in train.features.items():
        fitted = fit_kmeans(features, clusters, seed)
        found[name] = Clustering(len(fitted.centres), fitted.nearest(features), fitted.nearest(val.features[name]))
    return found


def name_one_to_one(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each class one cluster, by the Hungarian assignment of the largest sum of IoUs: names [K + 1].

    Scored on this same table no other one-to-one assignment has a greater mean IoU. Clusters beyond the classes have
    no name.
    """
    hit = table[1:, 1:]
    union = hit.sum(axis=1, keepdims=True) + table[:, 1:].sum(axis=0) - hit
    iou = hit / np.maximum(union, 1)
    cluster, column = linear_sum_assignment(iou, maximize=True)
    names = np.zeros(len(table), np.int64)
    names[cluster + 1] = np.where(iou[cluster, column] > 0, column + 1, 0)
    return names


def name_by_majority(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Name each cluster after the class of most of its labelled points: names [K + 1]."""
    names = table[:, 1:].argmax(axis=1) + 1
    return np.where((table[:, 1:].sum(axis=1) > 0) & (np.arange(len(table)) > 0), names, 0)


NAMINGS: Final = {"one_to_one": name_one_to_one, "many_to_one": name_by_majority}


def named_confusion(table: NDArray[np.int64], names: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count points by (true class, name of their cluster), int64 [C, C]."""
    counts = np.zeros((table.shape[1], table.shape[1]), np.int64)
    np.add.at(counts.T, names, table)
    return counts


def score_grouping(
    clusterings: Mapping[str, Clustering], train: GroupSet, val: GroupSet, class_names: tuple[str, ...], dataset: str
) -> dict[str, Any]:
    """Score clusterings on the groups of ``val``.

    Returns:
        By clustering: "clusters", and by naming and by the labels that it is made from, "val" or "train", the scores
        of "all" labelled points and of those that are "grouped".
    """
    result: dict[str, Any] = {}
    for name, clustering in clusterings.items():
        scored = val.table(clustering.val, clustering.clusters)
        tables = {"val": scored, "train": train.table(clustering.train, clustering.clusters)}
        result[name] = {"clusters": clustering.clusters} | {
            naming: {source: _scores(scored, make(table), class_names, dataset) for source, table in tables.items()}
            for naming, make in NAMINGS.items()
        }
    return result


def _scores(
    table: NDArray[np.int64], names: NDArray[np.int64], class_names: tuple[str, ...], dataset: str
) -> dict[str, Any]:
    parts = {"all": named_confusion(table, names), "grouped": named_confusion(table[1:], names[1:])}
    return {part: asdict(score(counts, class_names, dataset)) for part, counts in parts.items()}
