"""What groups are worth without a label: clusters of groups, named after classes, scored as a segmentation.

Prototypes of training against k-means with as many clusters, on pooled features of the networks and on geometry.
Labels only name the clusters, either those of the very sweeps that are scored (the usual protocol, an upper bound),
or those of the training cache. Points in no group have no prediction and count as missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.evaluation.groups import GroupSet
from iscc_lidar.trainer.evaluation.kmeans import fit_kmeans
from iscc_lidar.trainer.evaluation.naming import name_by_majority, name_one_to_one, named_confusion
from iscc_lidar.trainer.evaluation.scores import score

NAMINGS: Final = {"one_to_one": name_one_to_one, "many_to_one": name_by_majority}


@dataclass(frozen=True)
class Clustering:
    """Which cluster, 0..clusters-1, each group of the training cache [G] and of the scored sweeps [G'] is in."""

    clusters: int
    train: NDArray[np.int64]
    val: NDArray[np.int64]


def cluster_by_kmeans(train: GroupSet, val: GroupSet, clusters: int, seed: int) -> dict[str, Clustering]:
    """K-means on each of the features; fitted on the groups of the training cache."""
    found = {}
    for name, features in train.features.items():
        fitted = fit_kmeans(features, clusters, seed)
        found[name] = Clustering(len(fitted.centres), fitted.nearest(features), fitted.nearest(val.features[name]))
    return found


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
