"""How sure it is that a box is that of an object: from its size, its group's points and sweeps, and whether it moves.

Logistic regression on products of pairs of these numbers, fitted to simulated streets, where the boxes of objects are
known: ``tests/tools/fit_box_confidence.py`` prints the numbers below. Nothing labelled by people is used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.track.fit import Tracks

LOW: Final = (-2.303, -2.303, -2.303, 0.000, 0.000, 0.000)
HIGH: Final = (3.382, 2.857, 2.971, 10.801, 1.000, 2.773)
WEIGHTS: Final = (
    -0.893,
    -0.707,
    0.170,
    -0.588,
    1.326,
    0.655,
    0.535,
    -1.317,
    0.761,
    -0.663,
    -0.074,
    -0.797,
    -0.204,
    -2.931,
    -0.452,
    0.215,
    -0.571,
    0.189,
    -3.094,
    -1.469,
    0.930,
    -0.812,
    -1.055,
    -0.459,
    1.088,
    -0.893,
    -0.287,
    1.395,
)


def confidences(tracks: Tracks) -> NDArray[np.float32]:
    """Return how sure it is that each group's boxes are those of an object, float32 [groups], 0..1."""
    logit = products(features(tracks), np.array(LOW), np.array(HIGH)) @ np.array(WEIGHTS)
    sure: NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logit, -30.0, 30.0)))).astype(np.float32)
    return sure


def features(tracks: Tracks) -> NDArray[np.float64]:
    """Return what the confidence depends on, float64 [groups, 6]."""
    return np.column_stack([np.log(tracks.size), np.log(tracks.most_points), tracks.moves, np.log(tracks.sweeps)])


def products(numbers: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale numbers [n, k] from ``low`` .. ``high`` to -1 .. 1, and return 1, them, and the products of all pairs."""
    scaled = 2 * (np.clip(numbers, low, high) - low) / (high - low) - 1
    first, second = np.triu_indices(scaled.shape[1])
    return np.column_stack([np.ones(len(scaled)), scaled, scaled[:, first] * scaled[:, second]])
