"""Clusters are named after classes, so that a clustering can be scored as a segmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

# K clusters, C classes of the manifest; a table [K + 1, C] counts points by cluster and true class, row 0 is of no
# cluster, column 0 unlabelled; names [K + 1] are the classes of the clusters, 0 where a cluster has none.


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
    """Name each cluster after the class that most of its labelled points have: names [K + 1]."""
    names = table[:, 1:].argmax(axis=1) + 1
    return np.where((table[:, 1:].sum(axis=1) > 0) & (np.arange(len(table)) > 0), names, 0)


def named_confusion(table: NDArray[np.int64], names: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count points by (true class, name of their cluster), int64 [C, C]."""
    counts = np.zeros((table.shape[1], table.shape[1]), np.int64)
    np.add.at(counts.T, names, table)
    return counts
