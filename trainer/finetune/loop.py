"""Fine-tune for semantic segmentation.

    iscc-train finetune semseg --train-cache CACHE --val-cache CACHE --out OUT [--encoder RUN] [--set section.key=value]

What is new is trained alone at first, then together with what was pre-trained. As in pre-training a run that is
stopped or killed and then resumed gives, on a CPU, the same weights bit for bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from torch import Tensor, nn

from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.label_fractions import Frame, write_list
from iscc_lidar.trainer.data.pairs import Share
from iscc_lidar.trainer.data.places import frames_of
from iscc_lidar.trainer.finetune.checkpoint import NETWORK_FILE, restore, save
from iscc_lidar.trainer.finetune.config import FinetuneConfig
from iscc_lidar.trainer.finetune.labels import count_labelled, labelled_places
from iscc_lidar.trainer.finetune.loss import class_weights
from iscc_lidar.trainer.finetune.network import Encoder
from iscc_lidar.trainer.finetune.samples import LabelledBatch, LabelledDataset, batches
from iscc_lidar.trainer.finetune.tune_step import held_steps, new_state, tune_step
from iscc_lidar.trainer.hardware import ranks
from iscc_lidar.trainer.hardware.compute import Compute, choose_compute, leave_a_core
from iscc_lidar.trainer.run import run_folder
from iscc_lidar.trainer.run.loop import Length, run_steps
from iscc_lidar.trainer.run.metrics import MetricsLog
from iscc_lidar.trainer.run.run_folder import Input, RunPlan

LABELLED_FILE: Final = "labelled.txt"


def finetune(
    cache_path: Path | str,
    out: Path,
    config: FinetuneConfig,
    encoder: Encoder | None = None,
    listed: Path | None = None,
    among: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> bool:
    """Fine-tune, or go on fine-tuning, in ``out``. Returns False where the run was finished already.

    Raises:
        StoppedError: a signal asked to stop; the checkpoint is that of the last step.
        UserError: the options, the cache, the folder or the machine do not allow it, or the run failed.
    """
    cache, train = Cache(cache_path), config.train
    if encoder is not None:
        config = dataclasses.replace(config, model=encoder.model)
    compute = choose_compute(train.device, train.engine, train.precision, train.recompute)
    dataset = LabelledDataset(cache, labelled_places(cache, config.labels, listed, among), config)
    steps = steps_of(config, len(dataset), count_labelled(cache, None if listed else among))
    with ranks.joined(compute.device):
        share = _share(config)
        frames = frames_of(cache, dataset.places)
        plan = _plan(cache, config, compute, frames, steps, encoder)
        start = ranks.from_main(lambda: _begin(out, plan, cache, frames, resume, overwrite))
        if start >= steps:
            return False
        leave_a_core()
        weight = class_weights(dataset.count_classes(), config.loss.class_weight_power).to(compute.device)
        state = new_state(config, compute, dataset.classes - 1, encoder)
        if start > 0:
            restore(out, state)
        held = held_steps(config, steps)
        replica: nn.Module | None = None

        def step_of(step: int, batch: Sequence[LabelledBatch]) -> dict[str, Tensor]:
            nonlocal replica
            if replica is None or step == held:
                state.hold(step < held)
                # What processes exchange is settled when a replica is made. The old one has to be gone by then: its
                # hooks would hear of the gradients, too.
                replica = None
                replica = ranks.replicated(state.network)
            return tune_step(state, replica, batch[0], step, steps, weight, config)

        length = Length(steps, train.batch_size, train.log_every, train.checkpoint_every)
        with MetricsLog(out if ranks.is_main() else None, start, train.tensorboard) as log:
            run_steps(
                "finetune",
                start,
                length,
                batches(dataset, steps, start, share, compute.device),
                step_of,
                lambda done: save(out, state, done, config, dataset.classes),
                log,
            )
    return True


def steps_of(config: FinetuneConfig, sweeps: int, of_all: int) -> int:
    """Length of the run on ``sweeps`` of ``of_all`` that have labels: the option, or by its epochs."""
    train = config.train
    at = [math.log(percent) for percent in train.epochs_at]
    epochs = math.exp(np.interp(math.log(100 * sweeps / of_all), at, [math.log(e) for e in train.epochs]))
    return train.steps or max(1, math.ceil(round(epochs) * sweeps / train.batch_size))


def _begin(out: Path, plan: RunPlan, cache: Cache, frames: Sequence[Frame], resume: bool, overwrite: bool) -> int:
    start = run_folder.prepare(out, plan, resume, overwrite)
    if start == 0:
        write_list(out / LABELLED_FILE, frames, f"labelled sweeps of {cache.path}")
    return start


def _plan(
    cache: Cache,
    config: FinetuneConfig,
    compute: Compute,
    frames: Sequence[Frame],
    steps: int,
    encoder: Encoder | None,
) -> RunPlan:
    text = "\n".join("/".join(frame) for frame in frames)
    labelled = Input("list of labelled sweeps", f"{len(frames)} sweeps", "labelled_sha256", _sha256(text))
    start = encoder.as_input() if encoder else Input("encoder", "none, from scratch", "encoder_sha256", "")
    told: Mapping[str, object] = {
        "dataset": cache.manifest.dataset,
        "class_names": list(cache.manifest.class_names),
        "steps": steps,
        "started_on": compute.told(),
    }
    return RunPlan(config, steps, [run_folder.cache_input(cache), labelled, start], told, (NETWORK_FILE,))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _share(config: FinetuneConfig) -> Share:
    if config.train.batch_size % ranks.world_size() != 0:
        raise UserError(
            f"train.batch_size={config.train.batch_size}, the sweeps of a step over all processes, cannot be cut "
            f"evenly among {ranks.world_size()} processes"
        )
    return Share(1, ranks.rank(), ranks.world_size())
