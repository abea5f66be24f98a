"""K-means on standardised features: the floor that clusters of training are compared with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq

_RESTARTS: Final = 4
_ITERATIONS: Final = 40


@dataclass(frozen=True)
class KMeans:
    """Standardisation and centres [K, D]."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    centres: NDArray[np.float64]

    def nearest(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """The nearest centre of each row [G, D], int64 [G]."""
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
