"""Detect boxes in sweeps with a fine-tuned network, and score them by KITTI's rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, no_boxes
from iscc_lidar.shared.base.picture import Extent
from iscc_lidar.shared.cache.source import SweepSource
from iscc_lidar.shared.layouts.kitti import refuse_without_camera, write_detections
from iscc_lidar.trainer.data.voxelize import join_voxels
from iscc_lidar.trainer.evaluation.detection import kitti_ap
from iscc_lidar.trainer.evaluation.detection.kitti_ap import CLASSES, LEVELS, Curve
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels, detections_of, join, labels_of
from iscc_lidar.trainer.evaluation.detection.overlap import Space
from iscc_lidar.trainer.evaluation.detection.picture import draw_boxes
from iscc_lidar.trainer.finetune.detection.augment import Scene
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.decode import find_boxes
from iscc_lidar.trainer.finetune.detection.network import DetectionNetwork
from iscc_lidar.trainer.finetune.detection.samples import NOT_READ, scene_of, to_grid
from iscc_lidar.trainer.finetune.score import Predicting, Scoring, TunedNetwork
from iscc_lidar.trainer.hardware.device import Compute
from iscc_lidar.trainer.run.run import Run

SPACES: Final[Mapping[str, Space]] = {"3d": "space", "bev": "ground"}


def new_network(run: Run, config: DetectionConfig, compute: Compute) -> DetectionNetwork:
    """Make the network of a run."""
    return DetectionNetwork(config.model, config.head, len(config.classes.names), config.grid.shape, compute)


def refuse_none(run: Run, source: SweepSource) -> None:
    """Accept any sweeps: a detector's classes are its own."""


def score(scoring: Scoring) -> dict[str, Any]:
    """Detect boxes in sweeps; return AP R11 and R40, percent, in 3-D and BEV, and label counts, by class and level."""
    cache, config = scoring.cache, scoring.config
    all_labels: list[Labels] = []
    all_detections: list[Detections] = []
    for number, place, pictures in scoring.sweeps():
        sweep, camera = cache.sweep(*place, without=NOT_READ), cache.camera(*place)
        truth = cache.boxes(*place) or no_boxes()
        boxes, scores = detect(scoring.network, scene_of(sweep, truth, camera, config), config, scoring.device)
        all_labels.append(labels_of(truth, camera, number))
        all_detections.append(detections_of(boxes, scores, camera, number))
        if scoring.predictions is not None:
            write_detections(scoring.predictions, sweep.sequence, sweep.name, boxes, scores, camera)
        if pictures is not None:
            grid = config.grid
            extent = Extent(grid.x_min_m, grid.x_max_m, grid.y_min_m, grid.y_max_m)
            draw_boxes(sweep, truth, boxes, scores, extent, pictures / "detection.png")
    labels, detections = join(all_labels), join(all_detections)
    curves = {name: kitti_ap.score(labels, detections, space) for name, space in SPACES.items()}
    return {
        **scoring.facts(),
        "ap_r11": {name: _by_class(found, "r11") for name, found in curves.items()},
        "ap_r40": {name: _by_class(found, "r40") for name, found in curves.items()},
        "labels": _by_class(curves["3d"], "labels"),
    }


def write_predictions(tuned: TunedNetwork, to: Predicting) -> None:
    """Detect boxes in sweeps, and write them as KITTI's result files."""
    for sweep in to.sweeps(NOT_READ):
        camera = to.source.camera(sweep.sequence, sweep.index)
        refuse_without_camera(sweep.sequence, sweep.name, camera)
        scene = scene_of(sweep, no_boxes(), camera, tuned.config)
        boxes, scores = detect(tuned.network, scene, tuned.config, tuned.device)
        write_detections(to.folder, sweep.sequence, sweep.name, boxes, scores, camera)


def detect(
    network: DetectionNetwork, scene: Scene, config: DetectionConfig, device: torch.device
) -> tuple[Boxes, NDArray[np.float64]]:
    """Return the boxes of a scene and their scores, float64 [B], by class, the highest score first."""
    if len(scene.xyz) == 0:
        return no_boxes(), np.zeros(0)
    voxels, cell, offset = to_grid(scene, config.model.voxel_size, config.grid)
    coords, feats = (tensor.to(device) for tensor in join_voxels([voxels]))
    at, in_cell = (torch.from_numpy(array).to(device) for array in (cell, offset))
    heat, grid, ground = network.grid_features(coords, feats, at, in_cell, scenes=1)
    return find_boxes(heat[0], partial(network.box, grid, ground), config.classes.names, config.grid, config.decode)


def _by_class(curves: Mapping[tuple[str, str], Curve], figure: str) -> dict[str, dict[str, float | None]]:
    def value(curve: Curve) -> float | None:
        number = float(getattr(curve, figure))
        return None if math.isnan(number) else number

    return {rule.name: {level.name: value(curves[rule.name, level.name]) for level in LEVELS} for rule in CLASSES}


def table(content: Mapping[str, Any]) -> str:
    """Format AP by class and level, for the classes that have labels."""
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
