"""Local contrast: the same region in two views, against the other regions of its scene or batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.config import option

# Dimensions: K groups of this process, A groups of all processes, D feature channels.


@dataclass(frozen=True)
class LocalConfig:
    """InfoNCE over groups."""

    temperature: float = option(0.1, "tau [choice, as SegContrast and MoCo]")
    negatives: Literal["scene", "batch"] = option("scene", "other groups of the same scene [deck], or of the batch")


def local_loss(f1: Tensor, f2: Tensor, scene: Tensor, config: LocalConfig, first: int = 0) -> Tensor:
    """InfoNCE from the features of one view to those of the other.

    Args:
        f1: float [K, D], unit rows, student.
        f2: float [A, D], unit rows, of all processes' groups: the teacher's, without gradient, or the student's own.
        scene: int64 [A], scene of each group.
        config: temperature and choice of negatives.
        first: row of f2 that is the same group as f1's row 0; the others follow in order.

    Returns:
        Mean over groups, scalar; 0 without groups.
    """
    if len(f1) == 0:
        return f1.sum() + 0 * f2.sum()  # other processes wait for this one in the backward pass of f2
    same = torch.arange(first, first + len(f1), device=f1.device)
    logits = f1 @ f2.T / config.temperature
    if config.negatives == "scene":
        logits = logits.masked_fill(scene[same, None] != scene[None], -torch.inf)
    return functional.cross_entropy(logits, same)
