"""What is trained in fine-tuning, and one step of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.finetune.config import FinetuneConfig
from iscc_lidar.trainer.finetune.loss import lovasz_softmax, weighted_cross_entropy
from iscc_lidar.trainer.finetune.network import Encoder, SegmentationNetwork
from iscc_lidar.trainer.finetune.samples import LabelledBatch
from iscc_lidar.trainer.hardware import ranks
from iscc_lidar.trainer.hardware.compute import Compute
from iscc_lidar.trainer.run.schedule import learning_rate


@dataclass
class TuneState:
    """All that changes during fine-tuning."""

    network: SegmentationNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def hold(self, held: bool) -> None:
        """Hold what was pre-trained fixed, or set it free."""
        for parameter in self.optimizer.param_groups[0]["params"]:
            parameter.requires_grad_(not held)


def held_steps(config: FinetuneConfig, steps: int) -> int:
    """For how many steps what was pre-trained is held fixed."""
    return round(config.train.frozen * steps)


def new_state(config: FinetuneConfig, compute: Compute, classes: int, encoder: Encoder | None) -> TuneState:
    """Network and optimiser at step 0; the head, and an encoder that is not given, drawn from the seed."""
    torch.manual_seed(config.train.seed)
    network = SegmentationNetwork(config.model, classes, compute)
    train = config.train
    pretrained = encoder.load_into(network, train.transfer) if encoder is not None else []
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
    state: TuneState,
    network: nn.Module,
    batch: LabelledBatch,
    step: int,
    steps: int,
    weight: Tensor,
    config: FinetuneConfig,
) -> dict[str, Tensor]:
    """Take one step; returns loss, accuracy on labelled voxels and gradient norm, over all processes.

    In the first ``held_steps`` the state must hold what was pre-trained.
    """
    train = config.train
    held = held_steps(config, steps)
    # What was pre-trained has a warm-up of its own, from when it is set free: at the full rate Adam's first steps,
    # which go by the gradient's sign, would undo it.
    pretrained, new = state.optimizer.param_groups
    pretrained["lr"] = learning_rate(max(step - held, 0), steps - held, pretrained["peak"])
    new["lr"] = learning_rate(step, steps, new["peak"])
    state.optimizer.zero_grad(set_to_none=True)
    logits = network(batch.coords, batch.feats)
    total, mass = weighted_cross_entropy(logits, batch.target, weight)
    # Times the number of processes, because the gradient becomes the mean over the processes.
    cross_entropy = total * ranks.world_size() / ranks.sum_over_ranks(mass).clamp(min=1e-6)
    loss = cross_entropy
    if config.loss.lovasz_weight > 0:
        loss = loss + config.loss.lovasz_weight * lovasz_softmax(logits, batch.target)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    length = nn.utils.clip_grad_norm_(state.network.parameters(), train.clip_norm or math.inf)
    _stop_if_not_finite(loss, step)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    labelled = batch.target > 0
    right = (logits.detach().argmax(dim=1) + 1 == batch.target)[labelled].sum()
    sums = ranks.sum_over_ranks(torch.stack([loss.detach(), right.float(), labelled.sum().float()]))
    return {"loss": sums[0] / ranks.world_size(), "accuracy": sums[1] / sums[2], "gradient_norm": length}


def _stop_if_not_finite(loss: Tensor, step: int) -> None:
    if not bool(torch.isfinite(loss)):
        raise UserError(
            f"step {step}: loss {float(loss.detach()):.4g} is not finite; lower train.encoder_learning_rate or "
            "train.head_learning_rate; the last checkpoint is whole"
        )
