"""Everything that changes during training, and its checkpoint: tensors and plain values, no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, read_checkpoint, write_checkpoint
from iscc_lidar.trainer.run.learner import Learner
from iscc_lidar.trainer.run.schedule import learning_rate
from iscc_lidar.trainer.run.weights import write_weights


@dataclass
class TrainingState:
    """All that changes during training.

    Attributes:
        step: steps taken.
        network: trained by gradient; others: see Trainables.
        scaler: keeps fp16 gradients from vanishing; idle in other precisions.
    """

    step: int
    network: nn.Module
    others: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def schedule(self, steps: int) -> bool:
        """Set this step's learning rates and freeze what is not trained yet; return whether that has changed."""
        changed = False
        for group in self.optimizer.param_groups:
            first, trained = group["first_step"], self.step >= group["first_step"]
            # A group has a warm-up of its own from its first step: at the full rate Adam's first steps, which go by
            # the gradient's sign, would undo what was pre-trained.
            group["lr"] = learning_rate(max(self.step - first, 0), steps - first, group["peak"])
            for parameter in group["params"]:
                changed |= parameter.requires_grad != trained
                parameter.requires_grad_(trained)
        return changed


def new_state(learner: Learner, compute: Compute) -> TrainingState:
    """Make networks and optimiser at step 0, drawn from the seed."""
    torch.manual_seed(learner.plan.config.train.seed)
    built = learner.build(compute)
    groups: list[dict[str, Any]] = [
        {"params": list(group.parameters), "peak": group.peak, "first_step": group.first_step} for group in built.groups
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=learner.plan.config.train.weight_decay, fused=True)
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.half is torch.float16)
    return TrainingState(0, built.network, built.others, optimizer, scaler)


def save(out: Path, state: TrainingState, learner: Learner) -> None:
    """Write the weights, then the checkpoint, each in one step: the checkpoint is a folder's last file."""
    for name, file in learner.weights(state.network, state.step).items():
        write_weights(out / name, file.tensors, file.header)
    content: dict[str, Any] = {name: part.state_dict() for name, part in _parts(state).items()}
    content |= {"step": state.step, "scaler": state.scaler.state_dict(), "torch_rng": torch.get_rng_state()}
    write_checkpoint(out, content)


def restore(out: Path, state: TrainingState) -> None:
    """Load the checkpoint in ``out`` into a state. Raises UserError where it is missing, damaged or of another run."""
    content = read_checkpoint(out)
    try:
        for name, part in _parts(state).items():
            part.load_state_dict(content[name])
        if content["scaler"]:  # empty where the run computed without one so far, on a CPU for example
            state.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["torch_rng"])
        state.step = content["step"]
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"{out / CHECKPOINT_FILE}: does not fit this run ({error}); start anew with --overwrite"
        ) from None


def _parts(state: TrainingState) -> dict[str, Any]:
    return {"network": state.network, **state.others, "optimizer": state.optimizer}
