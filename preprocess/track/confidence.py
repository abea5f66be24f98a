"""How sure it is that a group is one object of a street: from its size, its points, and whether it moves.

Logistic regression on products of pairs of these numbers, fitted to simulated streets, where it is known what a group
is: ``tests/tools/fit_box_confidence.py`` prints the numbers below. Nothing labelled by people is used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.track.fit import Tracks

LOW: Final = (-2.303, -2.303, -2.303, 0.000, 0.000)
HIGH: Final = (3.382, 2.829, 2.916, 10.801, 1.000)
WEIGHTS: Final = (
    0.166,
    -1.273,
    0.872,
    -1.219,
    1.007,
    0.678,
    -1.500,
    0.840,
    -0.404,
    0.312,
    -1.375,
    -3.257,
    0.223,
    0.345,
    -0.193,
    -3.961,
    -0.737,
    1.073,
    1.392,
    -0.170,
    0.166,
)


def confidences(tracks: Tracks) -> NDArray[np.float32]:
    """Return how sure it is that each group is one object, float32 [groups], 0..1."""
    logit = products(features(tracks), np.array(LOW), np.array(HIGH)) @ np.array(WEIGHTS)
    sure: NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logit, -30.0, 30.0)))).astype(np.float32)
    return sure


def features(tracks: Tracks) -> NDArray[np.float64]:
    """Return what the confidence depends on, float64 [groups, 5]."""
    return np.column_stack([np.log(tracks.size), np.log(tracks.most_points), tracks.moves])


def products(numbers: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale numbers [n, k] from ``low`` .. ``high`` to -1 .. 1, and return 1, them, and the products of all pairs."""
    scaled = 2 * (np.clip(numbers, low, high) - low) / (high - low) - 1
    first, second = np.triu_indices(scaled.shape[1])
    return np.column_stack([np.ones(len(scaled)), scaled, scaled[:, first] * scaled[:, second]])
