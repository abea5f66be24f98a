"""Time of the detection score for as many sweeps as KITTI's validation split has."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.evaluation.detection.kitti_ap import score
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels, UprightBoxes
from iscc_lidar.trainer.evaluation.detection.overlap import Space

_CLASSES: Final = np.array(["Car"] * 7 + ["Van", "Pedestrian", "Pedestrian", "Cyclist", "DontCare"])
_SPACES: Final[tuple[Space, ...]] = ("space", "ground", "image")


def bench_average_precision(frames: int, labels: int = 10, detections: int = 24) -> dict[str, float]:
    """Score random frames (KITTI's word for sweeps) with labels and more detections, some of them near a label.

    Returns:
        ``frames``, ``{space,ground,image}_s``: seconds for all classes and levels by overlap in space, on the ground
        and in the image.
    """
    rng = np.random.default_rng(0)
    truth = _labels(frames, labels, rng)
    found = _detections(truth, frames, detections, rng)
    figures = {"frames": float(frames)}
    for space in _SPACES:
        start = time.perf_counter()
        score(truth, found, space)
        figures[f"{space}_s"] = time.perf_counter() - start
    return figures


def _labels(frames: int, each: int, rng: np.random.Generator) -> Labels:
    n = frames * each
    return Labels(
        np.repeat(np.arange(frames), each),
        rng.choice(_CLASSES, n),
        _boxes(rng.uniform([-30, 3], [30, 70], (n, 2)), rng),
        _image_boxes(n, rng),
        rng.uniform(0, 0.6, n),
        rng.integers(0, 4, n),
    )


def _detections(truth: Labels, frames: int, each: int, rng: np.random.Generator) -> Detections:
    """Place one detection near each label and the others anywhere; sort them by frame."""
    near = len(truth)
    frame = np.concatenate([truth.frame, np.repeat(np.arange(frames), each - near // frames)])
    order, n = np.argsort(frame, kind="stable"), len(frame)
    centre = rng.uniform([-30, 3], [30, 70], (n, 2))
    centre[:near] = truth.boxes.centre + rng.normal(0, 0.15, (near, 2))
    boxes = _boxes(centre, rng)
    boxes.heading[:near] = truth.boxes.heading + rng.normal(0, 0.05, near)
    image = _image_boxes(n, rng)
    image[:near] = truth.image_box + rng.normal(0, 2, (near, 4))
    label = rng.choice(_CLASSES[:-1], n)
    label[:near] = truth.kind
    return Detections(frame[order], label[order], boxes.take(order), image[order], rng.uniform(0, 1, n)[order])


def _boxes(centre: NDArray[np.float64], rng: np.random.Generator) -> UprightBoxes:
    n = len(centre)
    size = np.array([3.9, 1.6]) * rng.uniform(0.9, 1.1, (n, 2))
    return UprightBoxes(centre, size, rng.uniform(-np.pi, np.pi, n), np.zeros(n), rng.uniform(1.4, 1.7, n))


def _image_boxes(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    corner, size = rng.uniform([0, 100], [1100, 200], (n, 2)), rng.uniform(20, 120, (n, 2))
    return np.concatenate([corner, corner + size], axis=1)
