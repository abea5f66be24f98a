"""The momentum encoder F_m: a slow copy of the student."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from iscc_lidar.shared.base.config import check_ranges, option


@dataclass(frozen=True)
class TeacherConfig:
    """Momentum of the teacher over the run."""

    momentum_start: float = option(
        0.99,
        "share kept at each step at the start; 0.999 leaves 67 % of the initial "
        "weights after 400 steps, too slow for short runs [ours]",
        at_least=0,
        at_most=1,
    )
    momentum_end: float = option(
        1.0, "share kept at the end, reached by a half cosine [ours, BYOL]", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        check_ranges(self, "teacher")


def start_teacher(teacher: nn.Module, student: nn.Module) -> None:
    """Copy the student's weights into the teacher, which takes no gradient from now on.

    Batch normalisation: the teacher normalises by its own batch's statistics, as the student does,
    and keeps running statistics of its own; only parameters follow the student.
    """
    weights = student.state_dict()
    teacher.load_state_dict({name: weights[name] for name in teacher.state_dict()})
    teacher.requires_grad_(False)


def momentum_at(step: int, steps: int, config: TeacherConfig) -> float:
    """Return the momentum of the update after step ``step`` (from 0) of ``steps``."""
    done = step / max(steps, 1)
    return config.momentum_end - (config.momentum_end - config.momentum_start) * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move each of the teacher's parameters: m <- momentum * m + (1 - momentum) * theta."""
    weights = dict(student.named_parameters())
    for name, slow in teacher.named_parameters():
        slow.lerp_(weights[name], 1 - momentum)
