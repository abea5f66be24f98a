"""Colours of classes: the usual ones of a dataset where it has such, else hues far apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.palettes import distinct_colors

_UNLABELLED: Final = "272f38"

# Of semantic-kitti.yaml (semantic-kitti-api), there as BGR.
_SEMANTICKITTI: Final = {
    "unlabelled": _UNLABELLED,
    "car": "6496f5",
    "bicycle": "64e6f5",
    "motorcycle": "1e3c96",
    "truck": "501eb4",
    "other-vehicle": "0000ff",
    "person": "ff1e1e",
    "bicyclist": "ff28c8",
    "motorcyclist": "961e5a",
    "road": "ff00ff",
    "parking": "ff96ff",
    "sidewalk": "4b004b",
    "other-ground": "af004b",
    "building": "ffc800",
    "fence": "ff7832",
    "vegetation": "00af00",
    "trunk": "873c00",
    "terrain": "96f050",
    "pole": "fff096",
    "traffic-sign": "ff0000",
}
# Of eval/lidarseg/utils.py (nuscenes-devkit).
_NUSCENES: Final = {
    "unlabelled": _UNLABELLED,
    "barrier": "708090",
    "bicycle": "dc143c",
    "bus": "ff7f50",
    "car": "ff9e00",
    "construction_vehicle": "e99646",
    "motorcycle": "ff3d63",
    "pedestrian": "0000e6",
    "traffic_cone": "2f4f4f",
    "trailer": "ff8c00",
    "truck": "ff6347",
    "driveable_surface": "00cfbf",
    "other_flat": "af004b",
    "sidewalk": "4b004b",
    "terrain": "70b43c",
    "manmade": "deb887",
    "vegetation": "00af00",
}


def class_colors(class_names: Sequence[str]) -> NDArray[np.float64]:
    """Return the colour of each class, RGB from 0 to 1, float64 [C, 3]; class 0 is dark."""
    for known in (_SEMANTICKITTI, _NUSCENES):
        if set(class_names) <= set(known):
            return np.array([_rgb(known[name]) for name in class_names])
    return np.array([_rgb(_UNLABELLED), *distinct_colors(np.arange(1, len(class_names)))])


def _rgb(code: str) -> tuple[float, ...]:
    return tuple(value / 255 for value in bytes.fromhex(code))
