"""Nearest-neighbour probe: the classes of the most similar labelled voxels vote. Nothing is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.evaluation.labelled_voxels import LabelledVoxels

_AT_ONCE: Final = 1 << 24
"""Similarities held at once, 64 MB."""


@dataclass(frozen=True)
class NeighbourConfig:
    """Who votes, and with which weight; the values of DINO (Caron et al. 2021) but for the cap."""

    k: int = option(20, "neighbours that vote")
    temperature: float = option(0.07, "a neighbour's vote is exp(cosine / temperature)")
    per_class: int = option(
        500,
        "labelled voxels kept of a class, drawn at random: bounds memory and time, and lets rare classes count",
    )


@dataclass(frozen=True)
class NeighbourProbe:
    """Labelled unit features [M, D] and their classes [M]."""

    features: Tensor
    target: Tensor
    config: NeighbourConfig

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Class >= 1 of each row of features [V, D], int64 [V]."""
        chunk = max(1, _AT_ONCE // max(len(self.features), 1))
        found = torch.zeros(len(features), dtype=torch.int64)
        for first in range(0, len(features), chunk):
            found[first : first + chunk] = self._predict(features[first : first + chunk])
        return found

    def _predict(self, features: Tensor) -> Tensor:
        similarity = functional.normalize(features, dim=1) @ self.features.T
        cosine, row = similarity.topk(min(self.config.k, len(self.features)), dim=1)
        # Less the largest: the same order of votes, and no overflow at small temperatures.
        weight = ((cosine - cosine[:, :1]) / self.config.temperature).exp()
        votes = weight.new_zeros(len(features), int(self.target.max()) + 1)
        return votes.scatter_add(1, self.target[row], weight).argmax(dim=1)


def keep_neighbours(labelled: LabelledVoxels, config: NeighbourConfig, seed: int) -> NeighbourProbe:
    """Keep at most ``config.per_class`` samples of each class."""
    rng = np.random.default_rng(seed)
    target = labelled.target.numpy()
    kept = [
        np.sort(rng.permutation(np.flatnonzero(target == c))[: config.per_class]) for c in np.unique(target).tolist()
    ]
    chosen = torch.from_numpy(np.concatenate(kept))
    return NeighbourProbe(functional.normalize(labelled.features[chosen], dim=1), labelled.target[chosen], config)
