"""SemanticKITTI's 19 classes and the raw ids of its label files.

Source: learning_map and learning_map_inv in semantic-kitti.yaml of semantic-kitti-api.
"""

from __future__ import annotations

from typing import Final

CLASS_NAMES: Final = (
    "unlabelled",
    "car",
    "bicycle",
    "motorcycle",
    "truck",
    "other-vehicle",
    "person",
    "bicyclist",
    "motorcyclist",
    "road",
    "parking",
    "sidewalk",
    "other-ground",
    "building",
    "fence",
    "vegetation",
    "trunk",
    "terrain",
    "pole",
    "traffic-sign",
)

RAW_OF_CLASS: Final = (0, 10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81)
"""The raw id that stands for a class in predictions."""

CLASS_OF_RAW: Final = {raw: index for index, raw in enumerate(RAW_OF_CLASS) if index > 0} | {
    13: 5,  # bus
    16: 5,  # on rails
    60: 9,  # lane marking
    # What moves:
    252: 1,
    253: 7,
    254: 6,
    255: 8,
    256: 5,
    257: 5,
    258: 4,
    259: 5,
}
"""Class of a raw id; those that are not listed are unlabelled."""
