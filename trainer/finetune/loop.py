"""Fine-tune for semantic segmentation.

    iscc-train finetune semseg --train-cache CACHE --val-cache CACHE --out OUT [--encoder RUN] [--set section.key=value]

The head is trained alone at first, then head and encoder together. As in pre-training a run that is stopped or killed
and then resumed gives, on a CPU, the same weights bit for bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.label_fractions import draw_fractions, read_list, write_list
from iscc_lidar.trainer.data.pairs import Share
from iscc_lidar.trainer.finetune.config import FinetuneConfig
from iscc_lidar.trainer.finetune.loss import class_weights, lovasz_softmax, weighted_cross_entropy
from iscc_lidar.trainer.finetune.network import Encoder, SegmentationNetwork
from iscc_lidar.trainer.finetune.samples import LabelledBatch, LabelledDataset, Place, batches, semantic
from iscc_lidar.trainer.hardware import ranks
from iscc_lidar.trainer.hardware.compute import Compute, choose_compute, leave_a_core
from iscc_lidar.trainer.run import resume_file, run_folder
from iscc_lidar.trainer.run.loop import Length, run_steps
from iscc_lidar.trainer.run.metrics import MetricsLog
from iscc_lidar.trainer.run.run_folder import Input, RunPlan
from iscc_lidar.trainer.run.schedule import learning_rate
from iscc_lidar.trainer.run.weights import write_weights

NETWORK_FILE: Final = "segmentation.safetensors"
LABELLED_FILE: Final = "labelled.txt"
_COUNTED_SWEEPS: Final = 200
"""Class frequencies are counted over this many labelled sweeps at most, spread evenly."""


@dataclass
class TuneState:
    """All that changes during fine-tuning."""

    network: SegmentationNetwork
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler


def labelled_places(cache: Cache, config: FinetuneConfig, listed: Path | None) -> list[Place]:
    """Which sweeps of a cache keep their labels: those of a list, or the fraction that the options draw."""
    known = {sequence: cache.sweep_names(sequence) for sequence in cache.sequence_names}
    if listed is not None:
        frames = read_list(listed, known)
    else:
        percent = config.labels.percent
        frames = draw_fractions(known, [percent], config.labels.seed)[percent]
    return [(sequence, known[sequence].index(name)) for sequence, name in frames]


def finetune(
    cache_path: Path,
    out: Path,
    config: FinetuneConfig,
    encoder: Encoder | None = None,
    listed: Path | None = None,
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
    dataset = LabelledDataset(cache, labelled_places(cache, config, listed), config)
    steps = steps_of(config, len(dataset))
    with ranks.joined(compute.device):
        share = _share(config)
        plan = _plan(cache, config, compute, dataset, steps, encoder)
        start = ranks.from_main(lambda: _begin(out, plan, dataset, resume, overwrite))
        if start >= steps:
            return False
        leave_a_core()
        weight = class_weights(count_classes(dataset), config.loss.class_weight_power).to(compute.device)
        state = new_state(config, compute, dataset.classes - 1, encoder)
        if start > 0:
            restore(out, state)
        network = ranks.replicated(state.network)
        length = Length(steps, train.batch_size, train.log_every, train.checkpoint_every)
        with MetricsLog(out if ranks.is_main() else None, start, train.tensorboard) as log:
            run_steps(
                "finetune",
                start,
                length,
                batches(dataset, steps, start, share, compute.device),
                lambda step, batch: tune_step(state, network, batch[0], step, steps, weight, config),
                lambda done: save(out, state, done, config, dataset.classes),
                log,
            )
    return True


def steps_of(config: FinetuneConfig, sweeps: int) -> int:
    """Length of the run: the option, or so many epochs over the labelled sweeps."""
    return config.train.steps or max(1, math.ceil(config.train.epochs * sweeps / config.train.batch_size))


def new_state(config: FinetuneConfig, compute: Compute, classes: int, encoder: Encoder | None) -> TuneState:
    """Network and optimiser at step 0; the head, and an encoder that is not given, drawn from the seed."""
    torch.manual_seed(config.train.seed)
    network = SegmentationNetwork(config.model, classes, compute)
    if encoder is not None:
        encoder.load_into(network)
    network.to(compute.device)
    groups = [
        {"params": list(network.encoder.parameters()), "peak": config.train.encoder_learning_rate},
        {"params": list(network.head.parameters()), "peak": config.train.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=config.train.weight_decay)
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.half is torch.float16)
    return TuneState(network, optimizer, scaler)


def tune_step(
    state: TuneState,
    network: nn.Module,
    batch: LabelledBatch,
    step: int,
    steps: int,
    weight: Tensor,
    config: FinetuneConfig,
) -> dict[str, Tensor]:
    """Take one step; returns loss, accuracy on labelled voxels and gradient norm, over all processes."""
    train = config.train
    alone = step < round(train.head_only * steps)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(step, steps, group["peak"])
    state.optimizer.zero_grad(set_to_none=True)
    logits = network(batch.coords, batch.feats, not alone)
    total, mass = weighted_cross_entropy(logits, batch.target, weight)
    # Times the number of processes, because the gradient becomes the mean over the processes.
    cross_entropy = total * ranks.world_size() / ranks.sum_over_ranks(mass).clamp(min=1e-6)
    loss = cross_entropy
    if config.loss.lovasz_weight > 0:
        loss = loss + config.loss.lovasz_weight * lovasz_softmax(logits, batch.target)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    length = nn.utils.clip_grad_norm_(state.network.parameters(), train.clip_norm or math.inf)
    _stop_if_not_finite(loss, step)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    labelled = batch.target > 0
    right = (logits.detach().argmax(dim=1) + 1 == batch.target)[labelled].sum()
    sums = ranks.sum_over_ranks(torch.stack([loss.detach(), right.float(), labelled.sum().float()]))
    return {"loss": sums[0] / ranks.world_size(), "accuracy": sums[1] / sums[2], "gradient_norm": length}


def count_classes(dataset: LabelledDataset) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Points of each class but 0 in the labelled sweeps, int64 [L]. Raises UserError where none is labelled."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), _COUNTED_SWEEPS)).round().astype(int))
    counts = np.zeros(dataset.classes, np.int64)
    for place in chosen.tolist():
        sequence, index = dataset.places[place]
        sweep = dataset.cache.sweep(sequence, index, without=("queries", "pixel"))
        counts += np.bincount(semantic(sweep), minlength=dataset.classes)
    if counts[1:].sum() == 0:
        raise UserError(f"{dataset.cache.path}: no point of the labelled sweeps has a class; nothing can be learnt")
    return counts[1:]


def save(out: Path, state: TuneState, done: int, config: FinetuneConfig, classes: int) -> None:
    """Write the network, then the resume file, each in one step."""
    about = {"step": done, "model": dataclasses.asdict(config.model), "classes": classes}
    write_weights(out / NETWORK_FILE, state.network.state_dict(), about)
    content = {
        "step": done,
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
    }
    resume_file.write(out, content)


def restore(out: Path, state: TuneState) -> None:
    """Bring a state to where the checkpoint in ``out`` was taken. Raises UserError where it is damaged."""
    content = resume_file.read(out)
    try:
        state.network.load_state_dict(content["network"])
        state.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"]:
            state.scaler.load_state_dict(content["scaler"])
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise resume_file.does_not_fit(out, error) from None


def _begin(out: Path, plan: RunPlan, dataset: LabelledDataset, resume: bool, overwrite: bool) -> int:
    start = run_folder.prepare(out, plan, resume, overwrite)
    if start == 0:
        write_list(out / LABELLED_FILE, _frames(dataset), f"labelled sweeps of {dataset.cache.path}")
    return start


def _plan(
    cache: Cache,
    config: FinetuneConfig,
    compute: Compute,
    dataset: LabelledDataset,
    steps: int,
    encoder: Encoder | None,
) -> RunPlan:
    text = "\n".join("/".join(frame) for frame in _frames(dataset))
    labelled = Input("list of labelled sweeps", f"{len(dataset)} sweeps", "labelled_sha256", _sha256(text))
    start = encoder.as_input() if encoder else Input("encoder", "none, from scratch", "encoder_sha256", "")
    told: Mapping[str, object] = {
        "dataset": cache.manifest.dataset,
        "class_names": list(cache.manifest.class_names),
        "steps": steps,
        "started_on": compute.told(),
    }
    return RunPlan(config, steps, [run_folder.cache_input(cache), labelled, start], told, (NETWORK_FILE,))


def _frames(dataset: LabelledDataset) -> Sequence[tuple[str, str]]:
    names = {s: dataset.cache.sweep_names(s) for s in dict.fromkeys(sequence for sequence, _ in dataset.places)}
    return [(sequence, names[sequence][index]) for sequence, index in dataset.places]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _share(config: FinetuneConfig) -> Share:
    if config.train.batch_size % ranks.world_size() != 0:
        raise UserError(
            f"train.batch_size={config.train.batch_size}, the sweeps of a step over all processes, cannot be cut "
            f"evenly among {ranks.world_size()} processes"
        )
    return Share(1, ranks.rank(), ranks.world_size())


def _stop_if_not_finite(loss: Tensor, step: int) -> None:
    if not bool(torch.isfinite(loss)):
        raise UserError(
            f"step {step}: loss {float(loss.detach()):.4g} is not finite; lower train.encoder_learning_rate or "
            "train.head_learning_rate; the last checkpoint is whole"
        )
