"""Semantic segmentation as a task of fine-tuning: network and losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.places import all_labelled
from iscc_lidar.trainer.finetune.learner import FinetuneLearner, TaskNetwork
from iscc_lidar.trainer.finetune.semseg.loss import class_weights, lovasz_softmax, weighted_cross_entropy
from iscc_lidar.trainer.finetune.semseg.samples import LabelledBatch, LabelledDataset, collate
from iscc_lidar.trainer.finetune.spread import balanced
from iscc_lidar.trainer.hardware.device import ON_CPU, Compute
from iscc_lidar.trainer.hardware.distributed import sum_over_ranks
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.run.learner import BatchResult, LossTerm


class SegmentationNetwork(TaskNetwork):
    """Sparse U-Net and one linear layer on its features."""

    def __init__(self, model: ModelConfig, classes: int, compute: Compute = ON_CPU) -> None:
        super().__init__()
        self.encoder = SparseUNet(model, compute.engine, compute.activation_checkpointing)
        self.head = nn.Linear(model.out_channels, classes)
        self._half = compute.half

    def forward(self, coords: Tensor, feats: Tensor) -> Tensor:
        """Compute logits float32 [V, classes] of voxels int32 [V, 4] (scene, x, y, z) with features [V, 4]."""
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            h = self.encoder(coords, feats)
        logits: Tensor = self.head(h.float())
        return logits


class SemsegLearner(FinetuneLearner):
    """See ``FinetuneLearner``."""

    task = "semseg"
    network_file = "segmentation.safetensors"
    collate = staticmethod(collate)
    labelled_sweeps = staticmethod(all_labelled)

    @cached_property
    def dataset(self) -> LabelledDataset:
        """See ``Learner``."""
        places = self.trained_on if self.spread is None else balanced(self.trained_on, self.places)
        return LabelledDataset(self.cache, places, self.config, self.spread)

    def check_labels(self) -> None:
        """See ``FinetuneLearner``."""
        if self.spread is None and not set(self.places) & set(all_labelled(self.cache)):
            raise UserError(
                f"{self.cache.path}: none of the {len(self.places)} sweeps in use has a point with a class; list "
                "others by --labelled, or preprocess again with their label files in place"
            )

    @property
    def spread_amount(self) -> str:
        """See ``FinetuneLearner``."""
        points = {} if self.spread is None else self.spread.points()
        return f"{points.get('position', 0) + points.get('group', 0):,} points"

    def header(self) -> Mapping[str, object]:
        """See ``FinetuneLearner``."""
        return {"model": dataclasses.asdict(self.config.model), "classes": self.dataset.classes}

    def new_network(self, compute: Compute) -> SegmentationNetwork:
        """See ``FinetuneLearner``."""
        return SegmentationNetwork(self.config.model, self.dataset.classes - 1, compute)

    def counts(self, batch: LabelledBatch) -> Mapping[str, float | Tensor]:
        """Sum the class weights of the labelled voxels, over which the cross-entropy is averaged."""
        labelled = batch.target > 0
        each = self._class_weights[batch.target[labelled].cpu() - 1] * batch.weight[labelled].cpu()
        return {"class_weights": each.sum()}

    def losses(self, network: nn.Module, others: Mapping[str, nn.Module], batch: LabelledBatch) -> BatchResult:
        """Compute cross-entropy weighted by class, Lovász-softmax if it has a weight, and accuracy."""
        logits = network(batch.coords, batch.feats)
        total, mass = weighted_cross_entropy(logits, batch.target, batch.weight, self._class_weights.to(logits.device))
        terms = {"loss_cross_entropy": LossTerm(total / mass.clamp(min=1e-6), "class_weights")}
        if self.config.loss.lovasz_weight > 0:
            lovasz = lovasz_softmax(logits, batch.target)
            terms["loss_lovasz"] = LossTerm(lovasz, weight=self.config.loss.lovasz_weight)
        labelled = batch.target > 0
        correct = (logits.detach().argmax(dim=1) + 1 == batch.target)[labelled].sum()
        sums = sum_over_ranks(torch.stack([correct.float(), labelled.sum().float()]))
        return BatchResult(terms, {"accuracy": sums[0] / sums[1]})

    @cached_property
    def _class_weights(self) -> Tensor:
        return class_weights(self.dataset.count_classes(), self.config.loss.class_weight_power)
