"""Fine-tune for a task.

    iscc-train finetune semseg --train-cache CACHE --val-cache CACHE --out OUT [--encoder RUN] [--set section.key=value]

What is new is trained alone at first, then together with what was pre-trained. As in pre-training a run that is
stopped or killed and then resumed gives, on a CPU, the same weights bit for bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.label_fractions import Frame, write_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data import loader
from iscc_lidar.trainer.data.pairs import Share, StepSampler
from iscc_lidar.trainer.data.places import frames_of
from iscc_lidar.trainer.finetune.checkpoint import restore, save
from iscc_lidar.trainer.finetune.encoder import Encoder
from iscc_lidar.trainer.finetune.labels import count_labelled, labelled_places
from iscc_lidar.trainer.finetune.options import TrainConfig
from iscc_lidar.trainer.finetune.task import Learner, Task
from iscc_lidar.trainer.finetune.tune_step import held_steps, new_state, tune_step
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import choose_compute, leave_a_core
from iscc_lidar.trainer.run import run_folder
from iscc_lidar.trainer.run.loop import Length, run_steps
from iscc_lidar.trainer.run.metrics import MetricsLog
from iscc_lidar.trainer.run.run_folder import Input, RunPlan

LABELLED_FILE: Final = "labelled.txt"


def finetune(
    task: Task,
    cache_path: Path | str,
    out: Path,
    config: Any,
    encoder: Encoder | None = None,
    listed: Path | None = None,
    among: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> bool:
    """Fine-tune, or go on fine-tuning, in ``out``. Returns False where the run was finished already.

    Args:
        task: what for.
        cache_path: cache of the sweeps that are learnt from.
        out: folder of the run.
        config: the task's options: a dataclass with the sections model, labels and train among others. With an
            encoder, ``model`` is that of its weights.
        encoder: what was pre-trained; without one everything is new.
        listed: list of the labelled sweeps; without one they are drawn.
        among: list of those that are drawn among, by default all.
        resume: go on where the last checkpoint was taken.
        overwrite: throw away what is in ``out``.

    Raises:
        StoppedError: a signal asked to stop; the checkpoint is that of the last step.
        UserError: the options, the cache, the folder or the machine do not allow it, or the run failed.
    """
    cache, train = Cache(cache_path), config.train
    if encoder is not None:
        config = dataclasses.replace(config, model=encoder.model)
    compute = choose_compute(train.device, train.engine, train.precision, train.recompute)
    places = labelled_places(cache, config.labels, task.labelled, listed, among)
    steps = steps_of(train, len(places), count_labelled(cache, task.labelled, None if listed else among))
    learner = task.begin(cache, places, config)
    with distributed.process_group(compute.device):
        share = _share(train)
        frames = frames_of(cache, places)
        told = {**learner.told(), "steps": steps, "started_on": compute.told()}
        plan = _plan(task, cache, config, frames, steps, encoder, told)
        start = distributed.broadcast_from_main(lambda: _begin(out, plan, cache, frames, resume, overwrite))
        if start >= steps:
            return False
        leave_a_core()
        state = new_state(learner, train, compute, encoder)
        if start > 0:
            restore(out, state)
        held = held_steps(train, steps)
        replica: nn.Module | None = None

        def step_of(step: int, batch: Sequence[Any]) -> dict[str, Tensor]:
            nonlocal replica
            if replica is None or step == held:
                state.hold(step < held)
                # What processes exchange is settled when a replica is made. The old one has to be gone by then: its
                # hooks would hear of the gradients, too.
                replica = None
                replica = distributed.wrap_ddp(state.network)
            return tune_step(state, learner, replica, batch[0], step, steps, train)

        length = Length(steps, train.batch_size, train.log_every, train.checkpoint_every)
        with MetricsLog(out if distributed.is_main() else None, start, train.tensorboard) as log:
            run_steps(
                "finetune",
                start,
                length,
                batches(learner, len(places), train, steps, start, share, compute.device),
                step_of,
                lambda done: save(out / task.network_file, state, done, learner.about()),
                log,
            )
    return True


def batches(
    learner: Learner, sweeps: int, train: TrainConfig, steps: int, start: int, share: Share, device: torch.device
) -> Generator[list[Any]]:
    """Make a process's batch of each step from ``start`` up to ``steps``, see ``loader.steps``."""
    sampler = StepSampler(sweeps, train.seed, train.batch_size, start, steps, share)
    return loader.steps(learner.dataset, sampler, learner.collate, train.loader_workers, 1, device)


def steps_of(train: TrainConfig, sweeps: int, of_all: int) -> int:
    """Length of the run on ``sweeps`` of ``of_all`` that have labels: the option, or by its epochs."""
    at = [math.log(percent) for percent in train.epochs_at]
    epochs = math.exp(np.interp(math.log(100 * sweeps / of_all), at, [math.log(e) for e in train.epochs]))
    return train.steps or max(1, math.ceil(round(epochs) * sweeps / train.batch_size))


def _begin(out: Path, plan: RunPlan, cache: Cache, frames: Sequence[Frame], resume: bool, overwrite: bool) -> int:
    start = run_folder.prepare(out, plan, resume, overwrite)
    if start == 0:
        write_list(out / LABELLED_FILE, frames, f"labelled sweeps of {cache.path}")
    return start


def _plan(
    task: Task,
    cache: Cache,
    config: Any,
    frames: Sequence[Frame],
    steps: int,
    encoder: Encoder | None,
    told: Mapping[str, object],
) -> RunPlan:
    text = "\n".join("/".join(frame) for frame in frames)
    labelled = Input("list of labelled sweeps", f"{len(frames)} sweeps", "labelled_sha256", _sha256(text))
    start = encoder.as_input() if encoder else Input("encoder", "none, from scratch", "encoder_sha256", "")
    return RunPlan(config, steps, [run_folder.cache_input(cache), labelled, start], told, (task.network_file,))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _share(train: TrainConfig) -> Share:
    if train.batch_size % distributed.world_size() != 0:
        raise UserError(
            f"train.batch_size={train.batch_size}, the sweeps of a step over all processes, cannot be cut "
            f"evenly among {distributed.world_size()} processes"
        )
    return Share(1, distributed.rank(), distributed.world_size())
