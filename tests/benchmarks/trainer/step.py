"""Time of a training step by phase, rate of the loader, and whether training waits for it."""

from __future__ import annotations

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.loader import PREFETCH
from iscc_lidar.trainer.data.pairs import Share, keys_of_step
from iscc_lidar.trainer.engine.coordinates import sort_order
from iscc_lidar.trainer.engine.native.kernel_map import MapCache
from iscc_lidar.trainer.hardware.device import Compute, leave_a_core
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.samples.batch import Batch, GroupedView, collate
from iscc_lidar.trainer.run.loop import compute_of, step_batches
from iscc_lidar.trainer.run.state import TrainingState, new_state
from iscc_lidar.trainer.run.step import take_step

from benchmarks.trainer.matmul_floor import all_maps, bench_engine

_ALTERNATIONS: Final = 3
_WARM_UP: Final = 16
"""Steps after which every worker process has made some batches."""
CUDA: Final = ProfilerActivity.CUDA


def bench_step(config: PretrainConfig, cache: Cache, steps: int) -> dict[str, float]:
    """Time the phases of a step on batches in memory, then the loader alone, then both together.

    Each phase is the median over ``steps`` different batches. ``maps_s``, of both views, is timed separately: in a
    step it is part of the two forward passes.
    """
    train = config.train
    compute = compute_of(train)
    leave_a_core()
    endless = replace(train, steps=10**9, micro_batches=1, loader_workers=max(train.loader_workers, 1))
    learner = PretrainLearner([cache], replace(config, train=endless))
    with tqdm(bar_format="{desc}[{elapsed}]") as bar:
        bar.set_description("bench: reading sweeps, making samples")
        in_memory, figures = _load(learner.dataset, config, steps)
        bar.set_description("bench: steps")
        on_device = [batch.map(lambda tensor: tensor.to(compute.device)) for batch in in_memory]
        state = new_state(learner, compute)

        def train_on(batch: Batch) -> None:
            state.schedule(learner.steps)
            take_step(learner, state, state.network, [batch], compute.device)

        figures |= _phases(learner, state, train_on, on_device, compute)
        figures |= _floor(learner, state, on_device[0])
        bar.set_description("bench: loader")
        with closing(step_batches(learner, 0, Share(), compute.device)) as loader:
            loaded = chain.from_iterable(loader)
            figures |= _loader_alone(loaded, learner.config, steps)
            bar.set_description("bench: loader and steps")
            batch_s = train.batch_size / figures["samples_per_s_loader"]
            time.sleep(_ahead(learner.config) * batch_s)
            figures |= _together(loaded, steps * batch_s, train_on, compute, steps)
    pairs = train.batch_size
    figures["samples_per_s_step"] = pairs / figures["step_s"]
    figures["loader_over_step"] = figures["samples_per_s_loader"] / figures["samples_per_s_step"]
    figures["voxels_view1"] = statistics.mean(len(b.view1.coords) for b in in_memory)
    return figures


def _load(dataset: PairDataset, config: PretrainConfig, steps: int) -> tuple[list[Batch], dict[str, float]]:
    """Make the batches of some steps; return them and the seconds per step of reading sweeps and of the rest."""
    train = config.train
    made: list[Batch] = []
    reading, total = [0.0] * steps, [0.0] * steps
    read = dataset.read_sweep

    def timed(sequence: str, index: int) -> CachedSweep:
        start = time.perf_counter()
        sweep = read(sequence, index)
        reading[len(made)] += time.perf_counter() - start
        return sweep

    with patch.object(dataset, "read_sweep", timed):
        for step in range(_WARM_UP, _WARM_UP + steps):
            start = time.perf_counter()
            samples = [dataset[key] for key in keys_of_step(step, len(dataset), train.seed, train.batch_size)]
            batch = collate(samples)
            total[len(made)] = time.perf_counter() - start
            made.append(batch)
    load, rest = np.median([reading, np.subtract(total, reading)], axis=1).tolist()
    return made, {"load_s": load, "voxelise_s": rest}


