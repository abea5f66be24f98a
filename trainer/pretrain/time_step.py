"""``iscc-train bench``: seconds of a training step on this machine, with each sparse engine and with the loader."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from tqdm import tqdm

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.loader import PREFETCH, unwrap_worker_errors, worker_death_to_user_error
from iscc_lidar.trainer.engine.choose import EngineName
from iscc_lidar.trainer.engine.native import cpu_library, fused
from iscc_lidar.trainer.hardware.device import Compute, leave_a_core, oom_to_user_error
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.run.loop import compute_of, share_of_this_process, step_batches
from iscc_lidar.trainer.run.state import new_state
from iscc_lidar.trainer.run.step import take_step

# V voxels, D features

AGREEMENT: Final = 1e-4
"""Largest difference between engines of the encoder's output in float32, relative to the largest value."""

Step = list[Batch]
"""The micro-batches of a step."""


@dataclass(frozen=True)
class EngineTime:
    """Figures of one engine: median seconds of a training step, and the difference of its output, see AGREEMENT."""

    name: str
    precision: str
    step_s: float
    difference: float


@dataclass(frozen=True)
class StepTimes:
    """Figures of ``time_training``.

    Attributes:
        compute: device, engine, precision and number of processes of a run.
        engines: the native one's plain PyTorch path, the reference for outputs, then the engines of this machine.
        absent: why TorchSparse is not among them; None where it is.
        batch: size of the first step.
        load_s: median seconds in which one process loads a step: reads, decodes, augments and voxelises sweeps.
        step_s: mean seconds of a step in a loop with the loader.
        wait_s: mean seconds of it that wait for the loader.
    """

    compute: dict[str, str]
    engines: tuple[EngineTime, ...]
    absent: str | None
    batch: str
    load_s: float
    step_s: float
    wait_s: float

    @property
    def disagreeing(self) -> list[str]:
        """Names of the engines whose output differs by more than AGREEMENT."""
        return [engine.name for engine in self.engines if not engine.difference <= AGREEMENT]


def time_training(cache: Cache, config: PretrainConfig, steps: int) -> StepTimes:
    """Time training steps on batches in memory with each engine, then in a loop with the loader.

    Args:
        cache: whose sweeps.
        config: of the run.
        steps: timed steps of each, after some to warm up.

    Raises:
        UserError: the configuration cannot run here.
    """
    compute = compute_of(config.train)
    leave_a_core()
    with oom_to_user_error(), worker_death_to_user_error(), tqdm(bar_format="{desc} [{elapsed}]", leave=False) as bar:
        bar.set_description("bench: loading")
        in_memory, load_s = _load(cache, config, compute, steps)
        learner = _learner(cache, config, 1 + steps)
        bar.set_description("bench: steps with each engine")
        engines, absent = _time_engines(learner, in_memory)
        bar.set_description("bench: steps with the loader")
        step_s, wait_s = _time_with_loader(cache, config, compute, steps)
    batch = " + ".join(batch.describe() for batch in in_memory[0])
    return StepTimes(compute.summary(), engines, absent, batch, load_s, step_s, wait_s)


def describe(times: StepTimes, config: PretrainConfig) -> str:
    """Format the figures as text, one line each."""
    train, differing = config.train, times.disagreeing
    compute = ", ".join(f"{name} {value}" for name, value in times.compute.items())
    on_cpu = f"; {cpu_library.description()}" if times.compute["device"] == "cpu" else ""
    waiting = f"{times.wait_s:.3f} s ({times.wait_s / times.step_s:.0%}) of it waiting for them"
    fastest = min(times.engines[1:], key=lambda engine: engine.step_s)
    lines = [
        f"computes   {compute}{on_cpu}",
        f"loading    {times.load_s:.3f} s per step in one process; the first: {times.batch}",
    ]
    for engine in times.engines:
        step = f"{engine.step_s:.3f} s per step in {engine.precision}"
        lines.append(f"engine     {engine.name:<14} {step}; fp32 output differs by {engine.difference:.1e}")
    if times.absent:
        lines.append(f"engine     no TorchSparse: {times.absent}")
    lines += [
        f"outputs    {f'DIFFER by more than {AGREEMENT:g}: ' + ', '.join(differing) if differing else 'agree'}",
        f"fastest    {fastest.name}; train.engine={train.engine} takes {times.compute['engine']}",
        f"training   {times.step_s:.3f} s per step with {train.loader_workers} loader processes, {waiting}",
    ]
    return "\n".join(lines)


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, relative to the largest value of ``theirs``."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _time_engines(learner: PretrainLearner, in_memory: list[Step]) -> tuple[tuple[EngineTime, ...], str | None]:
    """Time each engine of this machine on the same steps; also return why TorchSparse is not among them."""
    native = _compute(learner.config, "native")
    with fused.switched_off(), cpu_library.switched_off():
        expected = _output(learner.config, native, in_memory[0][0])
        times = [_time_engine("plain PyTorch", learner, native, in_memory, expected)]
    times.append(_time_engine("native", learner, native, in_memory, expected))
    try:
        torchsparse = _compute(learner.config, "torchsparse")
    except UserError as error:
        return tuple(times), str(error)
    return (*times, _time_engine("torchsparse", learner, torchsparse, in_memory, expected)), None


