"""Detect boxes in the sweeps of a cache with a fine-tuned network, and score them by KITTI's rules."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.data_schemas.boxes import Boxes, Camera, no_boxes
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.picture import Extent
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.layouts.kitti import write_detections
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import join_voxels
from iscc_lidar.trainer.evaluation.detection.kitti_ap import CLASSES, LEVELS, Curve, score
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels, join
from iscc_lidar.trainer.evaluation.detection.overlap import Space
from iscc_lidar.trainer.evaluation.detection.picture import draw_boxes
from iscc_lidar.trainer.evaluation.detection.place import detections_of, labels_of
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.decode import find_boxes
from iscc_lidar.trainer.finetune.detection.learner import DetectionLearner
from iscc_lidar.trainer.finetune.detection.network import DetectionNetwork
from iscc_lidar.trainer.finetune.detection.samples import WITHOUT, all_boxed, scene_of, to_grid
from iscc_lidar.trainer.finetune.labels import scored_places
from iscc_lidar.trainer.run.loop import compute_of
from iscc_lidar.trainer.run.run import open_run
from iscc_lidar.trainer.run.weights import load_weights

SCORE_FILE: Final = "detection.json"
SPACES: Final[Mapping[str, Space]] = {"3d": "space", "bev": "ground"}


@dataclass(frozen=True)
class Found:
    """What was detected in a sweep: its boxes by class, and their scores float64 [N]."""

    sweep: CachedSweep
    camera: Camera | None
    truth: Boxes
    boxes: Boxes
    score: NDArray[np.float64]


def score_run(
    run: Path, cache_path: Path | str, listed: Path | None = None, predictions: Path | None = None
) -> dict[str, Any]:
    """Detect boxes in sweeps with a fine-tuned run and score them.

    Writes ``run/detection.json``, a picture of the sweep in the middle, ``run/detection.png``, and, where a folder for
    predictions is given, KITTI's result files.

    Returns:
        What is in the JSON file: AP at 11 and 40 recalls, percent, in space and on the ground, by class and level, and
        how many labels count for each.
    """
    cache = Cache(cache_path)
    network, config, device = load_network(run)
    places = scored_places(cache, listed, all_boxed)
    labels: list[Labels] = []
    detections: list[Detections] = []
    for number, found in enumerate(detect_all(network, cache, places, config, device)):
        labels.append(labels_of(found.truth, found.camera, number))
        detections.append(detections_of(found.boxes, found.score, found.camera, number))
        if predictions is not None:
            write_detections(
                predictions, found.sweep.sequence, found.sweep.name, found.boxes, found.score, found.camera
            )
        if number == len(places) // 2 and importlib.util.find_spec("matplotlib") is not None:
            grid = config.grid
            view = Extent(grid.x_min_m, grid.x_max_m, grid.y_min_m, grid.y_max_m)
            draw_boxes(found.sweep, found.truth, found.boxes, found.score, view, run / "detection.png")
    all_labels, all_detections = join(labels), join(detections)
    curves = {name: score(all_labels, all_detections, space) for name, space in SPACES.items()}
    content = {
        "cache": str(cache.path),
        "sweeps": len(places),
        "ap_r11": {name: _by_class(found, "r11") for name, found in curves.items()},
        "ap_r40": {name: _by_class(found, "r40") for name, found in curves.items()},
        "labels": _by_class(curves["3d"], "labels"),
    }
    files.write_text(run / SCORE_FILE, json.dumps(content, indent=1) + "\n")
    return content


def _by_class(curves: Mapping[tuple[str, str], Curve], what: str) -> dict[str, dict[str, float | None]]:
    def value(curve: Curve) -> float | None:
        number = float(getattr(curve, what))
        return None if math.isnan(number) else number

    return {rule.name: {level.name: value(curves[rule.name, level.name]) for level in LEVELS} for rule in CLASSES}


@torch.no_grad()
def detect_all(
    network: DetectionNetwork, cache: Cache, places: Sequence[Place], config: DetectionConfig, device: torch.device
) -> Iterator[Found]:
    """Detect boxes in sweeps, in turn. ``network`` must be in evaluation mode."""
    for place in tqdm(places, desc="detect", unit="sweep", leave=False):
        sweep = cache.sweep(place[0], place[1], without=WITHOUT)
        camera, truth = cache.camera(*place), cache.boxes(*place)
        scene = scene_of(sweep, truth, camera, config)
        if len(scene.xyz) == 0:
            boxes, scores = no_boxes(), np.zeros(0)
        else:
            voxels, cell, offset = to_grid(scene, config.model.voxel_size, config.grid)
            coords, feats = (tensor.to(device) for tensor in join_voxels([voxels]))
            in_grid, in_cell = (torch.from_numpy(array).to(device) for array in (cell, offset))
            seen = network.look(coords, feats, in_grid, in_cell, scenes=1)
            tell = partial(network.tell, seen)
            boxes, scores = find_boxes(seen.heat[0], tell, config.classes.names, config.grid, config.decode)
        yield Found(sweep, camera, no_boxes() if truth is None else truth, boxes, scores)


def load_network(run: Path) -> tuple[DetectionNetwork, DetectionConfig, torch.device]:
    """The network of a run, in evaluation mode."""
    config = open_run(run, "detection").config(DetectionConfig)
    compute = compute_of(config.train)
    network = DetectionNetwork(config.model, config.head, len(config.classes.names), config.grid.shape, compute)
    load_weights(run, network, DetectionLearner.network_file)
    return network.to(compute.device).eval(), config, compute.device


def report(content: Mapping[str, Any]) -> str:
    """A table of AP by class and level, of the classes that have labels."""
    shown = [rule for rule in CLASSES if any(content["labels"][rule.name].values())]
    head = f"{'':12}{'labels':>8}" + "".join(f"{f'{level.name} {name}':>15}" for name in SPACES for level in LEVELS)
    lines = [head]
    for recalls in ("ap_r11", "ap_r40"):
        for rule in shown:
            values = [content[recalls][name][rule.name][level.name] for name in SPACES for level in LEVELS]
            cells = "".join(f"{'absent' if value is None else f'{value:.1f}':>15}" for value in values)
            count = content["labels"][rule.name]["moderate"]
            lines.append(f"{rule.name:12}{count:8.0f}{cells}  {recalls.replace('_', ' ').upper()}")
    return "\n".join([*lines, f"{content['sweeps']} sweeps of {content['cache']}", ""])
