"""``--dry-run``: check a run, and measure its time and memory in two steps; nothing is written."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from iscc_lidar.trainer.data.pairs import SampleKey, keys_of_step
from iscc_lidar.trainer.data.places import point_counts
from iscc_lidar.trainer.hardware.device import Compute, leave_a_core, oom_to_user_error
from iscc_lidar.trainer.run.folder import first_step
from iscc_lidar.trainer.run.learner import Learner
from iscc_lidar.trainer.run.loop import compute_of, plan_of, share_of_this_process
from iscc_lidar.trainer.run.options import TrainConfig
from iscc_lidar.trainer.run.state import new_state
from iscc_lidar.trainer.run.step import take_step

T = TypeVar("T")


def dry_run(learner: Learner, out: Path, *, resume: bool = False, overwrite: bool = False) -> str:
    """Check options, data, folder and machine; take two steps in memory, one of them on the largest sweeps.

    Returns:
        The findings as text, one per line.

    Raises:
        UserError: what would stop the run, as far as two steps show it.
    """
    plan, count = learner.plan, len(learner.dataset.places)
    options = plan.config.train
    compute = compute_of(options)
    leave_a_core()
    start = first_step(out, plan_of(learner, compute), resume, overwrite)
    usual, load_s = _timed(lambda: _load(learner, keys_of_step(0, count, options.seed, options.batch_size), compute))
    largest = _load(learner, _largest(learner, options.batch_size), compute)
    state = new_state(learner, compute)
    state.schedule(plan.steps)
    with oom_to_user_error():
        take_step(learner, state, state.network, largest, compute.device)
        _, step_s = _timed(lambda: take_step(learner, state, state.network, usual, compute.device)["loss"].item())
    epochs = plan.steps * options.batch_size / count
    backbone = getattr(state.network, "encoder", state.network)
    return "\n".join(
        [
            f"data       {plan.data}; {plan.steps} steps of {options.batch_size} are {epochs:.1f} epochs",
            f"network    {_millions(state.network)} parameters, {_millions(backbone)} of them in the encoder",
            f"compute    {', '.join(f'{k} {v}' for k, v in compute.summary().items())}",
            f"batch      {_describe(usual)}; the largest {_describe(largest)}",
            f"memory     {_peak(compute)}",
            f"a step     {step_s:.2f} s; {load_s:.2f} s to load it, in {options.loader_workers} worker processes",
            _time_line(plan.steps - start, start, step_s, load_s, options),
        ]
    )


def _load(learner: Learner, keys: list[SampleKey], compute: Compute) -> list[Any]:
    parts = share_of_this_process(learner.plan.config.train).of(keys)
    batches = [learner.collate([learner.dataset[key] for key in part]) for part in parts]
    return [batch.map(lambda tensor: tensor.to(compute.device)) for batch in batches]


def _describe(batches: Sequence[Any]) -> str:
    return " + ".join(batch.describe() for batch in batches)


def _largest(learner: Learner, count: int) -> list[SampleKey]:
    """Return the samples with most points, as many as a step needs."""
    sizes = point_counts(learner.dataset.source, learner.dataset.places)
    ranked = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    return [SampleKey(0, ranked[i % len(ranked)]) for i in range(count)]


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began


def _time_line(steps: int, start: int, step_s: float, load_s: float, options: TrainConfig) -> str:
    each = max(step_s, load_s / max(options.loader_workers, 1))
    waits = "; the loader is the slower: more train.loader_workers would help" if each > step_s else ""
    return f"the run    {steps} steps from {start}, about {each * steps / 60:.0f} minutes{waits}"


def _millions(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"


def _peak(compute: Compute) -> str:
    if compute.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(compute.device)
        peak = torch.cuda.max_memory_allocated(compute.device)
        return f"{peak / 2**30:.1f} GiB of the GPU's {total / 2**30:.1f} at most, {free / 2**30:.1f} free now"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at most in this process"
