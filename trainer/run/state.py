"""Everything that changes during training, and its checkpoint: tensors and plain values, no code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, in_memory, read_checkpoint, write_checkpoint
from iscc_lidar.trainer.run.learner import Learner
from iscc_lidar.trainer.run.schedule import learning_rate
from iscc_lidar.trainer.run.tensors import check_tensors
from iscc_lidar.trainer.run.weights import write_weights


@dataclass
class TrainingState:
    """All that changes during training.

    Attributes:
        step: steps taken.
        network: trained by gradient; others: see Trainables.
        scaler: keeps fp16 gradients from vanishing; idle in other precisions.
        left_out: samples so far for which another sweep was taken, see SweepDataset.
    """

    step: int
    network: nn.Module
    others: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    left_out: int = 0

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
    content: dict[str, Any] = {name: module.state_dict() for name, module in _modules(state).items()}
    content |= {"optimizer": state.optimizer.state_dict(), "step": state.step}
    content |= {"scaler": state.scaler.state_dict(), "torch_rng": torch.get_rng_state()}
    if state.left_out:
        content["left_out"] = state.left_out
    write_checkpoint(out, content)


def restore(out: Path, state: TrainingState) -> None:
    """Load the checkpoint in ``out`` into a state. Raises UserError where it is missing, damaged or of another run.

    Everything is compared with the state before anything is loaded: the optimiser's C code trusts its shapes.
    """
    content = read_checkpoint(out)
    try:
        for name, module in _modules(state).items():
            _named(name, check_tensors, content[name], module.state_dict())
        optimizer = _optimizer_state(content["optimizer"], state.optimizer)
        for name, module in _modules(state).items():
            module.load_state_dict(content[name])
        state.optimizer.load_state_dict(optimizer)
        if content["scaler"]:  # empty where the run computed without one so far, on a CPU for example
            state.scaler.load_state_dict(_scaler_state(content["scaler"]))
        torch.set_rng_state(content["torch_rng"].clone())
        state.step, state.left_out = content["step"], _count(content.get("left_out", 0))
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{out / CHECKPOINT_FILE}: does not fit this run ({error}); start anew with --overwrite"
        ) from None


def _modules(state: TrainingState) -> dict[str, nn.Module]:
    return {"network": state.network, **state.others}


def _named(name: str, check: Callable[..., None], *args: Any) -> None:
    try:
        check(*args)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _optimizer_state(found: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state dict of an AdamW to load: the file's moments and learning rates, the optimiser's own options.

    Raises ValueError where a moment or an option is not one of this optimiser.
    """
    own = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    groups = _groups(found["param_groups"], own["param_groups"])
    for number, moments in found["state"].items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(f"optimizer: there is no parameter {number}")
        shape = parameters[number].detach()
        expected = {"step": torch.zeros(()), "exp_avg": shape, "exp_avg_sq": shape}
        _named(f"optimizer: parameter {number}", check_tensors, moments, expected)
        if min(float(moments["step"]), float(moments["exp_avg_sq"].min())) < 0:
            raise ValueError(f"optimizer: parameter {number}: a step or second moment is below 0")
    return {"state": in_memory(found["state"]), "param_groups": groups}


def _groups(found: Any, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the optimiser's own groups with the file's learning rates, which the next step sets anew."""
    if not isinstance(found, list) or len(found) != len(own):
        raise ValueError(f"optimizer: expected {len(own)} groups of parameters")
    for theirs, ours in zip(found, own, strict=True):
        for name, value in ours.items():
            stored = theirs.get(name, value)
            if type(stored) is not type(value) or (stored != value and name != "lr"):
                raise ValueError(f"optimizer: {name} is {stored!r:.80}, expected {value!r:.80}")
    return [{**ours, "lr": theirs.get("lr", 0.0)} for theirs, ours in zip(found, own, strict=True)]


def _scaler_state(found: Any) -> dict[str, float]:
    names = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}
    if set(found) != names or not all(type(v) in (int, float) and 0 <= v < math.inf for v in found.values()):
        raise ValueError("scaler: expected its five numbers")
    return dict(found)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"left_out is {value!r:.80}, expected a count")
    return value
