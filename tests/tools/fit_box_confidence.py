"""Fit the numbers of ``preprocess/track/confidence.py`` to simulated streets, and print them.

python tests/tools/fit_box_confidence.py --work build/box_confidence

Streets of several districts and sensors are written and preprocessed into ``--work``, unless they are there. A box is
right if it and the box of a simulated object have an IoU of 0.5 or more, seen from above.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.preprocess.synthetic.street import Street, build_street, world_SE3_objects, world_SE3_sensor
from iscc_lidar.preprocess.track.confidence import features, products
from iscc_lidar.preprocess.track.sequence import read_tracks
from iscc_lidar.shared.base.geometry import inverse
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.trainer.evaluation.detection.objects import upright
from iscc_lidar.trainer.evaluation.detection.overlap import circles_meet, ground_iou, pairs_in_frames

Array = NDArray[Any]

STREETS = {
    "crowd_hdl64": SynthConfig(district="crowd"),
    "crowd_pandar64": SynthConfig(district="crowd", sensor="pandar64"),
    "crowd_os128": SynthConfig(district="crowd", sensor="os128", sensor_height_m=2.2),
    "crowd_hdl32": SynthConfig(district="crowd", sensor="hdl32", sensor_height_m=1.84),
    "mixed_hdl64": SynthConfig(district="mixed"),
    "mixed_pandar64": SynthConfig(district="mixed", sensor="pandar64"),
    "suburb_hdl64": SynthConfig(district="suburb"),
}
LEAST_IOU = 0.5
PENALTY = 1e-3


def main() -> None:
    """Make the streets, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    numbers, overlaps = [], []
    for name, changes in STREETS.items():
        street = replace(changes, seed=77, sequences=6, sweeps=16, columns=2048)
        root, store = work / name, open_store(work / f"{name}-cache")
        generate(root, street, workers=2)
        preprocess(open_dataset("synthetic", root), store, PreprocessConfig(), Executor(workers=2))
        cache = Cache(work / f"{name}-cache")
        for number, sequence in enumerate(cache.sequence_names):
            tracks = read_tracks(cache.store, cache.sequence(sequence))
            row, overlap = best_overlaps(cache, street, number, tracks.group)
            numbers.append(features(tracks)[row])
            overlaps.append(overlap)
    x, y = np.concatenate(numbers), (np.concatenate(overlaps) >= LEAST_IOU).astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    fitted = logistic(products(x, low, high), y)
    for name, values in (("LOW", low), ("HIGH", high), ("WEIGHTS", fitted)):
        print(f"{name}: Final = ({', '.join(f'{value:.3f}' for value in values)})")
    guess = 1 / (1 + np.exp(-products(x, low, high) @ fitted))
    print(f"{len(y)} boxes, {y.mean():.2f} of them right; by confidence:")
    for k in range(10):
        here = np.minimum((guess * 10).astype(int), 9) == k
        if here.any():
            print(f"  {k / 10:.1f} to {k / 10 + 0.1:.1f}: {y[here].mean():.2f} of {np.count_nonzero(here)}")


def best_overlaps(cache: Cache, config: SynthConfig, street: int, groups: Array) -> tuple[Array, Array]:
    """Return the row of ``groups``, ascending ids, that each box of a street is of, and its IoU with the best object.

    Seen from above, as in the benchmark.
    """
    built, sequence = build_street(config, street), cache.sequence_names[street]
    rows, overlaps = [], []
    for index in range(config.sweeps):
        boxes = cache.group_boxes(sequence, index)
        assert boxes is not None
        found = upright(boxes_in_space(np.full(len(boxes.group), ""), boxes.centre, boxes.size, boxes.heading))
        true = upright(true_boxes(built, config, index))
        frames = (np.zeros(len(each), np.int64) for each in (true, found))
        a, b = pairs_in_frames(*frames, lambda i, j, t=true, f=found: circles_meet(t.take(i), f.take(j)))
        best = np.zeros(len(found))
        np.maximum.at(best, b, ground_iou(true.take(a), found.take(b)))
        rows.append(np.searchsorted(groups, boxes.group))
        overlaps.append(best)
    return np.concatenate(rows), np.concatenate(overlaps)


def true_boxes(street: Street, config: SynthConfig, index: int) -> Boxes:
    """Return the boxes of a street's objects in the sensor's frame of a sweep."""
    things, time_s = street.things, index / config.sweep_rate_hz
    sensor_SE3_world = inverse(world_SE3_sensor(street, config, time_s))
    poses = sensor_SE3_world @ world_SE3_objects(street, time_s)[things.row]
    centre = np.einsum("tij,tj->ti", poses[:, :3, :3], (things.low + things.high) / 2) + poses[:, :3, 3]
    heading = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    return boxes_in_space(np.full(len(heading), ""), centre, things.high - things.low, heading)


def logistic(x: Array, y: Array) -> Array:
    """Fit logistic regression by Newton's method: float64 [features]."""
    found = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        slope = x.T @ (p - y) / len(y) + PENALTY * found
        curve = (x * (p * (1 - p))[:, None]).T @ x / len(y) + PENALTY * np.eye(len(found))
        found -= np.linalg.solve(curve, slope)
    return found


if __name__ == "__main__":
    main()
