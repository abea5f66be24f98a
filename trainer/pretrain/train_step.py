"""One optimiser step: losses and gradient of the step's micro-batches, then the memory, then theta, then m."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.distributed import no_sync, sum_over_ranks, world_size
from iscc_lidar.trainer.pretrain.checkpoint import TrainState
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.method import StepResult, find_method
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.teacher import follow, momentum_at
from iscc_lidar.trainer.run.schedule import learning_rate

_SMALLEST_SCALE: Final = 1.0
"""fp16 overflows now and then, and the scale is lowered; at this scale it is the network that overflows."""


def train_step(
    state: TrainState, network: nn.Module, batches: Sequence[Batch], config: PretrainConfig
) -> dict[str, Tensor]:
    """Take one step.

    Args:
        state: what is trained.
        network: the state's student as the processes train it together, see ranks.wrap_ddp.
        batches: this process's micro-batches, on its device.
        config: of the run.

    Returns:
        The losses, gradient norm and health figures of the step over all processes, scalars.
    """
    train, step, method = config.train, state.step, find_method(config.method.name)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, train.steps, train.learning_rate)
    state.optimizer.zero_grad(set_to_none=True)
    results, losses = [], []
    for i, (batch, share) in enumerate(zip(batches, _shares(batches), strict=True)):
        with no_sync(network, i + 1 < len(batches)):
            result = method.step(network, state.teacher, state.memory, batch, config)
            losses.append(_weighted(result, share))
            state.scaler.scale(losses[-1]["loss"]).backward()  # type: ignore[no-untyped-call]
        results.append(result)
    state.scaler.unscale_(state.optimizer)
    length = nn.utils.clip_grad_norm_(state.student.parameters(), train.clip_norm or math.inf)
    _stop_if_not_finite(state, losses, length, batches)
    state.memory.refresh(*(torch.cat(rows) for rows in zip(*(r.remembered for r in results), strict=True)))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if method.has_teacher:
        follow(state.teacher, state.student, momentum_at(step, train.steps, config.teacher))
    return _figures(losses, results) | {"gradient_norm": length}


def _shares(batches: Sequence[Batch]) -> list[dict[str, float]]:
    """What the mean over a micro-batch's regions, and over its queries, counts in the step's means.

    Times the number of processes, because the gradient becomes the mean over the processes.
    """
    counts = torch.tensor([[len(b.scene), len(b.occupied)] for b in batches], dtype=torch.float64)
    total = sum_over_ranks(counts.sum(0).to(batches[0].scene.device)).cpu()
    shares = (world_size() * counts / total.clamp(min=1)).tolist()
    return [{"regions": of_regions, "queries": of_queries} for of_regions, of_queries in shares]


def _weighted(result: StepResult, share: Mapping[str, float]) -> dict[str, Tensor]:
    """The loss, a weighted sum, and its parts, as shares of the whole step's."""
    parts = {name: share[loss.over] * loss.mean for name, loss in result.losses.items()}
    total: Tensor = reduce(operator.add, (loss.weight * parts[name] for name, loss in result.losses.items()))
    return {"loss": total, **parts}


def _figures(losses: Sequence[dict[str, Tensor]], results: Sequence[StepResult]) -> dict[str, Tensor]:
    sums = torch.stack([torch.stack([part.detach() for part in each.values()]) for each in losses]).sum(0)
    figures = dict(zip(losses[0], sum_over_ranks(sums) / world_size(), strict=True))
    for name in results[0].health:
        figures[name] = torch.stack([r.health[name].float() for r in results]).mean()
    return figures


def _stop_if_not_finite(
    state: TrainState, losses: Sequence[dict[str, Tensor]], gradient: Tensor, batches: Sequence[Batch]
) -> None:
    overflow = state.scaler.is_enabled() and state.scaler.get_scale() > _SMALLEST_SCALE
    total = torch.stack([each["loss"] for each in losses]).sum()
    if bool(torch.isfinite(total) & (torch.isfinite(gradient) | overflow)):
        return
    parts = {name: sum(float(each[name].detach()) for each in losses) for name in losses[0]}
    sweeps = "; ".join(f"{i} with {j}" for batch in batches for i, j in batch.names)
    raise UserError(
        f"step {state.step}: {', '.join(f'{k} {v:.4g}' for k, v in parts.items())}, gradient norm "
        f"{float(gradient):.4g}: not finite. Sweeps of this step: {sweeps}. Look at those sweeps, or lower "
        "train.learning_rate; the last checkpoint is whole"
    )
