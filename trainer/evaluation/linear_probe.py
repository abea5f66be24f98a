"""Linear probe: a logistic regression on frozen voxel features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.trainer.evaluation.labelled_voxels import LabelledVoxels

_LBFGS_ITERATIONS: Final = 100
_L2: Final = 1e-4


@dataclass(frozen=True)
class LinearProbe:
    """Standardisation and a linear map; class c of the data is output c - 1 (0 is unlabelled)."""

    mean: Tensor
    std: Tensor
    linear: nn.Linear

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Class >= 1 of each row of features [V, D], int64 [V]."""
        scores: Tensor = self.linear((features - self.mean) / self.std)
        return scores.argmax(dim=1) + 1


def fit_linear_probe(labelled: LabelledVoxels, classes: int) -> LinearProbe:
    """Fit on samples; ``classes`` counts the unlabelled one."""
    x = labelled.features
    mean, std = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    return LinearProbe(mean, std, fit_logistic((x - mean) / std, labelled.target - 1, classes - 1))


def fit_logistic(x: Tensor, y: Tensor, classes: int) -> nn.Linear:
    """Multinomial logistic regression with a small L2 term, from zero by L-BFGS: no randomness."""
    linear = nn.Linear(x.shape[1], classes)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=_LBFGS_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(linear(x), y) + _L2 * linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return linear
