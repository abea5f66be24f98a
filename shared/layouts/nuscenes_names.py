"""Names that nuScenes defines: the 16 classes of its point labels, and which scenes are in which split.

Sources: eval/lidarseg/utils.py and utils/splits.py of the nuScenes development kit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES: Final = (
    "unlabelled",
    "barrier",
    "bicycle",
    "bus",
    "car",
    "construction_vehicle",
    "motorcycle",
    "pedestrian",
    "traffic_cone",
    "trailer",
    "truck",
    "driveable_surface",
    "other_flat",
    "sidewalk",
    "terrain",
    "manmade",
    "vegetation",
)

# Raw name -> class; the others of the 32 raw names (noise, animal, ...) are left out of the benchmark.
_CLASS_OF_RAW: Final = {
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "movable_object.barrier": "barrier",
    "movable_object.trafficcone": "traffic_cone",
    "vehicle.bicycle": "bicycle",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.car": "car",
    "vehicle.construction": "construction_vehicle",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.trailer": "trailer",
    "vehicle.truck": "truck",
    "flat.driveable_surface": "driveable_surface",
    "flat.other": "other_flat",
    "flat.sidewalk": "sidewalk",
    "flat.terrain": "terrain",
    "static.manmade": "manmade",
    "static.vegetation": "vegetation",
}

_VAL: Final = (
    "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 632-638 770-771 775 "
    "777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 1059-1073"
)
_MINI_TRAIN: Final = "61 553 655 757 796 1077 1094 1100"
_MINI_VAL: Final = "103 916"


def class_lut(raw_classes: Mapping[int, str]) -> NDArray[np.uint8]:
    """Class of every raw label 0..255, uint8 [256], by the raw labels' names; 0 where left out or unknown."""
    lut = np.zeros(256, dtype=np.uint8)
    for index, name in raw_classes.items():
        if name in _CLASS_OF_RAW:
            lut[index] = CLASS_NAMES.index(_CLASS_OF_RAW[name])
    return lut


def splits(version_of_scene: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The official splits, of the scenes given: train is every scene of trainval (and mini) that is not in val."""
    test = {scene for scene, version in version_of_scene.items() if version == "v1.0-test"}
    val = _scenes(_VAL)
    members = {
        "train": set(version_of_scene) - test - val,
        "val": val,
        "test": test,
        "mini_train": _scenes(_MINI_TRAIN),
        "mini_val": _scenes(_MINI_VAL),
    }
    return {split: tuple(sorted(names & set(version_of_scene))) for split, names in members.items()}


def _scenes(ranges: str) -> set[str]:
    """Names of the scenes of ``"3 12-18"``: scene-0003, scene-0012 to scene-0018."""
    ends = [[int(end) for end in part.split("-")] for part in ranges.split()]
    return {f"scene-{number:04d}" for end in ends for number in range(end[0], end[-1] + 1)}
