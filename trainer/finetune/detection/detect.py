"""Detect boxes in sweeps with a fine-tuned network, and score them by KITTI's rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, no_boxes
from iscc_lidar.shared.base.picture import Extent
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.kitti import write_detections
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import join_voxels
from iscc_lidar.trainer.evaluation.detection.kitti_ap import CLASSES, LEVELS, Curve, score
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels, detections_of, join, labels_of
from iscc_lidar.trainer.evaluation.detection.overlap import Space
from iscc_lidar.trainer.evaluation.detection.picture import draw_boxes
from iscc_lidar.trainer.finetune.detection.augment import Scene
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.decode import find_boxes
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.detection.network import DetectionNetwork
from iscc_lidar.trainer.finetune.detection.samples import NOT_READ, scene_of, to_grid
from iscc_lidar.trainer.finetune.score import Scorer, Writer
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.run import Run

SPACES: Final[Mapping[str, Space]] = {"3d": "space", "bev": "ground"}


class DetectionScorer(Scorer):
    """See ``Scorer``: AP at 11 and 40 recall positions, percent, in 3-D and bird's-eye view, by class and level."""

    learner = DetectionLearner
    config_type = DetectionConfig
    score_file = "detection.json"
    network: DetectionNetwork

    def __init__(self, run: Run, cache: Cache) -> None:
        super().__init__(run, cache)
        self.labels: list[Labels] = []
        self.detections: list[Detections] = []

    def new_network(self, run: Run, compute: Compute) -> DetectionNetwork:
        """See ``Scorer``."""
        config = self.config
        return DetectionNetwork(config.model, config.head, len(config.classes.names), config.grid.shape, compute)

    def open_predictions(self, folder: Path | None, root: Path | None) -> AbstractContextManager[Writer]:
        """See ``Scorer``: KITTI's result files."""
        return nullcontext(partial(write_detections, folder) if folder is not None else None)

    def add(self, number: int, place: Place, write: Writer, pictures: Path | None) -> None:
        """See ``Scorer``."""
        sweep, camera = self.cache.sweep(*place, without=NOT_READ), self.cache.camera(*place)
        truth = self.cache.boxes(*place) or no_boxes()
        boxes, scores = self._detect(scene_of(sweep, truth, camera, self.config))
        self.labels.append(labels_of(truth, camera, number))
        self.detections.append(detections_of(boxes, scores, camera, number))
        if write is not None:
            write(sweep.sequence, sweep.name, boxes, scores, camera)
        if pictures is not None:
            grid = self.config.grid
            extent = Extent(grid.x_min_m, grid.x_max_m, grid.y_min_m, grid.y_max_m)
            draw_boxes(sweep, truth, boxes, scores, extent, pictures / "detection.png")

    def _detect(self, scene: Scene) -> tuple[Boxes, NDArray[np.float64]]:
        if len(scene.xyz) == 0:
            return no_boxes(), np.zeros(0)
        config = self.config
        voxels, cell, offset = to_grid(scene, config.model.voxel_size, config.grid)
        coords, feats = (tensor.to(self.device) for tensor in join_voxels([voxels]))
        at, in_cell = (torch.from_numpy(array).to(self.device) for array in (cell, offset))
        features = self.network.grid_features(coords, feats, at, in_cell, 1)
        predict_boxes = partial(self.network.predict_boxes, features)
        return find_boxes(features.heat[0], predict_boxes, config.classes.names, config.grid, config.decode)

    def content(self, facts: Mapping[str, object]) -> dict[str, Any]:
        """See ``Scorer``."""
        labels, detections = join(self.labels), join(self.detections)
        curves = {name: score(labels, detections, space) for name, space in SPACES.items()}
        return {
            **facts,
            "ap_r11": {name: _by_class(found, "r11") for name, found in curves.items()},
            "ap_r40": {name: _by_class(found, "r40") for name, found in curves.items()},
            "labels": _by_class(curves["3d"], "labels"),
        }

    @staticmethod
    def table(content: Mapping[str, Any]) -> str:
        """See ``Scorer``: AP by class and level, of the classes that have labels."""
        shown = [rule.name for rule in CLASSES if any(content["labels"][rule.name].values())]
        columns = [(space, level.name) for space in SPACES for level in LEVELS]
        lines = [f"{'':12}{'labels':>8}" + "".join(f"{f'{level} {space}':>15}" for space, level in columns)]
        for recalls in ("ap_r11", "ap_r40"):
            for name in shown:
                values = [content[recalls][space][name][level] for space, level in columns]
                cells = "".join(f"{'absent' if value is None else f'{value:.1f}':>15}" for value in values)
                count = content["labels"][name]["moderate"]
                lines.append(f"{name:12}{count:8.0f}{cells}  {recalls.replace('_', ' ').upper()}")
        return "\n".join([*lines, f"{content['sweeps']} sweeps of {content['cache']}", ""])


def _by_class(curves: Mapping[tuple[str, str], Curve], figure: str) -> dict[str, dict[str, float | None]]:
    def value(curve: Curve) -> float | None:
        number = float(getattr(curve, figure))
        return None if math.isnan(number) else number

    return {rule.name: {level.name: value(curves[rule.name, level.name]) for level in LEVELS} for rule in CLASSES}
