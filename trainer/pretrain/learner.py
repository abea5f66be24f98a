"""Pre-training by a method, as the training loop needs it.

iscc-train pretrain --cache CACHE --out OUT [--resume] [--recipe NAME] [--set section.key=value]
torchrun --nproc-per-node 8 --no-python iscc-train pretrain ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.text import counted
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.joined import JoinedCaches
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate
from iscc_lidar.trainer.pretrain.student import GroupEncoder
from iscc_lidar.trainer.pretrain.teacher import follow, momentum_at, start_teacher
from iscc_lidar.trainer.run.folder import RunPlan, cache_input
from iscc_lidar.trainer.run.learner import BatchResult, Learner, ParameterGroup, Trainables, WeightFile
from iscc_lidar.trainer.run.loop import train
from iscc_lidar.trainer.run.weights import ENCODER_FILE

HEADS_FILE: Final = "heads.safetensors"


class PretrainLearner(Learner):
    """See ``Learner``. A method without a teacher leaves it as it started."""

    collate = staticmethod(collate)

    def __init__(self, caches: Sequence[Cache], config: PretrainConfig) -> None:
        self.config = config
        self.steps = config.train.steps
        self.method = find_method(config.method.name)
        self.caches = JoinedCaches(caches)

    @cached_property
    def dataset(self) -> PairDataset:
        """See ``Learner``."""
        return PairDataset(self.caches, self.config)

    @cached_property
    def plan(self) -> RunPlan:
        """See ``Learner``."""
        name, sequences = self.caches.dataset, len(self.caches.sequences)
        partner = " with a partner" if self.config.data.partner == "window" else ""
        data = f"{name}, {counted(sequences, 'sequence')}, {counted(len(self.dataset.places), 'sweep')}{partner}"
        inputs = [cache_input(cache, number) for number, cache in enumerate(self.caches.caches, start=1)]
        weights = (ENCODER_FILE, HEADS_FILE)
        command = ("pretrain", *(word for cache in self.caches.caches for word in ("--cache", cache.path)))
        return RunPlan("pretrain", self.config, self.steps, inputs, {"dataset": name}, weights, data, command=command)

    def build(self, compute: Compute) -> Trainables:
        """See ``Learner``."""
        student = self.method.student(self.config, compute).to(compute.device)
        teacher = GroupEncoder.of(self.config, compute).to(compute.device)
        start_teacher(teacher, student)
        memory = self.method.memory(self.config).to(compute.device)
        group = ParameterGroup(list(student.parameters()), self.config.train.learning_rate)
        return Trainables(student, [group], {"teacher": teacher, "memory": memory})

    def counts(self, batch: Batch) -> Mapping[str, float | Tensor]:
        """See ``Learner``."""
        return {
            "regions": len(batch.scene),
            "queries": len(batch.occupied),
            "surroundings": len(batch.around_voxel),
        }

    def losses(self, network: nn.Module, others: Mapping[str, nn.Module], batch: Batch) -> BatchResult:
        """See ``Learner``."""
        teacher = cast(GroupEncoder, others["teacher"])
        return self.method.losses(network, teacher, others["memory"], batch, self.config)

    def after_step(
        self, step: int, network: nn.Module, others: Mapping[str, nn.Module], results: Sequence[BatchResult]
    ) -> None:
        """Refresh the memory, then let the teacher follow the student."""
        remembered = zip(*(result.remembered for result in results), strict=True)
        cast(Memory, others["memory"]).refresh(*(torch.cat(rows) for rows in remembered))
        if self.method.has_teacher:
            options = cast(Any, self.config).teacher
            follow(others["teacher"], network, momentum_at(step, self.steps, options))

    def weights(self, network: nn.Module, step: int) -> Mapping[str, WeightFile]:
        """See ``Learner``. The encoder, for other programs, has a file of its own."""
        header = {"step": step, "model": asdict(self.config.model)}
        tensors = network.state_dict()
        encoder = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        heads = {k: v for k, v in tensors.items() if not k.startswith("encoder.")}
        return {ENCODER_FILE: WeightFile(encoder, header), HEADS_FILE: WeightFile(heads, header)}


def pretrain(
    cache_paths: Sequence[Path | str],
    out: Path,
    config: PretrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> bool:
    """Pre-train on one cache or several, or continue pre-training, in ``out``. Returns and raises as ``train``."""
    learner = PretrainLearner([Cache(path) for path in cache_paths], config)
    return train(learner, out, resume=resume, overwrite=overwrite)
