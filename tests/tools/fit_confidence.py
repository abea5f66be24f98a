"""Fit the constants of preprocess/spread/confidence.py: how often spread labels are right on synthetic streets.

iscc-preprocess synth build/confidence/streets --set synth.sequences=6 --set synth.sweeps=16 --set synth.seed=91
iscc-preprocess run synthetic --root build/confidence/streets --cache build/confidence/cache
python tests/tools/fit_confidence.py build/confidence/cache

In each sequence the sweep in the middle is labelled; all others count.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.preprocess.spread.evidence import MIN_PURITY, count_votes, gather_places
from iscc_lidar.preprocess.spread.rule import REACH_M, UNKNOWN, cell_centres, nearest_labelled
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.cache.reader import Cache

Sample = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""What the confidence depends on, with a first column of ones, and whether the label is right."""


def main() -> None:
    """Print the constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    cache = Cache(parser.parse_args().cache)
    samples: dict[str, list[Sample]] = defaultdict(list)
    for sequence in cache.sequence_names:
        for name, sample in collect(cache, sequence):
            samples[name].append(sample)
    for name, found in samples.items():
        x, right = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        print(
            f"_{name.upper()}: Final = {tuple(np.round(fit(x, right), 3).tolist())}  # {len(right)}, {right.mean():.3f}"
        )


def collect(cache: Cache, sequence: str) -> list[tuple[str, Sample]]:
    """Spread from the middle of a sequence to its other sweeps."""
    sweeps = [cache.sweep(sequence, k, ("queries", "pixel")) for k in range(cache.sequence(sequence).sweeps)]
    own = sweeps[len(sweeps) // 2]
    votes = count_votes([(own.label, own.semantic)], cache.moving_groups(sequence), len(cache.manifest.class_names))
    places = gather_places([(transform(own.world_SE3_sensor, own.xyz), own.label, own.semantic)], votes)
    found: list[tuple[str, Sample]] = []
    for sweep in sweeps:
        if sweep is own:
            continue
        known = sweep.xyz.any(axis=1) & (sweep.semantic > 0)
        world, label = transform(sweep.world_SE3_sensor, sweep.xyz)[known], sweep.label[known]
        truth, row = sweep.semantic[known], votes.find(label)
        carried = votes.is_carried(row)
        for name, chosen, tree in (
            ("ground", label == GROUND, places.ground),
            ("solid", (label != GROUND) & ~carried, places.solid),
        ):
            classes, distance, margin = nearest_labelled(tree, cell_centres(world[chosen]), REACH_M)
            told = classes > 0
            x = np.stack([np.ones(told.sum()), np.log(margin[told] + 0.02), distance[told]], axis=1)
            found.append((name, (x, (classes == truth[chosen])[told])))
            out_of_reach = np.zeros(len(label), bool)
            out_of_reach[np.flatnonzero(chosen)[classes == UNKNOWN]] = True
            if name == "solid":
                alone = out_of_reach & (row >= 0)
        for name, chosen in (("moving", carried), ("standing", alone)):
            at = np.flatnonzero(chosen)
            at = at[(votes.purity[row[at]] >= MIN_PURITY) & (votes.best[row[at]] > 0)]
            x = np.stack([np.ones(len(at)), np.log(1.02 - votes.purity[row[at]])], axis=1)
            found.append((name, (x, votes.best[row[at]] == truth[at])))
    return found


def fit(x: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit a logistic regression; a greater distance, the third number if there is one, never makes a label surer."""

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = x @ w
        slope = x.T @ (1 / (1 + np.exp(-z)) - right) / len(right)
        return float(np.logaddexp(0, np.where(right, -z, z)).mean()), slope

    limits = [(None, None), (None, None), (None, 0.0)][: x.shape[1]]
    return np.asarray(minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=limits).x)


if __name__ == "__main__":
    main()
