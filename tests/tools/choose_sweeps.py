"""Compare ways to choose the sweeps to label with drawing them; none that was tried is better.

python tests/tools/choose_sweeps.py --train cache/synthetic-train --test cache/synthetic-test --lists build/choose

Each way chooses six sweeps by what their groups look like (size, height, intensity, shape), without labels. They are
compared by a quick measure: groups of the test sweeps get the class of the five groups most like them in the chosen
sweeps, and mIoU counts their points. ``--lists`` writes the chosen sweeps, to fine-tune with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree
from tqdm import tqdm

from iscc_lidar.preprocess.audit.describe import describe_sweep
from iscc_lidar.shared.cache.reader import Cache

SWEEPS = 6
DRAWS = 100
PROTOTYPES = 128
SEEDS = range(5)
NEIGHBOURS = 5
TESTED = 6000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Groups of many sweeps: number of the sweep [G], looks [G, 10], points [G], points by class [G, C]; street [S]."""

    sweep: Ints
    looks: Floats
    points: Ints
    classes: Ints
    street: NDArray[np.str_]
    names: list[str]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--train", "--test"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--lists", type=Path)
    given = parser.parse_args()
    train, test = read(given.train), read(given.test)
    mean, spread = train.looks.mean(axis=0), train.looks.std(axis=0)
    score = scorer(train, test, mean, spread)
    drawn = [np.random.default_rng(k).choice(len(train.street), SWEEPS, replace=False) for k in range(DRAWS)]
    found = np.array([score(chosen) for chosen in tqdm(drawn, desc="draws")])
    print(f"| drawn, {DRAWS} times | {found.mean():.4f} | deviation {found.std():.4f}, best {found.max():.4f} |")
    for name, way in WAYS.items():
        chosen = [way(train, histograms(train, (train.looks - mean) / spread, seed)) for seed in SEEDS]
        values = [score(each) for each in chosen]
        print(f"| {name} | {np.mean(values):.4f} | {', '.join(f'{value:.4f}' for value in values)} |", flush=True)
        if given.lists is not None:
            given.lists.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{train.names[k]}\n" for k in sorted(chosen[0].tolist()))
            (given.lists / f"{name.replace(' ', '_')}.txt").write_text(lines)


def read(where: Path) -> Groups:
    """Describe all groups of five points or more."""
    cache = Cache(where)
    classes = len(cache.manifest.class_names)
    parts, street, names = [], [], []
    for sequence in tqdm(cache.sequence_names, desc="read"):
        for index in range(cache.sequence(sequence).sweeps):
            sweep = cache.sweep(sequence, index, without=("queries", "pixel"))
            assert sweep.semantic is not None
            parts.append(describe_sweep(sweep, sweep.semantic, classes))
            street.append(sequence)
            names.append(f"{sequence}/{sweep.name}")
    number = np.repeat(np.arange(len(parts)), [len(part.group) for part in parts])
    looks = np.concatenate([part.looks for part in parts]).astype(np.float64)
    looks[:, :5] = np.sign(looks[:, :5]) * np.log1p(np.abs(looks[:, :5]) / 0.2)
    kept = np.isfinite(looks).all(axis=1)
    points = np.concatenate([part.points for part in parts])[kept].astype(np.int64)
    of_class = np.concatenate([part.classes for part in parts])[kept].astype(np.int64)
    return Groups(number[kept], looks[kept], points, of_class, np.array(street), names)