def _phases(
    learner: PretrainLearner,
    state: TrainingState,
    train: Callable[[Batch], object],
    given: Sequence[Batch],
    compute: Compute,
) -> dict[str, float]:
    """Time the phases of real steps, by hooks on the calls that separate them."""
    marks: list[float] = []

    def mark(*_: object) -> None:
        _wait(compute)
        marks.append(time.perf_counter())

    def marked(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            mark()
            return method(*args)

        return call

    train(given[0])  # warm up; prototypes start
    hooks = [state.network.register_forward_hook(mark)]
    passes = ["forward_student_s"]
    if learner.method.has_teacher:
        hooks.append(state.others["teacher"].get_submodule("head").register_forward_hook(mark))
        passes.append("forward_teacher_s")
    scaler = state.scaler
    with patch.object(scaler, "scale", marked(scaler.scale)), patch.object(scaler, "unscale_", marked(scaler.unscale_)):
        for batch in given:
            mark()
            train(batch)
            mark()
    for hook in hooks:
        hook.remove()
    names = [*passes, "losses_s", "backward_s", "optimizer_s"]
    times = np.reshape(marks, (-1, len(names) + 1))
    depth = len(learner.config.model.encoder_widths)
    maps = _median([lambda b=b: [_maps(v, depth) for v in (b.view1, b.view2)] for b in given], compute)  # type: ignore[misc]
    return {
        "maps_s": maps,
        **dict(zip(names, np.median(np.diff(times), axis=0).tolist(), strict=True)),
        "step_s": float(np.median(times[:, -1] - times[:, 0])),
    }


def _maps(view: GroupedView, depth: int) -> MapCache:
    return all_maps(view.coords[sort_order(view.coords)], depth)


def _floor(learner: PretrainLearner, state: TrainingState, batch: Batch) -> dict[str, float]:
    """Time the matrix products of a step alone: forward and backward of one view, forward or both of the other."""
    voxels = batch.view1.coords
    figures = bench_engine(
        state.network.get_submodule("encoder"), voxels[sort_order(voxels)], batch.view1.feats.shape[1]
    )
    views = 4 / 3 if learner.method.has_teacher else 2
    return {"matmul_floor_s": figures["matmul_floor_s"] * views}


def _loader_alone(loader: Iterator[Batch], config: PretrainConfig, steps: int) -> dict[str, float]:
    """Measure samples per second of all worker processes together, and the peak memory of the largest."""
    for _ in range(max(_WARM_UP, config.train.loader_workers)):
        next(loader)
    timed = max(4 * steps, _ahead(config))
    start = time.perf_counter()
    for _ in range(timed):
        next(loader)
    seconds = time.perf_counter() - start
    peak = max((_peak_mb(worker.pid) for worker in multiprocessing.active_children()), default=0.0)
    return {
        "samples_per_s_loader": timed * config.train.batch_size / seconds,
        "loader_workers": config.train.loader_workers,
        "worker_peak_mb": peak,
    }


def _ahead(config: PretrainConfig) -> int:
    """Return the largest number of batches that are ready."""
    return PREFETCH * config.train.loader_workers


def _peak_mb(pid: int | None) -> float:
    """Return the largest resident size of a process so far; 0 where the system does not report it."""
    try:  # a child's resource usage would count what its parent had when it forked
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _together(
    loader: Iterator[Batch], rest_s: float, train: Callable[[Batch], object], compute: Compute, steps: int
) -> dict[str, float]:
    """Time steps on batches from the loader and on the same batches in memory, alternately.

    ``rest_s`` seconds after it gave ``steps`` batches, the loader has all that it may have ready, and its processes
    are idle.
    """
    seen: list[Batch] = []

    def mean_step(source: Iterable[Batch]) -> float:
        time.sleep(rest_s)
        start = time.perf_counter()
        for batch in source:
            train(batch)
            seen.append(batch)
        _wait(compute)
        return (time.perf_counter() - start) / steps

    repeated, fresh = [], []
    for _ in range(_ALTERNATIONS):
        seen.clear()
        fresh.append(mean_step(islice(loader, steps)))
        repeated.append(mean_step(list(seen)))
    figures = {
        "repeated_step_s": statistics.mean(repeated),
        "loaded_step_s": statistics.mean(fresh),
        "loaded_over_repeated": statistics.mean(fresh) / statistics.mean(repeated),
    }
    if compute.device.type == "cuda":
        with profile(activities=[CUDA]) as kernels:
            start = time.perf_counter()
            mean_step(islice(loader, steps))
            seconds = time.perf_counter() - start - rest_s
        spans = [(e.time_range.start, e.time_range.end) for e in kernels.events() or ()]
        figures["gpu_idle_share"] = 1 - covered(spans) * 1e-6 / seconds
    return figures


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return the length of the union of intervals (start, end)."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _median(runs: Sequence[Callable[[], object]], compute: Compute | None = None) -> float:
    seconds = []
    for run in runs:
        _wait(compute)
        start = time.perf_counter()
        run()
        _wait(compute)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _wait(compute: Compute | None) -> None:
    if compute is not None and compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
