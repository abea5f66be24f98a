"""Plant 100 label errors in a sequence of SemanticKITTI's layout, to see how many ``iscc-cache audit`` finds.

python tests/tools/plant_label_errors.py ../shared/data/semantickitti_from_pandaset 40 build/planted --seed 0

Objects are drawn evenly from those that have 50 points or more in some sweep. By turns an error is a wrong class of the
whole object in all sweeps, of half of it in all sweeps, or of the whole object in three to eight sweeps. A sequence has
fewer objects than errors, so they are planted in four copies, OUT/0 to OUT/3, 25 in each, in an object of its own each.
Writes labels and ``planted.json`` of each copy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.shared.base.geometry import transform

COPIES = 4
ERRORS = 25
LEAST_POINTS = 50
CLASSES = (10, 11, 15, 18, 20, 30, 50, 51, 70, 80, 81)
"""Ids that an object may be given: vehicles, person, building, fence, vegetation, pole, sign."""
KINDS = ("whole", "half", "flip")
FLIPPED_SWEEPS = (3, 8)


@dataclass(frozen=True)
class Planted:
    """An error: of which instance, in which sweeps, which of its points, and which id they were given."""

    kind: str
    instance: int
    sweeps: tuple[int, ...]
    half: tuple[float, float] | None
    given: int


def main() -> None:
    """Plant errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    source = given.root / "sequences" / given.sequence
    files = sorted((source / "labels").glob("*.label"))
    labels = [np.fromfile(file, "<u4") for file in files]
    dataset = open_dataset("semantickitti", given.root)
    for copy in range(COPIES):
        target = given.out / str(copy) / "sequences" / given.sequence
        planted = draw(labels, np.random.default_rng([given.seed, copy]))
        (target / "labels").mkdir(parents=True)
        for index, (file, label) in enumerate(zip(files, labels, strict=True)):
            sweep = dataset.read(given.sequence, index)
            xy = transform(sweep.world_SE3_sensor, sweep.xyz)[:, :2]  # so that it is the same half in all sweeps
            changed = label.copy()
            for error in planted:
                if index in error.sweeps:
                    wrong = points_of(error, label, xy)
                    changed[wrong] = (label[wrong] & 0xFFFF0000) | error.given
            changed.tofile(target / "labels" / file.name)
        (target / "planted.json").write_text(json.dumps([asdict(error) for error in planted], indent=1) + "\n")


def draw(labels: Sequence[NDArray[np.uint32]], rng: np.random.Generator) -> list[Planted]:
    """Draw the errors of a copy, each in an object of its own."""
    sweeps: dict[int, list[int]] = {}
    most: dict[int, int] = {}
    own: dict[int, int] = {}
    for index, label in enumerate(labels):
        for instance, points in zip(*np.unique(label >> 16, return_counts=True), strict=True):
            if instance > 0:
                sweeps.setdefault(int(instance), []).append(index)
                if points > most.get(int(instance), 0):
                    most[int(instance)] = int(points)
                    own[int(instance)] = int(np.bincount(label[label >> 16 == instance] & 0xFFFF).argmax())
    large = [instance for instance in sorted(most) if most[instance] >= LEAST_POINTS]
    if len(large) < ERRORS:
        raise SystemExit(f"only {len(large)} objects have {LEAST_POINTS} points, expected {ERRORS}")
    found = []
    for number, instance in enumerate(rng.permutation(large)[:ERRORS].tolist()):
        kind, chosen, half = KINDS[number % len(KINDS)], sweeps[instance], None
        if kind == "half":
            turn = float(rng.uniform(0, 2 * np.pi))
            half = (float(np.cos(turn)), float(np.sin(turn)))
        elif kind == "flip":
            length = int(rng.integers(FLIPPED_SWEEPS[0], FLIPPED_SWEEPS[1] + 1))
            start = int(rng.integers(0, max(1, len(chosen) - length + 1)))
            chosen = chosen[start : start + length]
        found.append(Planted(kind, instance, tuple(chosen), half, another(own[instance], rng)))
    return found


def another(own: int, rng: np.random.Generator) -> int:
    """Draw another id."""
    return int(rng.choice([each for each in CLASSES if each != own]))


def points_of(error: Planted, label: NDArray[np.uint32], xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which points of a sweep an error changes; ``label`` are the right ones, ``xy`` in the world."""
    mine = np.flatnonzero(label >> 16 == error.instance)
    if error.half is None or not len(mine):
        return mine
    side = (xy[mine] - np.median(xy[mine], axis=0)) @ np.array(error.half)
    return mine[side > 0]


if __name__ == "__main__":
    main()
