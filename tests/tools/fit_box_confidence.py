"""Fit the numbers of ``preprocess/track/confidence.py`` to simulated streets, and print them.

python tests/tools/fit_box_confidence.py --work build/box_confidence

Streets of several districts and sensors are written and preprocessed into ``--work``, unless they are there. A group
is an object where in most of its sweeps it and a simulated object of the street have an IoU of 0.5 or more over points.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset, open_dataset
from iscc_lidar.preprocess.run.executor import Executor
from iscc_lidar.preprocess.run.pipeline import preprocess
from iscc_lidar.preprocess.synthetic.config import SynthConfig
from iscc_lidar.preprocess.synthetic.generate import generate
from iscc_lidar.preprocess.track.confidence import features, products
from iscc_lidar.preprocess.track.sequence import read_tracks
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store.open import open_store

STREETS = {
    "crowd_hdl64": SynthConfig(district="crowd"),
    "crowd_pandar64": SynthConfig(district="crowd", sensor="pandar64"),
    "crowd_os128": SynthConfig(district="crowd", sensor="os128", sensor_height_m=2.2),
    "crowd_hdl32": SynthConfig(district="crowd", sensor="hdl32", sensor_height_m=1.84),
    "mixed_hdl64": SynthConfig(district="mixed"),
    "mixed_pandar64": SynthConfig(district="mixed", sensor="pandar64"),
    "suburb_hdl64": SynthConfig(district="suburb"),
}
OBJECT_IOU = 0.5
PENALTY = 1e-3


def main() -> None:
    """Make the streets, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    numbers, objects, weights = [], [], []
    for name, street in STREETS.items():
        root, store = work / name, open_store(work / f"{name}-cache")
        generate(root, replace(street, seed=77, sequences=4, sweeps=16, columns=2048), workers=2)
        dataset = open_dataset("synthetic", root)
        preprocess(dataset, store, PreprocessConfig(), Executor(workers=2))
        cache = Cache(work / f"{name}-cache")
        for sequence in cache.sequence_names:
            tracks = read_tracks(cache.store, cache.sequence(sequence))
            numbers.append(features(tracks))
            objects.append(are_objects(cache, dataset, sequence, tracks.group))
            weights.append(tracks.sweeps.astype(np.float64))
    x, y, w = np.concatenate(numbers), np.concatenate(objects), np.concatenate(weights)
    low, high = x.min(axis=0), x.max(axis=0)
    fitted = logistic(products(x, low, high), y, w)
    for name, values in (("LOW", low), ("HIGH", high), ("WEIGHTS", fitted)):
        print(f"{name}: Final = ({', '.join(f'{value:.3f}' for value in values)})")
    guess = 1 / (1 + np.exp(-products(x, low, high) @ fitted))
    print(f"{len(y)} groups, {np.average(y, weights=w):.2f} of the boxes are of objects; by confidence:")
    for k in range(10):
        here = np.minimum((guess * 10).astype(int), 9) == k
        if here.any():
            share = np.average(y[here], weights=w[here])
            print(f"  {k / 10:.1f} to {k / 10 + 0.1:.1f}: {share:.2f} of {w[here].sum():.0f} boxes")


def are_objects(cache: Cache, dataset: Dataset, sequence: str, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return which groups are one object each, float64 [groups], 0 or 1."""
    good, seen = np.zeros(len(groups)), np.zeros(len(groups))
    for index in range(cache.sequence(sequence).sweeps):
        label, truth = cache.label(sequence, index).astype(np.int64), dataset.read(sequence, index).instance
        assert truth is not None
        grouped = label >= 0
        own, points = np.unique(label[grouped], return_counts=True)
        objects, of_object = np.unique(truth.astype(np.int64), return_inverse=True)
        size = np.bincount(of_object)
        both = grouped & (truth > 0)
        pair, shared = np.unique(label[both] * len(objects) + of_object[both], return_counts=True)
        group, thing = np.divmod(pair, len(objects))
        at = np.searchsorted(own, group)
        iou = shared / (points[at] + size[thing] - shared)
        rows = np.searchsorted(groups, own)
        seen[rows] += 1
        best = np.zeros(len(own))
        np.maximum.at(best, at, iou)
        good[rows] += best >= OBJECT_IOU
    return (good > seen / 2).astype(np.float64)


def logistic(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit logistic regression by Newton's method: float64 [features]."""
    found = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        slope = x.T @ (w * (p - y)) / w.sum() + PENALTY * found
        curve = (x * (w * p * (1 - p))[:, None]).T @ x / w.sum() + PENALTY * np.eye(len(found))
        found -= np.linalg.solve(curve, slope)
    return found


if __name__ == "__main__":
    main()
