"""Pre-training by a method, as the training loop needs it.

iscc-train pretrain --cache CACHE --out OUT [--resume] [--recipe NAME] [--set section.key=value]
torchrun --nproc-per-node 8 --no-python iscc-train pretrain ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.losses.memory import Memory
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate
from iscc_lidar.trainer.pretrain.student import GroupEncoder
from iscc_lidar.trainer.pretrain.teacher import follow, momentum_at, start_teacher
from iscc_lidar.trainer.run.folder import Input, cache_input
from iscc_lidar.trainer.run.learner import BatchResult, ParameterGroup, Trainables, WeightFile
from iscc_lidar.trainer.run.loop import train
from iscc_lidar.trainer.run.options import TaskName
from iscc_lidar.trainer.run.weights import ENCODER_FILE

HEADS_FILE: Final = "heads.safetensors"


class PretrainLearner:
    """See ``Learner``. A method without a teacher leaves it as it started."""

    task: TaskName = "pretrain"
    weight_files = (ENCODER_FILE, HEADS_FILE)

    def __init__(self, cache: Cache, config: PretrainConfig) -> None:
        self.cache = cache
        self.config = config
        self.method = find_method(config.method.name)
        self.dataset = PairDataset(cache, config)
        self.collate = collate
        self.steps = config.train.steps

    def inputs(self) -> Sequence[Input]:
        """See ``Learner``."""
        return [cache_input(self.cache)]

    def facts(self) -> Mapping[str, object]:
        """See ``Learner``."""
        return {"dataset": self.cache.manifest.dataset}

    def begin(self, out: Path) -> None:
        """See ``Learner``. Nothing."""

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
        return {"regions": len(batch.scene), "queries": len(batch.occupied)}

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
        """See ``Learner``. The encoder for other programs, the heads apart from it."""
        header = {"step": step, "model": asdict(self.config.model)}
        tensors = network.state_dict()
        encoder = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        heads = {k: v for k, v in tensors.items() if not k.startswith("encoder.")}
        return {ENCODER_FILE: WeightFile(encoder, header), HEADS_FILE: WeightFile(heads, header)}

    def sample_sizes(self) -> Sequence[int]:
        """See ``Learner``."""
        points: dict[tuple[str, int], int] = {}
        for name in self.cache.sequence_names:
            for block in self.cache.blocks(name):
                columns = (block.sweeps[column].to_pylist() for column in ("sweep", "points", "not_considered"))
                points |= {(name, sweep): n - ignored for sweep, n, ignored in zip(*columns, strict=True)}
        return [points[ref.sequence, ref.index] for ref in self.dataset.sweeps]

    def describe_data(self) -> str:
        """See ``Learner``."""
        partner = " with a partner" if self.config.data.partner == "window" else ""
        manifest = self.cache.manifest
        return f"{manifest.dataset}, {len(manifest.sequences)} sequences, {len(self.dataset)} sweeps{partner}"

    def describe_batches(self, batches: Sequence[Batch]) -> str:
        """See ``Learner``."""
        voxels = sum(len(b.view1.coords) + len(b.view2.coords) for b in batches)
        regions, queries = sum(len(b.scene) for b in batches), sum(len(b.occupied) for b in batches)
        return f"{voxels:,} voxels, {regions} regions, {queries} queries"


def pretrain(
    cache_path: Path | str, out: Path, config: PretrainConfig, *, resume: bool = False, overwrite: bool = False
) -> bool:
    """Pre-train, or continue pre-training, in ``out``. Returns and raises as ``train``."""
    return train(PretrainLearner(Cache(cache_path), config), out, resume=resume, overwrite=overwrite)
