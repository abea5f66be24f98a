"""Surroundings: binary cross-entropy of the cells around voxels, occupied and free ones with the same weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def surroundings_loss(logit: Tensor, occupied: Tensor) -> Tensor:
    """Compute the mean of the mean losses over occupied and over free cells, [S, C] each; 0 without cells of a kind."""
    each = functional.binary_cross_entropy_with_logits(logit, occupied.float(), reduction="none")
    kinds = [each[occupied], each[~occupied]]
    return torch.stack([kind.sum() / max(kind.numel(), 1) for kind in kinds]).mean()
