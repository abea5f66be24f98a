"""Losses of detection: focal loss of the heat maps (Law and Deng 2018), L1 of the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.finetune.detection.targets import CODE, FORWARD

_FORWARD_WEIGHT = 0.2
"""Weight of FORWARD: few boxes' points show which end is the front, and a wrong guess costs 2."""


@dataclass(frozen=True)
class BoxLossConfig:
    """Weights of the loss."""

    box_weight: float = option(
        1.0, "weight of the L1 loss of the boxes; that of the heat maps has 1", at_least=0, at_most=1e6
    )

    def __post_init__(self) -> None:
        check_ranges(self, "loss")


def heat_loss(logit: Tensor, heat: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the penalty-reduced focal loss, and count the centres.

    Args:
        logit: float32 [B, C, X, Y].
        heat: float32 [B, C, X, Y], 1 at centres.
        ignored: bool [B, X, Y], cells that are neither right nor wrong, except for centres.
    """
    centre = heat == 1
    log_p, log_q = functional.logsigmoid(logit), functional.logsigmoid(-logit)
    p = logit.sigmoid()
    right = torch.where(centre, -((1 - p) ** 2) * log_p, torch.zeros(()).to(logit))
    elsewhere = ~centre & ~ignored[:, None]
    wrong = torch.where(elsewhere, -((1 - heat) ** 4) * p**2 * log_q, torch.zeros(()).to(logit))
    return right.sum() + wrong.sum(), centre.sum().float()


def box_loss(code: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the L1 distance between codes and targets, float32 [R, CODE]; return R too."""
    weight = torch.ones(CODE).to(code)
    weight[FORWARD] = _FORWARD_WEIGHT
    return ((code - target).abs() * weight).sum(), code.new_tensor(float(len(code)))
