"""One optimiser step: losses and gradient of the step's micro-batches, the update, then what no gradient reaches."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import reduce
from typing import Any, Final

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.hardware.distributed import no_sync, sum_over_ranks, world_size
from iscc_lidar.trainer.run.learner import BATCHES, BatchResult, Learner
from iscc_lidar.trainer.run.state import TrainingState

_SMALLEST_SCALE: Final = 1.0
"""fp16 overflows now and then, and the scale is lowered; at this scale it is the network that overflows."""


def take_step(
    learner: Learner, state: TrainingState, network: nn.Module, batches: Sequence[Any], device: torch.device
) -> dict[str, Tensor]:
    """Take one step at the learning rates that ``state.schedule`` has set.

    Args:
        learner: the task.
        state: what is trained.
        network: the state's network, wrapped in DDP where several processes train it.
        batches: this process's micro-batches, on its device.
        device: of the network.

    Returns:
        The losses, gradient norm and further figures of the step over all processes, scalars.

    Raises:
        UserError: loss or gradient is not finite; nothing was updated.
    """
    state.optimizer.zero_grad(set_to_none=True)
    results, losses = [], []
    all_shares, left_out = _shares(learner, batches, device)
    for i, (batch, shares) in enumerate(zip(batches, all_shares, strict=True)):
        with no_sync(network, i + 1 < len(batches)):
            result = learner.losses(network, state.others, batch)
            losses.append(_weighted(result, shares))
            state.scaler.scale(losses[-1]["loss"]).backward()  # type: ignore[no-untyped-call]
        results.append(result)
    state.scaler.unscale_(state.optimizer)
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), learner.plan.config.train.clip_norm or math.inf)
    _refuse_not_finite(learner, state, losses, norm, batches)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    learner.after_step(state.step, state.network, state.others, results)
    state.step += 1
    state.left_out += left_out
    return _figures(losses, results) | {"gradient_norm": norm}


def _shares(learner: Learner, batches: Sequence[Any], device: torch.device) -> tuple[list[dict[str, float]], int]:
    """Return the share of each micro-batch in the whole step's counts, by name, and the sweeps left out in the step.

    Shares are times the number of processes, because DDP averages the gradient over the processes.
    """
    counts: list[dict[str, float | Tensor]] = [{BATCHES: 1.0, **learner.counts(batch)} for batch in batches]
    rows = [
        [*map(float, of_batch.values()), len(batch.left_out)] for of_batch, batch in zip(counts, batches, strict=True)
    ]
    table = torch.tensor(rows, dtype=torch.float64)
    total = sum_over_ranks(table.sum(0).to(device)).cpu()
    shares = torch.where(total > 0, world_size() * table / total, 0).tolist()
    return [dict(zip(counts[0], row[:-1], strict=True)) for row in shares], int(total[-1])


def _weighted(result: BatchResult, shares: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the loss, a weighted sum, and its terms, as shares of the whole step's."""
    terms = {name: shares[term.over] * term.mean for name, term in result.terms.items()}
    total: Tensor = reduce(operator.add, (term.weight * terms[name] for name, term in result.terms.items()))
    return {"loss": total, **terms}


def _figures(losses: Sequence[dict[str, Tensor]], results: Sequence[BatchResult]) -> dict[str, Tensor]:
    sums = torch.stack([torch.stack([term.detach() for term in each.values()]) for each in losses]).sum(0)
    figures = dict(zip(losses[0], sum_over_ranks(sums) / world_size(), strict=True))
    for name in results[0].figures:
        figures[name] = torch.stack([r.figures[name].float() for r in results]).mean()
    return figures


def _refuse_not_finite(
    learner: Learner, state: TrainingState, losses: Sequence[dict[str, Tensor]], norm: Tensor, batches: Sequence[Any]
) -> None:
    overflow = state.scaler.is_enabled() and state.scaler.get_scale() > _SMALLEST_SCALE
    total = torch.stack([each["loss"] for each in losses]).sum()
    if bool(torch.isfinite(total) & (torch.isfinite(norm) | overflow)):
        return
    terms = {name: sum(float(each[name].detach()) for each in losses) for name in losses[0]}
    sweeps = "; ".join(name for batch in batches for name in batch.names)
    rates = " or ".join(
        f"train.{f.name}" for f in fields(learner.plan.config.train) if f.name.endswith("learning_rate")
    )
    raise UserError(
        f"step {state.step}: {', '.join(f'{k} {v:.4g}' for k, v in terms.items())}, gradient norm {float(norm):.4g}: "
        f"not finite. Sweeps of this step: {sweeps}. The last checkpoint is intact, but --resume would come to this "
        f"step again. Check the sweeps, or start a new run, in another --out or with --overwrite, with a lower {rates}"
    )
