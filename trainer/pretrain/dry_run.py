"""``iscc-train pretrain --dry-run``: what a run would be, found out in seconds, and nothing written."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey, Share, keys_of_step
from iscc_lidar.trainer.hardware.device import Compute, choose_compute, leave_a_core, oom_to_user_error
from iscc_lidar.trainer.pretrain.checkpoint import TrainState, new_state
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.loop import plan
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate
from iscc_lidar.trainer.pretrain.samples.dataset import PairDataset
from iscc_lidar.trainer.pretrain.train_step import train_step
from iscc_lidar.trainer.run import run_folder

T = TypeVar("T")


def dry_run(
    cache_path: Path | str, out: Path, config: PretrainConfig, *, resume: bool = False, overwrite: bool = False
) -> str:
    """Check recipe, cache, folder and machine, take two steps in memory, one of them on the largest sweeps.

    Returns:
        What was found, as text: a line each.

    Raises:
        UserError: what would stop the run, as far as two steps show it.
    """
    train = config.train
    cache = Cache(cache_path)
    compute = choose_compute(train.device, train.engine, train.precision, train.recompute)
    leave_a_core()
    start = run_folder.first_step(out, plan(config, cache, compute), resume, overwrite)
    dataset = PairDataset(cache, config)
    usual, load_s = _timed(
        lambda: _micro_batches(dataset, keys_of_step(0, len(dataset), train.seed, train.batch_size), config)
    )
    largest = _micro_batches(dataset, _largest(dataset, train.batch_size), config)
    state = new_state(config, compute)
    with oom_to_user_error():
        _step(state, largest, config, compute)
        _, step_s = _timed(lambda: _step(state, usual, config, compute))
    return "\n".join(
        [
            _cache_line(cache, dataset, config),
            f"network    {_millions(state.student)} parameters, {_millions(state.student.encoder)} in the encoder",
            f"computes   {', '.join(f'{k} {v}' for k, v in compute.told().items())}",
            f"batch      {_counts(usual)}; the largest {_counts(largest)}",
            f"memory     {_peak(compute)}",
            f"a step     {step_s:.2f} s; {load_s:.2f} s to load it, in {train.loader_workers} worker processes",
            _time_line(start, step_s, load_s, config),
        ]
    )


def _micro_batches(dataset: PairDataset, keys: list[SampleKey], config: PretrainConfig) -> list[Batch]:
    return [collate([dataset[key] for key in part]) for part in Share(config.train.micro_batches).of(keys)]


def _largest(dataset: PairDataset, count: int) -> list[SampleKey]:
    """The sweeps with most points to consider, as many as a step needs."""
    points: dict[tuple[str, int], int] = {}
    for name in dataset.cache.sequence_names:
        for block in dataset.cache.blocks(name):
            columns = (block.sweeps[column].to_pylist() for column in ("sweep", "points", "not_considered"))
            points |= {(name, sweep): n - left_out for sweep, n, left_out in zip(*columns, strict=True)}
    ranked = sorted(
        range(len(dataset)), key=lambda place: -points[dataset.sweeps[place].sequence, dataset.sweeps[place].index]
    )
    return [SampleKey(0, ranked[i % len(ranked)]) for i in range(count)]


def _step(state: TrainState, batches: list[Batch], config: PretrainConfig, compute: Compute) -> float:
    return float(train_step(state, state.student, [b.to(compute.device) for b in batches], config)["loss"])


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = run()
    return result, time.perf_counter() - began


def _cache_line(cache: Cache, dataset: PairDataset, config: PretrainConfig) -> str:
    samples = config.train.steps * config.train.batch_size
    partner = " with a partner" if config.data.partner == "window" else ""
    return (
        f"cache      {cache.manifest.dataset}, {len(cache.sequence_names)} sequences, {len(dataset)} sweeps{partner}; "
        f"{config.train.steps} steps of {config.train.batch_size} are {samples / len(dataset):.1f} epochs"
    )


def _time_line(start: int, step_s: float, load_s: float, config: PretrainConfig) -> str:
    each = max(step_s, load_s / max(config.train.loader_workers, 1))
    waits = "; the loader is the slower: more train.loader_workers would help" if each > step_s else ""
    steps = config.train.steps - start
    return f"the run    {steps} steps from {start}, about {each * steps / 60:.0f} minutes{waits}"


def _counts(batches: list[Batch]) -> str:
    voxels = sum(len(b.view1.coords) + len(b.view2.coords) for b in batches)
    regions, queries = sum(len(b.scene) for b in batches), sum(len(b.occupied) for b in batches)
    return f"{voxels:,} voxels, {regions} regions, {queries} queries"


def _millions(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"


def _peak(compute: Compute) -> str:
    if compute.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(compute.device)
        peak = torch.cuda.max_memory_allocated(compute.device)
        return f"{peak / 2**30:.1f} GiB of the GPU's {total / 2**30:.1f} at most, {free / 2**30:.1f} free now"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at most in this process"
