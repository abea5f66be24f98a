"""Segment sweeps with a fine-tuned network, and score every original point."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.layout import open_predictions
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize
from iscc_lidar.trainer.evaluation.pictures import draw_confusion, draw_segmentation
from iscc_lidar.trainer.evaluation.scores import count_confusion, score, semantic
from iscc_lidar.trainer.finetune.score import Scorer, Writer
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.network import SegmentationNetwork
from iscc_lidar.trainer.finetune.semseg.samples import NOT_READ
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.run import Run


class SemsegScorer(Scorer):
    """See ``Scorer``: mIoU by the dataset's rule, IoU of each class, the confusion matrix."""

    learner = SemsegLearner
    config_type = SemsegConfig
    score_file = "segmentation.json"

    def __init__(self, run: Run, cache: Cache) -> None:
        super().__init__(run, cache)
        self.names = cache.manifest.class_names
        self.counts = np.zeros((len(self.names), len(self.names)), np.int64)

    def new_network(self, run: Run, compute: Compute) -> SegmentationNetwork:
        """See ``Scorer``."""
        names, trained_on = self.cache.manifest.class_names, tuple(run.provenance.get("class_names", ()))
        if trained_on != names:
            raise UserError(
                f"{run.folder}: was trained for the classes {', '.join(trained_on)}; the cache has {', '.join(names)}"
            )
        return SegmentationNetwork(self.config.model, len(names) - 1, compute)

    def open_predictions(self, folder: Path | None, root: Path | None) -> AbstractContextManager[Writer]:
        """See ``Scorer``: files in the dataset's own layout."""
        return open_predictions(self.cache, folder, root) if folder is not None else nullcontext()

    def add(self, number: int, place: Place, write: Writer, pictures: Path | None) -> None:
        """See ``Scorer``."""
        sweep = self.cache.sweep(*place, without=NOT_READ)
        predicted = predict(self.network, sweep, self.config.model.voxel_size, self.device)
        self.counts += count_confusion(semantic(sweep), predicted, len(self.names))
        if write is not None:
            write(sweep, predicted)
        if pictures is not None:
            draw_segmentation(sweep, predicted, self.names, pictures / "segmentation.png")

    def content(self, facts: Mapping[str, object]) -> dict[str, Any]:
        """See ``Scorer``."""
        if self.pictures is not None:
            draw_confusion(self.counts, self.names, self.pictures / "confusion.png")
        scores = asdict(score(self.counts, self.names, self.cache.manifest.dataset))
        return {**scores, **facts, "confusion": self.counts.tolist()}

    @staticmethod
    def table(content: Mapping[str, Any]) -> str:
        """See ``Scorer``: IoU by class, best first, and the means."""
        best_first = sorted(content["iou"].items(), key=lambda item: -1.0 if item[1] is None else -item[1])
        lines = [f"{name:<20}{'absent' if value is None else f'{100 * value:6.1f}'}" for name, value in best_first]
        means = (
            f"{'mIoU':<20}{100 * content['miou']:6.1f}   without ground classes {100 * content['miou_objects']:.1f}, "
            f"accuracy {100 * content['accuracy']:.1f}, {content['sweeps']} sweeps of {content['cache']}"
        )
        return "\n".join([*lines, means, ""])


def predict(network: nn.Module, sweep: CachedSweep, voxel_size: float, device: torch.device) -> NDArray[np.uint8]:
    """Predict the class of every point of a sweep in the raw file's order, uint8 [N], from 1; 0 for invalid points.

    ``network`` must be in evaluation mode.
    """
    valid = np.flatnonzero(sweep.xyz.any(axis=1))
    predicted = np.zeros(len(sweep.xyz), np.uint8)
    if len(valid) == 0:
        return predicted
    voxels = voxelize(sweep.xyz[valid], sweep.intensity[valid], voxel_size)
    coords, feats = join_voxels([voxels])
    best = network(coords.to(device), feats.to(device)).argmax(dim=1) + 1
    predicted[valid] = best.cpu().numpy().astype(np.uint8)[voxels.of_point]
    return predicted
