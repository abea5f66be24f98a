"""Contrast against a queue of earlier teacher features (MoCo: He et al., CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.trainer.pretrain.losses.memory import Memory, push
from iscc_lidar.trainer.pretrain.losses.over_regions import mean_over_regions

# Dimensions: K regions of this process, A of all processes, R rows of the queue, E projected channels.


class Queue(Memory):
    """The latest teacher features; it starts empty rather than random, so that no negative is made up."""

    rows: Tensor
    filled: Tensor
    cursor: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, channels))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    def negatives(self) -> Tensor:
        """The rows that hold a feature, [<= R, E]."""
        return self.rows[: int(self.filled)]

    def refresh(self, f2: Tensor) -> None:
        """Write teacher features [A, E] over the oldest ones."""
        push(self.rows, self.filled, self.cursor, f2)


def queue_loss(f1: Tensor, f2: Tensor, negatives: Tensor, temperature: float, region: Tensor) -> Tensor:
    """InfoNCE of each region's student feature to its teacher feature, against the queue.

    Args:
        f1: float [R, E], unit rows, student, of regions or their parts.
        f2: float [K, E], unit rows, teacher, of the regions, without gradient.
        negatives: float [R, E], unit rows, without gradient; may be empty.
        temperature: tau.
        region: int64 [R], the row of f2 that is the region of each of f1.

    Returns:
        Mean over regions, scalar; 0 without regions.
    """
    if len(f1) == 0:
        return f1.sum()
    same = (f1 * f2[region]).sum(dim=1, keepdim=True)
    logits = torch.cat([same, f1 @ negatives.T], dim=1) / temperature
    each = functional.cross_entropy(logits, torch.zeros_like(region), reduction="none")
    return mean_over_regions(each, region)
