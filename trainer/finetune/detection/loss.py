"""Losses of detection: focal loss of the heat maps (Law and Deng 2018), L1 of the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.finetune.detection.targets import CODE, FORWARD

_GUESSED = 0.2
"""Weight of which end is the front: from most boxes' points nobody knows, and a guess that is wrong costs 2."""


@dataclass(frozen=True)
class BoxLossConfig:
    """What is minimised."""

    box_weight: float = option(1.0, "weight of the boxes' L1 loss beside the heat maps'")


def heat_loss(logit: Tensor, heat: Tensor, ignored: Tensor) -> tuple[Tensor, Tensor]:
    """Penalty-reduced focal loss, summed, and the number of centres.

    Args:
        logit: float32 [B, C, X, Y].
        heat: float32 [B, C, X, Y], 1 at centres.
        ignored: bool [B, X, Y], cells that are neither right nor wrong; centres among them count all the same.
    """
    centre = heat == 1
    log_p, log_q = functional.logsigmoid(logit), functional.logsigmoid(-logit)
    p = logit.sigmoid()
    right = torch.where(centre, -((1 - p) ** 2) * log_p, torch.zeros(()).to(logit))
    elsewhere = ~centre & ~ignored[:, None]
    wrong = torch.where(elsewhere, -((1 - heat) ** 4) * p**2 * log_q, torch.zeros(()).to(logit))
    return right.sum() + wrong.sum(), centre.sum().float()


def box_loss(code: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Summed L1 distance between codes and targets, float32 [R, CODE], and R."""
    weight = torch.ones(CODE).to(code)
    weight[FORWARD] = _GUESSED
    return ((code - target).abs() * weight).sum(), code.new_tensor(float(len(code)))