def scorer(train: Groups, test: Groups, mean: Floats, spread: Floats) -> Callable[[Ints], float]:
    """Return what scores a choice."""
    at = np.random.default_rng(0).permutation(len(test.looks))[:TESTED]
    looks, asked, truth = (train.looks - mean) / spread, ((test.looks - mean) / spread)[at], test.classes[at]
    best = np.where(train.classes[:, 1:].any(axis=1), train.classes[:, 1:].argmax(axis=1) + 1, 0)
    classes = truth.shape[1]

    def score(chosen: Ints) -> float:
        rows = np.flatnonzero(np.isin(train.sweep, chosen) & (best > 0))
        distance, near = cKDTree(looks[rows]).query(asked, NEIGHBOURS)
        votes = np.zeros((len(asked), classes))
        np.add.at(votes, (np.arange(len(asked))[:, None], best[rows][near]), 1 / (distance + 0.1))
        confusion = np.zeros((classes, classes))
        np.add.at(confusion, votes.argmax(axis=1), truth)  # predicted, true
        right, total = confusion.diagonal(), confusion.sum(axis=0) + confusion.sum(axis=1) - confusion.diagonal()
        occurs = confusion.sum(axis=0)[1:] > 0
        return float((right[1:] / np.maximum(total[1:], 1))[occurs].mean())

    return score


def histograms(train: Groups, looks: Floats, seed: int) -> Floats:
    """Return how many groups of a sweep are most like each of some prototypes, [S, PROTOTYPES]."""
    _, nearest = kmeans2(looks, PROTOTYPES, minit="++", seed=seed)
    counts = np.zeros((len(train.street), PROTOTYPES))
    np.add.at(counts, (train.sweep, nearest), 1.0)
    return counts


def greedy(train: Groups, gain: Callable[[Floats, Floats], Floats], counts: Floats) -> Ints:
    """Choose sweeps of different streets, each that gains most."""
    chosen: list[int] = []
    for _ in range(SWEEPS):
        gains = gain(counts[chosen].sum(axis=0), counts)
        gains[np.isin(train.street, train.street[chosen])] = -np.inf
        chosen.append(int(gains.argmax()))
    return np.array(chosen)


def evenly(train: Groups, counts: Floats) -> Ints:
    """Choose evenly spaced sweeps."""
    return ((np.arange(SWEEPS) + 0.5) * len(counts) / SWEEPS).astype(np.int64)


def many_groups(train: Groups, counts: Floats) -> Ints:
    """Choose those with the most groups."""
    return greedy(train, lambda _, each: each.sum(axis=1), counts)


def coverage(train: Groups, counts: Floats) -> Ints:
    """Choose such that many prototypes occur, each often: sum of logarithms."""
    return greedy(train, lambda total, each: np.log1p(total + each).sum(axis=1), counts)


def rare_shapes(train: Groups, counts: Floats) -> Ints:
    """Choose such that prototypes occur that few sweeps have."""
    weight = np.log(len(counts) / (counts > 0).sum(axis=0).clip(1))
    return greedy(train, lambda total, each: (np.minimum(total + each, 1) * weight).sum(axis=1), counts)


def typical(train: Groups, counts: Floats) -> Ints:
    """Choose such that prototypes are as frequent as in all sweeps (herding)."""
    mean = counts.sum(axis=0) / counts.sum()

    def gain(total: Floats, each: Floats) -> Floats:
        both = total + each
        apart: Floats = -np.abs(both / both.sum(axis=1, keepdims=True) - mean).sum(axis=1)
        return apart

    return greedy(train, gain, counts)


def far_apart(train: Groups, counts: Floats) -> Ints:
    """Choose sweeps that differ most from those chosen (k-centre)."""
    root = np.sqrt(counts / counts.sum(axis=1, keepdims=True).clip(1))
    chosen = [int(((root - root.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    while len(chosen) < SWEEPS:
        distance = np.min([((root - root[k]) ** 2).sum(axis=1) for k in chosen], axis=0)
        chosen.append(int(distance.argmax()))
    return np.array(chosen)


WAYS: dict[str, Callable[[Groups, Floats], Ints]] = {
    "evenly spaced": evenly,
    "most groups": many_groups,
    "coverage of shapes": coverage,
    "rare shapes": rare_shapes,
    "typical shapes": typical,
    "far apart": far_apart,
}


if __name__ == "__main__":
    main()
