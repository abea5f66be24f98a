"""The loop of every training run: step, log, save, and end in order when asked to.

On a CPU, one GPU or several by the same code. A run that is stopped or killed and then resumed gives, on a CPU, the
same weights and the same log bit for bit: order, pairs and augmentations are functions of (seed, epoch, sample), and
the checkpoint holds the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn
from tqdm import tqdm

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.open import claim_folder
from iscc_lidar.trainer.data import loader
from iscc_lidar.trainer.data.loader import unwrap_worker_errors, worker_death_to_user_error
from iscc_lidar.trainer.data.pairs import Share, StepSampler
from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import Compute, choose_compute, leave_a_core, oom_to_user_error
from iscc_lidar.trainer.run.folder import RunPlan, prepare, refuse_foreign
from iscc_lidar.trainer.run.learner import Learner
from iscc_lidar.trainer.run.metrics import MetricsLog
from iscc_lidar.trainer.run.options import TrainConfig
from iscc_lidar.trainer.run.state import TrainingState, new_state, restore, save
from iscc_lidar.trainer.run.step import take_step
from iscc_lidar.trainer.run.stop_signal import StoppedError, stop_requests


def train(learner: Learner, out: Path, *, resume: bool = False, overwrite: bool = False) -> bool:
    """Train, or continue training, in ``out``. Returns False where the run was finished already.

    Args:
        learner: the task.
        out: folder of the run; locked meanwhile.
        resume: continue from the last checkpoint.
        overwrite: remove the run in ``out`` first.

    Raises:
        StoppedError: a signal asked to stop; the checkpoint is that of the last step.
        UserError: the options, the folder or the machine do not allow it, or the run failed.
    """
    options = learner.plan.config.train
    compute = compute_of(options)
    with ExitStack() as lock, distributed.process_group(compute.device):
        check_lock: list[Callable[[], None]] = []  # on rank 0 alone

        def begin() -> int:
            share_of_this_process(options)
            plan = plan_of(learner, compute)
            refuse_foreign(out, plan.config)  # before anything is written there
            check_lock.append(lock.enter_context(claim_folder(out)))
            return prepare(out, plan, resume, overwrite)

        start = distributed.broadcast_from_main(begin)
        if start >= learner.plan.steps:
            return False
        leave_a_core()
        _report_missing_kernels(compute)
        share, state = share_of_this_process(options), new_state(learner, compute)
        if start > 0:
            restore(out, state)
        with MetricsLog(out if distributed.is_main() else None, start, options.tensorboard) as log:
            batches = step_batches(learner, start, share, compute.device)
            _run_steps(learner, state, out, log, batches, compute.device, check_lock)
    return True


def compute_of(train: TrainConfig) -> Compute:
    """Choose device, engine and precision by a run's options. Raises UserError where they are not available."""
    return choose_compute(train.device, train.engine, train.precision, train.activation_checkpointing)


def plan_of(learner: Learner, compute: Compute) -> RunPlan:
    """Describe a run for its folder."""
    plan = learner.plan
    return replace(plan, facts={**plan.facts, "started_on": compute.summary()})


def share_of_this_process(train: TrainConfig) -> Share:
    """Return this process's part of each step. Raises UserError where a step cannot be cut into equal parts."""
    parts = train.micro_batches * distributed.world_size()
    if train.batch_size % parts != 0:
        raise UserError(
            f"train.batch_size={train.batch_size}, the samples of a step over all processes, cannot be cut evenly "
            f"among {distributed.world_size()} processes and {train.micro_batches} micro-batches; start another number "
            f"of processes, or a new run with a multiple of {parts}"
        )
    return Share(train.micro_batches, distributed.rank(), distributed.world_size())


def step_batches(learner: Learner, start: int, share: Share, device: torch.device) -> Generator[list[Any]]:
    """Yield this process's micro-batches of each step from ``start`` to the end of the run, see ``loader.steps``."""
    options, dataset = learner.plan.config.train, learner.dataset
    sampler = StepSampler(len(dataset), options.seed, options.batch_size, start, learner.plan.steps, share)
    return loader.steps(dataset, sampler, learner.collate, options.loader_workers, share.micro_batches, device)


def _run_steps(
    learner: Learner,
    state: TrainingState,
    out: Path,
    log: MetricsLog,
    batches: Generator[list[Any]],
    device: torch.device,
    check_lock: Sequence[Callable[[], None]],
) -> None:
    options, steps = learner.plan.config.train, learner.plan.steps
    network: nn.Module | None = None
    reported = False
    with (
        oom_to_user_error(),
        worker_death_to_user_error(),
        stop_requests() as stop_signal,
        closing(batches) as loaded,
        _progress(learner, state.step) as bar,
    ):
        for micro_batches in unwrap_worker_errors(loaded):
            if state.schedule(steps) or network is None:
                # DDP settles which gradients are exchanged when it wraps a network. The wrapper before must be gone
                # by then: its hooks would see the gradients, too.
                network = None
                network = distributed.wrap_ddp(state.network)
            number = state.step
            figures = take_step(learner, state, network, micro_batches, device)
            if number % options.log_every == 0 or state.step == steps:
                values = {key: float(value) for key, value in figures.items()}
                log.write(number, values | ({"sweeps_left_out": float(state.left_out)} if state.left_out else {}))
                bar.set_postfix({k.removeprefix("loss_"): f"{v:.3f}" for k, v in values.items() if "loss" in k})
            bar.update(options.batch_size)
            reported |= _report_left_out(micro_batches, reported)
            stop = distributed.max_over_ranks(stop_signal()) if state.step < steps else 0
            due = stop or state.step % options.checkpoint_every == 0 or state.step == steps
            if distributed.is_main() and due:
                log.sync()
                for check in check_lock:
                    check()
                save(out, state, learner)
            if stop:
                raise StoppedError(stop, state.step)


def _report_missing_kernels(compute: Compute) -> None:
    if compute.device.type == "cpu" and not cpu_library.available() and distributed.is_main():
        print(f"a step takes up to twice as long here: {cpu_library.description()}", file=sys.stderr)


def _report_left_out(batches: Sequence[Any], reported: bool) -> bool:
    """Report once that sweeps were left out, with the names of the first ones; return whether any were."""
    names = [name for batch in batches for name in batch.left_out]
    if names and not reported and distributed.is_main():
        tqdm.write(
            f"too few points to train on, others are taken instead: {', '.join(names)}; "
            "sweeps_left_out in metrics.jsonl counts all",
            file=sys.stderr,
        )
    return bool(names)


def _progress(learner: Learner, first: int) -> tqdm[NoReturn]:
    batch_size = learner.plan.config.train.batch_size
    return tqdm(
        total=learner.plan.steps * batch_size,
        initial=first * batch_size,
        unit=" samples",
        desc="pretrain" if learner.plan.task == "pretrain" else "finetune",
        dynamic_ncols=True,
        disable=not distributed.is_main(),
    )
