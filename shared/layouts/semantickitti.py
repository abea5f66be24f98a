"""SemanticKITTI: 19 classes, the raw ids of its label files, predictions and group labels in such files.

Source: learning_map, learning_map_inv and color_map (there as BGR) in semantic-kitti.yaml, and np_ioueval.py, of
semantic-kitti-api.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.layouts.layout import Layout, WritePrediction

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.source import SweepSource
    from iscc_lidar.shared.cache.sweep import CachedSweep

# Class, its colour, and the raw id that stands for it in predictions.
_CLASSES: Final = (
    ("unlabelled", "272f38", 0),
    ("car", "6496f5", 10),
    ("bicycle", "64e6f5", 11),
    ("motorcycle", "1e3c96", 15),
    ("truck", "501eb4", 18),
    ("other-vehicle", "0000ff", 20),
    ("person", "ff1e1e", 30),
    ("bicyclist", "ff28c8", 31),
    ("motorcyclist", "961e5a", 32),
    ("road", "ff00ff", 40),
    ("parking", "ff96ff", 44),
    ("sidewalk", "4b004b", 48),
    ("other-ground", "af004b", 49),
    ("building", "ffc800", 50),
    ("fence", "ff7832", 51),
    ("vegetation", "00af00", 70),
    ("trunk", "873c00", 71),
    ("terrain", "96f050", 72),
    ("pole", "fff096", 80),
    ("traffic-sign", "ff0000", 81),
)
RAW_OF_CLASS: Final = tuple(raw for _, _, raw in _CLASSES)
CLASS_OF_RAW: Final = {raw: index for index, raw in enumerate(RAW_OF_CLASS) if index > 0} | {
    13: 5,  # bus
    16: 5,  # on rails
    60: 9,  # lane marking
    # Moving objects:
    252: 1,
    253: 7,
    254: 6,
    255: 8,
    256: 5,
    257: 5,
    258: 4,
    259: 5,
}
"""Class of a raw id; raw ids that are not listed are unlabelled."""
UNLABELLED_RAW: Final = (0, 1, 52, 99)
"""The other raw ids of the dataset: unlabelled, outlier, other-structure, other-object."""


@contextmanager
def _open_predictions(source: SweepSource, folder: OwnFolder, root: Path | None) -> Iterator[WritePrediction]:
    """Write ``sequences/NN/predictions/NAME.label``, uint32 raw ids, one file per sweep."""
    raw_of_class = np.array(RAW_OF_CLASS, dtype="<u4")

    def write(sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        name = f"sequences/{sweep.sequence}/predictions/{sweep.name}.label"
        folder.write(name, raw_of_class[predicted].tobytes())

    yield write


LAYOUT: Final = Layout(
    name="semantickitti",
    description="SemanticKITTI and KITTI odometry layout: ROOT/sequences/NN/velodyne/*.bin, poses.txt, calib.txt",
    how_to_get="SemanticKITTI is at semantic-kitti.org, its points at cvlibs.net (KITTI odometry, velodyne, 80 GB; "
    "CC BY-NC-SA). Pre-training needs velodyne/*.bin, and poses.txt and calib.txt from the label download; labels/ is "
    "for evaluation",
    published=(22, 43_552),  # with the 11 sequences that have no published labels
    class_names=tuple(name for name, _, _ in _CLASSES),
    colors=tuple(color for _, color, _ in _CLASSES),
    ground_classes=frozenset({"road", "parking", "sidewalk", "other-ground", "terrain"}),
    absent_iou=0.0,
    open_predictions=_open_predictions,
)
