"""From heat maps to boxes: peaks, and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.evaluation.detection.objects import UprightBoxes
from iscc_lidar.trainer.evaluation.detection.overlap import circles_meet, ground_iou
from iscc_lidar.trainer.finetune.detection import targets
from iscc_lidar.trainer.finetune.detection.grid import GridConfig


@dataclass(frozen=True)
class DecodeConfig:
    """Selection of the detected boxes."""

    peaks: int = option(100, "highest peaks of each class to consider in a sweep", at_least=1, at_most=10**6)
    min_score: float = option(
        0.03, "boxes with a lower score are dropped; low, because AP ranks by score", at_least=0, at_most=1
    )
    max_overlap: float = option(
        0.1, "IoU from above beyond which the lower-scoring of two boxes of a class is dropped", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        check_ranges(self, "decode")


def find_boxes(
    logit: Tensor,
    predict_boxes: Callable[[Tensor], Tensor],
    names: Sequence[str],
    grid: GridConfig,
    config: DecodeConfig,
) -> tuple[Boxes, NDArray[np.float64]]:
    """Return the boxes of one scene and their scores, by class, the highest score first.

    Args:
        logit: float32 [C, X, Y], of heat.
        predict_boxes: returns codes of boxes, float32 [R, CODE], at places (class * X + x) * Y + y [R].
        names: of the classes.
        grid: the grid.
        config: options.
    """
    heat = logit.sigmoid()
    peak = functional.max_pool2d(heat[None], 3, 1, 1)[0] == heat
    score, at = torch.where(peak, heat, heat.new_zeros(())).flatten(1).topk(min(config.peaks, heat[0].numel()))
    classes, rows, scores = [], [], []
    for k, (name, of_class, cells) in enumerate(zip(names, score.cpu().numpy(), at, strict=True)):
        of_class = of_class[of_class >= config.min_score]
        cell = cells[: len(of_class)]  # the highest come first
        code = predict_boxes(cell + k * heat[0].numel())
        centre, size, heading = targets.decode(code.cpu().numpy(), cell.cpu().numpy(), grid)
        kept = suppress(centre, size, heading, config.max_overlap)
        classes += [name] * len(kept)
        rows.append(np.concatenate([centre, size, heading[:, None]], axis=1)[kept])
        scores.append(of_class[kept])
    found = np.concatenate(rows)
    boxes = boxes_in_space(np.array(classes, dtype=np.str_), found[:, :3], found[:, 3:6], found[:, 6])
    return boxes, np.concatenate(scores).astype(np.float64)


def suppress(
    centre: NDArray[np.float64], size: NDArray[np.float64], heading: NDArray[np.float64], max_overlap: float
) -> NDArray[np.int64]:
    """Return the rows to keep of boxes [N] by descending score: none overlaps too much with an earlier one kept."""
    boxes = UprightBoxes(centre[:, :2], size[:, :2], heading, np.zeros(len(centre)), np.ones(len(centre)))
    first, second = np.triu_indices(len(centre), 1)
    near = circles_meet(boxes.take(first), boxes.take(second))
    first, second = first[near], second[near]
    overlaps = ground_iou(boxes.take(first), boxes.take(second)) > max_overlap
    dropped = np.zeros(len(centre), dtype=np.bool_)
    for a, b in zip(first[overlaps].tolist(), second[overlaps].tolist(), strict=True):  # in order of the first
        dropped[b] |= not dropped[a]
    return np.flatnonzero(~dropped)
