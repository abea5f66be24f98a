"""Segment sweeps with a fine-tuned network, and score every original point."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.source import SweepSource
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.layout import open_predictions
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import join_voxels, voxelize
from iscc_lidar.trainer.evaluation import scores
from iscc_lidar.trainer.evaluation.pictures import draw_confusion, draw_segmentation
from iscc_lidar.trainer.finetune.score import Predicting, Scoring, TunedNetwork
from iscc_lidar.trainer.finetune.semseg.averaging import PredictedSweep, predict_averaged
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SegmentationNetwork
from iscc_lidar.trainer.finetune.semseg.samples import NOT_READ
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.run import Run

_MOST_CLASSES: Final = 256  # an index is a uint8


def new_network(run: Run, config: SemsegConfig, compute: Compute) -> SegmentationNetwork:
    """Make the network of a run. Raises UserError where its folder names no classes."""
    return SegmentationNetwork(config.model, len(class_names(run)) - 1, compute)


def class_names(run: Run) -> tuple[str, ...]:
    """Return the names of the classes of a run by index, 0 for unlabelled. Raises UserError where it has none."""
    names = tuple(run.provenance.get("class_names", ()))
    if not 2 <= len(names) <= _MOST_CLASSES:
        raise UserError(
            f"{run.folder}: its config.json names {len(names)} classes, expected 2 to {_MOST_CLASSES}; train it again"
        )
    if wrong := [name for name in names if name_fault(name)]:
        raise UserError(
            f"{run.folder}: its config.json: {one_line(wrong[0])!r:.80} is no name of a class; train it again"
        )
    return names


def refuse_other_classes(run: Run, source: SweepSource) -> None:
    """Raise UserError where sweeps have other classes than a run; sweeps of datasets without any may be predicted."""
    names, trained_on = source.manifest.class_names, class_names(run)
    if trained_on != names and len(names) > 1:
        raise UserError(
            f"{run.folder}: was trained for the classes {', '.join(trained_on)}; {source.path} has {', '.join(names)}"
        )


def score(scoring: Scoring) -> dict[str, Any]:
    """Segment sweeps; return mIoU by the dataset's rule, IoU of each class, and confusions of all and by sequence."""
    cache, names = scoring.cache, scoring.cache.manifest.class_names
    alone, averaged = (_Counts(names, cache.manifest.dataset) for _ in range(2))
    folder = scoring.predictions
    with open_predictions(cache, folder, names, scoring.root) if folder is not None else nullcontext() as write:
        for (_, _, pictures), found in zip(scoring.sweeps(), _predict_all(scoring), strict=True):
            truth, final = scores.semantic(found.sweep), found.averaged  # the same as alone without averaging
            alone.add(found.sweep.sequence, truth, found.alone)
            if scoring.average:
                averaged.add(found.sweep.sequence, truth, found.averaged)
            if write is not None:
                write(found.sweep, final)
            if pictures is not None:
                draw_segmentation(found.sweep, final, names, pictures / "segmentation.png")
    if scoring.pictures is not None:
        draw_confusion(alone.total(), names, scoring.pictures / "confusion.png")
    content = alone.scores() | scoring.facts()
    return content | {"averaged_over_groups": averaged.scores()} if scoring.average else content


class _Counts:
    """Confusion matrices by sequence."""

    def __init__(self, names: Sequence[str], dataset: str) -> None:
        self._names, self._dataset = names, dataset
        self._of: dict[str, NDArray[np.int64]] = {}

    def add(self, sequence: str, truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> None:
        """Count the points of a sweep."""
        counts = scores.count_confusion(truth, predicted, len(self._names))
        self._of[sequence] = self._of[sequence] + counts if sequence in self._of else counts

    def total(self) -> NDArray[np.int64]:
        """Return the confusion matrix of all sequences."""
        return sum(self._of.values(), np.zeros((len(self._names), len(self._names)), np.int64))

    def scores(self) -> dict[str, Any]:
        """Return the scores of all, and what was counted of each sequence; only counts above 0 there."""
        total = self.total()
        return {
            **asdict(scores.score(total, self._names, self._dataset)),
            "confusion": total.tolist(),
            "confusion_by_sequence": {name: scores.to_names(each, self._names) for name, each in self._of.items()},
        }


def _predict_all(scoring: Scoring) -> Iterator[PredictedSweep]:
    """Predict the sweeps to be scored; without averaging both results are the same."""
    size = scoring.config.model.voxel_size
    read = functools.partial(read_sweep, scoring.cache)
    if scoring.average:
        yield from predict_averaged(scoring.network, read, scoring.places, size, scoring.device)
        return
    for place in scoring.places:
        sweep = read(place)
        found = predict(scoring.network, sweep, size, scoring.device)
        yield PredictedSweep(sweep, found, found)


def read_sweep(source: SweepSource, place: Place) -> CachedSweep:
    """Read what segmentation uses of a sweep."""
    return source.sweep(*place, without=NOT_READ)


def write_predictions(tuned: TunedNetwork, to: Predicting) -> None:
    """Segment sweeps, and write the class of every point in the layout of their dataset."""
    size = tuned.config.model.voxel_size
    with open_predictions(to.source, to.folder, class_names(tuned.run), to.root) as write:
        if to.average:
            read = functools.partial(read_sweep, to.source)
            for found in to.bar(predict_averaged(tuned.network, read, to.places, size, tuned.device)):
                if to.has_points(found.sweep):
                    write(found.sweep, found.averaged)
            return
        for sweep in to.sweeps(NOT_READ):
            write(sweep, predict(tuned.network, sweep, size, tuned.device))


def table(content: Mapping[str, Any]) -> str:
    """Format IoU by class, best first, and the means."""
    best_first = sorted(content["iou"].items(), key=lambda item: -1.0 if item[1] is None else -item[1])
    lines = [f"{name:<20}{'absent' if value is None else f'{100 * value:6.1f}'}" for name, value in best_first]
    means = (
        f"{'mIoU':<20}{100 * content['miou']:6.1f}   without ground classes {100 * content['miou_objects']:.1f}, "
        f"accuracy {100 * content['accuracy']:.1f}, {content['sweeps']} sweeps of {content['cache']}"
    )
    lines.append(means)
    if "averaged_over_groups" in content:
        lines.append(f"{'mIoU over groups':<20}{100 * content['averaged_over_groups']['miou']:6.1f}")
    return "\n".join([*lines, ""])


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
