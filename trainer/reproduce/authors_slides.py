"""Results from the authors' slides (Zhang, Bai, Li, CVPR 2023), for comparison.

Absolute values depend on the fine-tuning schedule; gains over training from scratch are more comparable.
"""

from __future__ import annotations

from typing import Final

PERCENTS: Final = (1.0, 2.0, 5.0, 10.0)
"""Label fractions of segmentation, percent of the training sweeps."""

_SCRATCH: Final = {"semantickitti": (38.9, 44.0, 51.7, 53.4), "waymo": (42.5, 45.8, 50.4, 52.8)}
"""MIoU, percent."""
_GAINS: Final = {
    ("semantickitti", "pointcontrast"): (2.2, 1.0, -0.7, -1.1),
    ("semantickitti", "depthcontrast"): (0.3, 0.7, -1.8, -1.1),
    ("semantickitti", "segcontrast"): (3.3, 1.7, -0.7, 0.5),
    ("semantickitti", "sspl"): (3.6, 2.4, -0.7, 0.2),
    ("semantickitti", "iscc"): (6.2, 5.0, 1.3, 1.8),
    ("waymo", "sspl"): (2.3, 1.5, 0.9, 0.7),
    ("waymo", "iscc"): (3.5, 2.1, 1.3, 1.3),
}
_ABLATION: Final = {
    "occ_only_8": (40.5, 45.7, 51.4, 52.0),
    "occ_only_16": (43.0, 46.1, 51.9, 54.0),
    "occ_only_32": (43.6, 46.0, 51.7, 54.1),
    "local_only": (41.3, 45.9, 51.7, 53.0),
    "global_only": (41.7, 45.5, 51.8, 52.5),
    "full_100": (43.6, 47.0, 51.8, 53.1),
    "full_200": (43.5, 46.1, 51.9, 53.6),
}
"""MIoU on SemanticKITTI, percent."""

_DETECTION_PERCENTS: Final = (5.0, 10.0, 20.0, 50.0)
_DETECTION: Final = {
    ("Car", "scratch"): (60.2, 69.1, 74.3, 77.8),
    ("Pedestrian", "scratch"): (48.2, 58.8, 59.7, 59.2),
    ("Cyclist", "scratch"): (44.9, 57.6, 63.3, 70.5),
    ("Car", "iscc"): (68.9, 74.3, 77.3, 78.4),
    ("Pedestrian", "iscc"): (48.9, 56.5, 59.9, 59.8),
    ("Cyclist", "iscc"): (53.2, 60.7, 69.5, 73.8),
}
"""KITTI, AP at 11 recall positions, moderate, percent."""


def miou(dataset: str, experiment: str, percent: float) -> float | None:
    """Return the authors' mIoU of an experiment, percent; None where not reported."""
    if percent not in PERCENTS:
        return None
    column = PERCENTS.index(percent)
    if dataset == "semantickitti" and experiment in _ABLATION:
        return _ABLATION[experiment][column]
    if dataset in _SCRATCH and (experiment == "scratch" or (dataset, experiment) in _GAINS):
        return _SCRATCH[dataset][column] + (0.0 if experiment == "scratch" else _GAINS[dataset, experiment][column])
    return None


def gain(dataset: str, experiment: str, percent: float) -> float | None:
    """Return the authors' gain in mIoU over training from scratch, points; None where not reported."""
    value, scratch = miou(dataset, experiment, percent), miou(dataset, "scratch", percent)
    return None if value is None or scratch is None else round(value - scratch, 1)


def detection_gain(box_class: str, experiment: str, percent: float) -> float | None:
    """Return the authors' gain in AP on KITTI over training from scratch, points; None where not reported."""
    if percent not in _DETECTION_PERCENTS or (box_class, experiment) not in _DETECTION:
        return None
    column = _DETECTION_PERCENTS.index(percent)
    return round(_DETECTION[box_class, experiment][column] - _DETECTION[box_class, "scratch"][column], 1)
