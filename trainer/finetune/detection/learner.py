"""Detection as a task of fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.loss import box_loss, heat_loss
from iscc_lidar.trainer.finetune.detection.network import DetectionNetwork
from iscc_lidar.trainer.finetune.detection.samples import BoxBatch, BoxDataset, BoxSample, all_boxed, collate
from iscc_lidar.trainer.finetune.detection.targets import typical_codes
from iscc_lidar.trainer.finetune.task import Task
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import Compute

NETWORK_FILE: Final = "detection.safetensors"


class DetectionLearner:
    """See Learner."""

    def __init__(self, cache: Cache, places: Sequence[Place], config: DetectionConfig) -> None:
        self.config = config
        self.dataset = BoxDataset(cache, places, all_boxed(cache), config)
        self.collate: Callable[[list[BoxSample]], BoxBatch] = collate

    def told(self) -> Mapping[str, object]:
        """See Learner."""
        return {"dataset": self.dataset.cache.manifest.dataset}

    def about(self) -> Mapping[str, object]:
        """See Learner."""
        config = self.config
        return {name: dataclasses.asdict(getattr(config, name)) for name in ("model", "classes", "grid", "head")}

    def new_network(self, compute: Compute) -> DetectionNetwork:
        """See Learner."""
        config = self.config
        names = config.classes.names
        network = DetectionNetwork(config.model, config.head, len(names), config.grid.shape, compute)
        network.box.start_from(torch.from_numpy(typical_codes(self.dataset.boxes(), names)))
        return network

    def loss(self, network: nn.Module, batch: BoxBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Focal loss of the heat maps a centre, and L1 loss a box."""
        logit, code = network(batch.coords, batch.feats, batch.cell, batch.offset, len(batch.heat), batch.at)
        heat, centres = heat_loss(logit, batch.heat, batch.ignored)
        box, told = box_loss(code, batch.code)
        # Times the number of processes, because the gradient becomes the mean over the processes.
        heat = heat * distributed.world_size() / distributed.sum_over_ranks(centres).clamp(min=1)
        box = box * distributed.world_size() / distributed.sum_over_ranks(told).clamp(min=1)
        figures = {"loss_heat": heat.detach(), "loss_box": box.detach()}
        mean = {name: distributed.sum_over_ranks(value) / distributed.world_size() for name, value in figures.items()}
        return heat + self.config.loss.box_weight * box, mean


DETECTION: Final = Task(NETWORK_FILE, all_boxed, DetectionLearner)
