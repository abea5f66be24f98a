"""Local contrast: the same group in two views, against the other groups of its scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.config import option

# Dimensions: K groups of the batch, D feature channels.


@dataclass(frozen=True)
class LocalConfig:
    """InfoNCE over groups."""

    temperature: float = option(0.1, "tau [choice, as SegContrast and MoCo]")
    negatives: Literal["scene", "batch"] = option("scene", "other groups of the same scene [deck], or of the batch")


def local_loss(f1: Tensor, f2: Tensor, scene: Tensor, config: LocalConfig) -> Tensor:
    """InfoNCE from student to teacher features.

    Args:
        f1: float [K, D], unit rows, student.
        f2: float [K, D], unit rows, teacher, without gradient; row k is the same group as f1's.
        scene: int64 [K], scene of each group.
        config: temperature and choice of negatives.

    Returns:
        Mean over groups, scalar; 0 without groups.
    """
    if len(f1) == 0:
        return f1.sum()
    logits = f1 @ f2.T / config.temperature
    if config.negatives == "scene":
        logits = logits.masked_fill(scene[:, None] != scene[None], -torch.inf)
    return functional.cross_entropy(logits, torch.arange(len(f1), device=f1.device))