def _time_engine(
    name: str, learner: PretrainLearner, compute: Compute, in_memory: list[Step], expected: Tensor
) -> EngineTime:
    difference = relative_difference(_output(learner.config, compute, in_memory[0][0]), expected)
    # The first step compiles kernels and starts prototypes.
    _, taking = zip(*_time_steps(learner, compute, [in_memory[0], *in_memory])[1:], strict=True)
    return EngineTime(name, compute.summary()["precision"], statistics.median(taking), difference)


def _time_with_loader(cache: Cache, config: PretrainConfig, compute: Compute, steps: int) -> tuple[float, float]:
    """Return mean seconds of a step, and those of them that wait for the loader.

    Timing starts when the loader has as many batches ready as it may, or the steps have used up those of its start.
    """
    learner = _learner(cache, config, PREFETCH * config.train.loader_workers + 1 + steps)
    waiting, taking = zip(*_time_steps(learner, compute, _loaded(learner, compute))[-steps:], strict=True)
    return statistics.mean(waiting) + statistics.mean(taking), statistics.mean(waiting)


def _load(cache: Cache, config: PretrainConfig, compute: Compute, steps: int) -> tuple[list[Step], float]:
    """Load steps in this process; return them and the median seconds of each."""
    in_this_process = replace(config, train=replace(config.train, loader_workers=0))
    loaded, seconds, start = [], [], time.perf_counter()
    for step in _loaded(_learner(cache, in_this_process, steps), compute):
        seconds.append(_now(compute) - start)
        loaded.append(step)
        start = time.perf_counter()
    return loaded, statistics.median(seconds)


def _learner(cache: Cache, config: PretrainConfig, steps: int) -> PretrainLearner:
    return PretrainLearner([cache], replace(config, train=replace(config.train, steps=steps)))


def _loaded(learner: PretrainLearner, compute: Compute) -> Iterator[Step]:
    with closing(step_batches(learner, 0, share_of_this_process(learner.config.train), compute.device)) as loader:
        yield from unwrap_worker_errors(loader)


def _time_steps(learner: PretrainLearner, compute: Compute, steps: Iterable[Step]) -> list[tuple[float, float]]:
    """Take the steps of a training; return the seconds that each waits for its batches, and then takes."""
    state, times, end = new_state(learner, compute), [], _now(compute)
    for step in steps:
        start = _now(compute)
        state.schedule(learner.steps)
        take_step(learner, state, state.network, step, compute.device)
        times.append((start - end, _now(compute) - start))
        end = start + times[-1][1]
    return times


def _output(config: PretrainConfig, compute: Compute, batch: Batch) -> Tensor:
    """Compute the encoder's float32 features [V, D] of a batch's second view, with weights drawn from the seed."""
    torch.manual_seed(config.train.seed)
    encoder = SparseUNet(config.model, compute.engine).to(compute.device)
    with torch.no_grad():
        features: Tensor = encoder(batch.view2.coords, batch.view2.feats)
    return features


def _compute(config: PretrainConfig, engine: EngineName) -> Compute:
    return compute_of(replace(config.train, engine=engine))


def _now(compute: Compute) -> float:
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
    return time.perf_counter()
