"""Semantic segmentation as a task of fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import Place, all_labelled
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.loss import class_weights, lovasz_softmax, weighted_cross_entropy
from iscc_lidar.trainer.finetune.semseg.network import SegmentationNetwork
from iscc_lidar.trainer.finetune.semseg.samples import LabelledBatch, LabelledDataset, LabelledSample, collate
from iscc_lidar.trainer.finetune.task import Task
from iscc_lidar.trainer.hardware import distributed
from iscc_lidar.trainer.hardware.device import Compute

NETWORK_FILE: Final = "segmentation.safetensors"


class SemsegLearner:
    """See Learner."""

    def __init__(self, cache: Cache, places: Sequence[Place], config: SemsegConfig) -> None:
        self.config = config
        self.dataset = LabelledDataset(cache, places, config)
        self.collate: Callable[[list[LabelledSample]], LabelledBatch] = collate

    def told(self) -> Mapping[str, object]:
        """See Learner."""
        manifest = self.dataset.cache.manifest
        return {"dataset": manifest.dataset, "class_names": list(manifest.class_names)}

    def about(self) -> Mapping[str, object]:
        """See Learner."""
        return {"model": dataclasses.asdict(self.config.model), "classes": self.dataset.classes}

    def new_network(self, compute: Compute) -> SegmentationNetwork:
        """See Learner."""
        return SegmentationNetwork(self.config.model, self.dataset.classes - 1, compute)

    def loss(self, network: nn.Module, batch: LabelledBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy weighted by class, and Lovász-softmax where it is asked for; accuracy on labelled voxels."""
        logits = network(batch.coords, batch.feats)
        total, mass = weighted_cross_entropy(logits, batch.target, self._class_weights.to(logits.device))
        # Times the number of processes, because the gradient becomes the mean over the processes.
        loss = total * distributed.world_size() / distributed.sum_over_ranks(mass).clamp(min=1e-6)
        if self.config.loss.lovasz_weight > 0:
            loss = loss + self.config.loss.lovasz_weight * lovasz_softmax(logits, batch.target)
        labelled = batch.target > 0
        right = (logits.detach().argmax(dim=1) + 1 == batch.target)[labelled].sum()
        sums = distributed.sum_over_ranks(torch.stack([right.float(), labelled.sum().float()]))
        return loss, {"accuracy": sums[0] / sums[1]}

    @cached_property
    def _class_weights(self) -> Tensor:
        return class_weights(self.dataset.count_classes(), self.config.loss.class_weight_power)


SEMSEG: Final = Task(NETWORK_FILE, all_labelled, SemsegLearner)
