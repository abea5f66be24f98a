"""Losses of segmentation: cross-entropy weighted by class, and Lovász-softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option

# Dimensions: V voxels, L classes without the unlabelled one. Target 0 is unlabelled, target c is logit column c - 1.


@dataclass(frozen=True)
class SemsegLossConfig:
    """Weights of the loss."""

    class_weight_power: float = option(
        0.5,
        "classes are weighted by the inverse of their share of the labelled points to this power; 0: equally",
        at_least=0,
        at_most=10,
    )
    lovasz_weight: float = option(
        0.0, "weight of the Lovász-softmax loss (Berman et al. 2018); cross-entropy has 1", at_least=0, at_most=1e6
    )

    def __post_init__(self) -> None:
        check_ranges(self, "loss")


def class_weights(counts: NDArray[np.int64], power: float) -> Tensor:
    """Return weights float32 [L] of classes that occur ``counts`` [L] times: mean 1 over all points, 0 if absent."""
    weight = np.where(counts > 0, 1 / np.maximum(counts, 1) ** power, 0)
    total = (weight * counts).sum()
    return torch.from_numpy(weight * (counts.sum() / total if total else 1)).float()


def weighted_cross_entropy(logits: Tensor, target: Tensor, of_voxel: Tensor, of_class: Tensor) -> tuple[Tensor, Tensor]:
    """Sum cross-entropies of logits [V, L] over labelled targets [V], weighted by voxel [V] and by class [L].

    Returns the sum of the weights too.
    """
    labelled = target > 0
    each = of_class[target[labelled] - 1] * of_voxel[labelled]
    losses = functional.cross_entropy(logits[labelled], target[labelled] - 1, reduction="none")
    return (each * losses).sum(), each.sum()


def lovasz_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the Lovász extension of the mean Jaccard loss over present classes (Berman et al. 2018, algorithm 1)."""
    labelled = target > 0
    probability = logits[labelled].softmax(dim=1)
    truth = functional.one_hot(target[labelled] - 1, logits.shape[1]).to(probability)
    present = truth.any(dim=0)
    if not bool(present.any()):
        return logits.sum() * 0
    truth = truth[:, present]
    error, order = (truth - probability[:, present]).abs().sort(dim=0, descending=True)
    return (error * _jaccard_steps(truth.gather(0, order))).sum(dim=0).mean()


def _jaccard_steps(truth: Tensor) -> Tensor:
    """Return what each further voxel adds to the Jaccard loss [V, L], for the truth [V, L] by descending error."""
    total = truth.sum(dim=0)
    hit = total - truth.cumsum(dim=0)
    union = total + (1 - truth).cumsum(dim=0)
    jaccard = 1 - hit / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
