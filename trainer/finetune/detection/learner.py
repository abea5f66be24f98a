"""Detection as a task of fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.detection.loss import box_loss, heat_loss
from iscc_lidar.trainer.finetune.detection.network import DetectionNetwork
from iscc_lidar.trainer.finetune.detection.samples import BoxBatch, BoxDataset, all_boxed, collate
from iscc_lidar.trainer.finetune.detection.targets import typical_codes
from iscc_lidar.trainer.finetune.learner import FinetuneLearner
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.learner import BatchResult, LossTerm


class DetectionLearner(FinetuneLearner):
    """See ``FinetuneLearner``."""

    task = "detection"
    network_file = "detection.safetensors"
    collate = staticmethod(collate)
    labelled_sweeps = staticmethod(all_boxed)

    @cached_property
    def dataset(self) -> BoxDataset:
        """See ``Learner``."""
        return BoxDataset(self.cache, self.trained_on, all_boxed(self.cache), self.config, self.spread)

    def check_labels(self) -> None:
        """See ``FinetuneLearner``."""
        names, found = self.config.classes.names, set(self.dataset.boxes().kind.tolist())
        if not found.intersection(names):
            path = self.cache.path if self.spread is None else self.spread.path
            raise UserError(
                f"{path}: the {len(self.trained_on)} sweeps in use have no box of the classes "
                f"{', '.join(names)} (classes.names); their boxes are of: {', '.join(sorted(found)) or 'none'}"
            )

    @property
    def spread_amount(self) -> str:
        """See ``FinetuneLearner``."""
        boxes = {} if self.spread is None else self.spread.box_counts()
        return f"{boxes.get('position', 0) + boxes.get('group', 0):,} boxes"

    def header(self) -> Mapping[str, object]:
        """See ``FinetuneLearner``."""
        return {name: dataclasses.asdict(getattr(self.config, name)) for name in ("model", "classes", "grid", "head")}

    def new_network(self, compute: Compute) -> DetectionNetwork:
        """See ``FinetuneLearner``."""
        config = self.config
        names = config.classes.names
        network = DetectionNetwork(config.model, config.head, len(names), config.grid.shape, compute)
        network.box.start_from(torch.from_numpy(typical_codes(self.dataset.boxes(), names)))
        return network

    def counts(self, batch: BoxBatch) -> Mapping[str, float | Tensor]:
        """Count boxes and centres; centres at least 1, so that a micro-batch without any still has a weight."""
        return {"centres": (batch.heat == 1).sum().clamp(min=1), "boxes": len(batch.code)}

    def losses(self, network: nn.Module, others: Mapping[str, nn.Module], batch: BoxBatch) -> BatchResult:
        """Compute the focal loss of the heat maps per centre, and the L1 loss per box."""
        logit, code = network(batch.coords, batch.feats, batch.cell, batch.offset, len(batch.heat), batch.at)
        heat, centres = heat_loss(logit, batch.heat, batch.ignored)
        box, boxes = box_loss(code, batch.code)
        terms = {
            "loss_heat": LossTerm(heat / centres.clamp(min=1), "centres"),
            "loss_box": LossTerm(box / boxes.clamp(min=1), "boxes", self.config.loss.box_weight),
        }
        return BatchResult(terms, {})
