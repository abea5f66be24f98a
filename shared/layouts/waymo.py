"""Waymo: 22 classes, predictions and group labels in tables like those of its component lidar_segmentation.

Waymo's evaluation server takes protocol buffers, which its own package makes from such range images.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.layouts.layout import BoxRule, Layout, WritePrediction, require_root

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.source import SweepSource
    from iscc_lidar.shared.cache.sweep import CachedSweep

BOX_CLASS_OF_TYPE: Final = {1: "Vehicle", 2: "Pedestrian", 3: "Sign", 4: "Cyclist"}


@contextmanager
def _open_predictions(source: SweepSource, folder: OwnFolder, root: Path | None) -> Iterator[WritePrediction]:
    """Write ``SPLIT/lidar_segmentation/CONTEXT.parquet``, each when the next context begins; instances are 0.

    The sweeps of a context must come one after the other.
    """
    from iscc_lidar.shared.layouts.formats.waymo_labels import ContextLabels

    root = require_root(root, "writing predictions for waymo")
    current: tuple[str, ContextLabels] | None = None
    finished: set[str] = set()

    def finish() -> None:
        if current is not None:
            current[1].write(folder)
            finished.add(current[0])

    def write(sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        nonlocal current
        if current is None or sweep.sequence != current[0]:
            finish()
            if sweep.sequence in finished:
                raise ValueError(f"context {sweep.sequence} comes back after another one; its file would be replaced")
            current = sweep.sequence, ContextLabels(root, sweep.sequence)
        if sweep.pixel is None:  # it was read without
            sweep = source.sweep(sweep.sequence, sweep.index, without=("semantic", "queries"))
        current[1].add(sweep, np.stack([np.zeros_like(predicted), predicted], axis=1).astype(np.int32))

    yield write
    finish()


LAYOUT: Final = Layout(
    name="waymo",
    description="Waymo Open Dataset v2: ROOT/{training,validation,testing}/{lidar,...}/CONTEXT.parquet",
    how_to_get="Waymo Open Dataset is at waymo.com/open, under its own licence (non-commercial use), after signing in. "
    "Take the Perception Dataset v2, release 2.0.1 (the labels of 2.0.0 differ; do not mix them). Pre-training needs "
    "the components lidar, lidar_calibration, lidar_pose and vehicle_pose; lidar_segmentation and lidar_box are labels",
    published=(1_000, 198_068),  # training and validation
    class_names=(
        "unlabelled",
        *("car", "truck", "bus", "other-vehicle", "motorcyclist", "bicyclist", "pedestrian", "sign", "traffic-light"),
        *("pole", "construction-cone", "bicycle", "motorcycle", "building", "vegetation", "tree-trunk", "curb"),
        *("road", "lane-marker", "other-ground", "walkable", "sidewalk"),
    ),
    ground_classes=frozenset({"curb", "road", "lane-marker", "other-ground", "walkable", "sidewalk"}),
    absent_iou=1.0,  # segmentation_metrics.cc
    box_rules=(BoxRule("Vehicle", None, 0.7),),  # cars among others
    open_predictions=_open_predictions,
)
