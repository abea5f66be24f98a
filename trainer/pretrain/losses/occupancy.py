"""Occupancy: binary cross-entropy at queries, and the accuracy on each class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def occupancy_loss(logit: Tensor, occupied: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy of logits [Q] against 0/1 targets [Q]; 0 without queries."""
    if len(logit) == 0:
        return logit.sum()
    return functional.binary_cross_entropy_with_logits(logit, occupied)


@torch.no_grad()
def occupancy_accuracy(logit: Tensor, occupied: Tensor) -> dict[str, Tensor]:
    """Compute accuracies: over all queries, the occupied, the free, and the mean of the latter two.

    An accuracy over nothing is NaN.
    """
    right = ((logit > 0) == (occupied > 0.5)).float()
    on_occupied, on_free = right[occupied > 0.5].mean(), right[occupied <= 0.5].mean()
    return {
        "occupancy_accuracy": right.mean(),
        "occupancy_accuracy_occupied": on_occupied,
        "occupancy_accuracy_free": on_free,
        "occupancy_accuracy_balanced": (on_occupied + on_free) / 2,
    }
