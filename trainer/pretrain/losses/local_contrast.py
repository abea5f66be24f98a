"""Local contrast: the same region in two views, against the other regions of its scene or batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.pretrain.losses.over_regions import mean_over_regions

# Dimensions: R voxel samples of regions of this process, A regions of all processes, D feature channels.


@dataclass(frozen=True)
class LocalConfig:
    """InfoNCE over groups."""

    temperature: float = option(0.1, "tau [ours, as SegContrast and MoCo]", at_least=1e-6, at_most=1e6)
    negatives: Literal["scene", "batch"] = option("scene", "other groups of the same scene [authors], or of the batch")

    def __post_init__(self) -> None:
        check_ranges(self, "local")


def local_loss(
    f1: Tensor, f2: Tensor, scene: Tensor, config: LocalConfig, same: Tensor, ground: Tensor | None = None
) -> Tensor:
    """Compute InfoNCE from the features of one view to those of the other.

    Args:
        f1: float [R, D], unit rows, student, of regions or their parts.
        f2: float [A, D], unit rows, of all processes' regions: the teacher's, without gradient, or the student's own.
        scene: int64 [A], scene of each region.
        config: temperature and choice of negatives.
        same: int64 [R], the row of f2 that is the region of each of f1.
        ground: bool [A], ground patches, which are no negatives of each other.

    Returns:
        Mean over regions, scalar; 0 without regions.
    """
    if len(f1) == 0:
        return f1.sum() + 0 * f2.sum()  # other processes wait for this one in the backward pass of f2
    logits = f1 @ f2.T / config.temperature
    if config.negatives == "scene":
        logits = logits.masked_fill(scene[same, None] != scene[None], -torch.inf)
    if ground is not None:
        other = same[:, None] != torch.arange(len(f2), device=f2.device)
        logits = logits.masked_fill(ground[same, None] & ground[None] & other, -torch.inf)
    return mean_over_regions(functional.cross_entropy(logits, same, reduction="none"), same)
