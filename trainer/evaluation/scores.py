"""Scores of a semantic segmentation: one confusion matrix over all points, IoU by class, the dataset's own mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.layout import find_layout

# C classes of the manifest; class 0 is unlabelled


@dataclass(frozen=True)
class SegmentationScore:
    """How well predictions fit.

    Attributes:
        miou: mean IoU by the dataset's own rule, 0..1.
        miou_objects: the same over the classes that are no ground.
        miou_occurring: mean IoU over the classes that some point has in truth, whatever the dataset.
        accuracy: share of labelled points that are right.
        iou: of each class; None where no point has it, in truth or prediction.
    """

    miou: float
    miou_objects: float
    miou_occurring: float
    accuracy: float
    iou: dict[str, float | None]


def count_confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Count points by (true class, predicted class): int64 [C, C]. Predicting 0, unlabelled, is a class like others.

    Raises ValueError for a class beyond ``classes``.
    """
    pair = np.ravel_multi_index((truth, predicted), (classes, classes))
    return np.bincount(pair, minlength=classes * classes).reshape(classes, classes)


def to_names(counts: NDArray[np.int64], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the counts above 0 of a confusion matrix [C, C], by names of the true and the predicted class."""
    found: dict[str, dict[str, int]] = {}
    for truth, predicted in zip(*np.nonzero(counts), strict=True):
        found.setdefault(class_names[truth], {})[class_names[predicted]] = int(counts[truth, predicted])
    return found


def score(counts: NDArray[np.int64], class_names: Sequence[str], dataset: str) -> SegmentationScore:
    """Score a confusion matrix [C, C]; points whose truth is unlabelled are left out.

    Raises UserError where no point is labelled.
    """
    counts = counts.copy()
    counts[0] = 0
    if not counts.any():
        raise UserError("no point of the sweeps to be scored has a class; score sweeps that are labelled")
    hit, truth, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    union = truth + predicted - hit
    iou = {name: float(hit[c] / union[c]) if union[c] else None for c, name in enumerate(class_names) if c > 0}
    layout = find_layout(dataset)
    objects = [value for name, value in iou.items() if name not in layout.ground_classes]
    return SegmentationScore(
        miou=_mean(iou.values(), layout.absent_iou),
        miou_objects=_mean(objects, layout.absent_iou),
        miou_occurring=float(np.mean(hit[truth > 0] / union[truth > 0])),
        accuracy=float(hit.sum() / truth.sum()),
        iou=iou,
    )


def semantic(sweep: CachedSweep) -> NDArray[np.uint8]:
    """Classes of a sweep's points. Raises UserError where the cache has none."""
    if sweep.semantic is None:
        raise UserError(
            f"sequence {sweep.sequence}: the cache holds no semantic classes, which scores need; preprocess again with "
            "the dataset's label files in place"
        )
    return sweep.semantic


def _mean(values: Iterable[float | None], absent: float | None) -> float:
    found = [value for value in (absent if each is None else each for each in values) if value is not None]
    return float(np.mean(found)) if found else float("nan")
