"""What is trained in fine-tuning, and one step of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.encoder import Encoder
from iscc_lidar.trainer.finetune.options import TrainConfig
from iscc_lidar.trainer.finetune.task import Learner, TaskNetwork
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.schedule import learning_rate


@dataclass
class TuneState:
    """All that changes during fine-tuning."""

    network: TaskNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def hold(self, held: bool) -> None:
        """Hold what was pre-trained fixed, or set it free."""
        for parameter in self.optimizer.param_groups[0]["params"]:
            parameter.requires_grad_(not held)


def held_steps(train: TrainConfig, steps: int) -> int:
    """For how many steps what was pre-trained is held fixed."""
    return round(train.frozen * steps)


def new_state(learner: Learner, train: TrainConfig, compute: Compute, encoder: Encoder | None) -> TuneState:
    """Network and optimiser at step 0; the head, and an encoder that is not given, drawn from the seed."""
    torch.manual_seed(train.seed)
    network = learner.new_network(compute)
    pretrained = encoder.load_into(network.encoder, train.transfer) if encoder is not None else []
    network.to(compute.device)
    known = set(map(id, pretrained))
    new = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups: list[dict[str, Any]] = [
        {"params": pretrained, "peak": train.encoder_learning_rate},
        {"params": new, "peak": train.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=train.weight_decay, fused=True)
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.half is torch.float16)
    return TuneState(network, optimizer, scaler)


def tune_step(
    state: TuneState, learner: Learner, network: nn.Module, batch: Any, step: int, steps: int, train: TrainConfig
) -> dict[str, Tensor]:
    """Take one step; returns loss, the task's figures and the gradient's norm, over all processes.

    In the first ``held_steps`` the state must hold what was pre-trained.
    """
    held = held_steps(train, steps)
    # What was pre-trained has a warm-up of its own, from when it is set free: at the full rate Adam's first steps,
    # which go by the gradient's sign, would undo it.
    pretrained, new = state.optimizer.param_groups
    pretrained["lr"] = learning_rate(max(step - held, 0), steps - held, pretrained["peak"])
    new["lr"] = learning_rate(step, steps, new["peak"])
    state.optimizer.zero_grad(set_to_none=True)
    loss, figures = learner.loss(network, batch)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    length = nn.utils.clip_grad_norm_(state.network.parameters(), train.clip_norm or math.inf)
    _stop_if_not_finite(loss, step)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    mean = distributed.sum_over_ranks(loss.detach()) / distributed.world_size()
    return {"loss": mean, **figures, "gradient_norm": length}


def _stop_if_not_finite(loss: Tensor, step: int) -> None:
    if not bool(torch.isfinite(loss)):
        raise UserError(
            f"step {step}: loss {float(loss.detach()):.4g} is not finite; lower train.encoder_learning_rate or "
            "train.head_learning_rate; the last checkpoint is whole"
        )
