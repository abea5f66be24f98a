"""nuScenes: the 16 classes of its point labels, the scenes of each split, predictions for nuScenes-lidarseg.

Sources: eval/lidarseg/utils.py and utils/splits.py of the nuScenes development kit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.nuscenes_tables import calibrations, damaged, lidar_rows, value, versions
from iscc_lidar.shared.layouts.layout import Layout, WritePrediction, require_root

if TYPE_CHECKING:
    from iscc_lidar.shared.base.own import OwnFolder
    from iscc_lidar.shared.cache.source import SweepSource
    from iscc_lidar.shared.cache.sweep import CachedSweep

_COLOR_OF_CLASS: Final = {
    "unlabelled": "272f38",
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
_CLASSES: Final = tuple(_COLOR_OF_CLASS)

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
    """Return the class of every raw label 0..255, uint8 [256], by the raw labels' names; 0 if left out or unknown."""
    lut = np.zeros(256, dtype=np.uint8)
    for index, name in raw_classes.items():
        if name in _CLASS_OF_RAW:
            lut[index] = _CLASSES.index(_CLASS_OF_RAW[name])
    return lut


def splits(version_of_scene: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the official splits of these scenes: train is every scene of trainval and mini that is not in val."""
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
    """Expand ``"3 12-18"`` to the names scene-0003 and scene-0012 to scene-0018."""
    ends = [[int(end) for end in part.split("-")] for part in ranges.split()]
    return {f"scene-{number:04d}" for end in ends for number in range(end[0], end[-1] + 1)}


@contextmanager
def _open_predictions(source: SweepSource, folder: OwnFolder, root: Path | None) -> Iterator[WritePrediction]:
    """Write ``lidarseg/SPLIT/TOKEN_lidarseg.bin``, uint8, as the development kit reads them, for key frames only.

    ``SPLIT/submission.json``, which lists what a method makes use of, must be written by the submitter. Reading the
    tokens takes 20 s.
    """
    root = require_root(root, "writing predictions for nuscenes")
    files = _prediction_files(root)

    def write(sweep: CachedSweep, predicted: NDArray[np.integer]) -> None:
        if (sweep.sequence, sweep.name) not in files:
            raise UserError(
                f"{root}: no table lists LIDAR_TOP's sweep {sweep.name} of {sweep.sequence}; pass the folder that "
                "the cache was made from"
            )
        file = files[sweep.sequence, sweep.name]
        if file is not None:
            most_common = np.bincount(predicted[predicted > 0], minlength=2).argmax()  # the evaluation refuses 0
            folder.write(file, np.where(predicted > 0, predicted, most_common).astype(np.uint8).tobytes())

    yield write


def _unscored(root: Path) -> Set[tuple[str, str]]:
    """Return the sweeps between key frames."""
    return {sweep for sweep, file in _prediction_files(root).items() if file is None}


@lru_cache(maxsize=1)
def _prediction_files(root: Path) -> dict[tuple[str, str], str | None]:
    """Return the file of each sweep, by scene and timestamp; None for a sweep that is no key frame."""
    found = sweep_tokens(root)
    splits_of = {version: _split_of({scene for scene, _ in found}, version) for version in versions(root)}
    return {
        (scene, timestamp): f"lidarseg/{splits_of[version][scene]}/{token}_lidarseg.bin" if token else None
        for (scene, timestamp), (version, token) in found.items()
    }


@lru_cache(maxsize=1)
def sweep_tokens(root: Path) -> dict[tuple[str, str], tuple[str, str | None]]:
    """Read the version of each sweep of LIDAR_TOP, and its token if it is a key frame, by scene and timestamp.

    A scene in two versions is taken from the first, as in the cache. Raises UserError for damaged tables.
    """
    found: dict[tuple[str, str], tuple[str, str | None]] = {}
    for version in reversed(versions(root)):
        for scene, timestamp, token in _token_rows(root / version):
            found[scene, timestamp] = version, token
    return found


def _token_rows(folder: Path) -> Iterator[tuple[str, str, str | None]]:
    """Yield scene and timestamp of each sweep of LIDAR_TOP, and its token if it is a key frame."""
    try:
        for scene, row in lidar_rows(folder, {row["token"] for row in calibrations(folder)}):
            token = value(folder, row, "token", str) if row["is_key_frame"] else None
            yield scene, str(row["timestamp"]), token
    except KeyError as error:
        raise damaged(folder, error) from None


def _split_of(scenes: set[str], version: str) -> dict[str, str]:
    """Return the split in which each scene of a version is evaluated."""
    mini = version == "v1.0-mini"
    members = splits(dict.fromkeys(scenes, version))
    return {name: split for split, names in members.items() if split.startswith("mini") == mini for name in names}


LAYOUT: Final = Layout(
    name="nuscenes",
    description="nuScenes layout: ROOT/v1.0-{trainval,test,mini}/*.json, ROOT/{samples,sweeps}/LIDAR_TOP/*.pcd.bin",
    how_to_get="nuScenes is at nuscenes.org (CC BY-NC-SA 4.0, registration), v1.0. Pre-training needs the metadata "
    "archive (v1.0-trainval_meta) and samples/LIDAR_TOP and sweeps/LIDAR_TOP of the file blobs, of any number of them; "
    "v1.0-mini is complete. nuScenes-lidarseg, unpacked over the same folder, is for evaluation",
    class_names=_CLASSES,
    colors=tuple(_COLOR_OF_CLASS.values()),
    ground_classes=frozenset({"driveable_surface", "other_flat", "sidewalk", "terrain"}),
    open_predictions=_open_predictions,
    unscored=_unscored,
)
