"""Plant 100 label errors in a sequence of SemanticKITTI's layout, to see how many ``iscc-cache audit`` finds.

python tests/tools/plant_label_errors.py ../shared/data/semantickitti_from_pandaset 40 build/planted --seed 0

Objects are drawn evenly from those with 50 points or more: a third of the errors is a wrong class of a whole object, a
third of half an object, a third is a class that flips for three to eight sweeps. Writes labels and ``planted.json``.
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

ERRORS = 100
LEAST_POINTS = 50
CLASSES = (10, 11, 15, 18, 20, 30, 50, 51, 70, 80, 81)
"""Ids that an object may be given: vehicles, person, building, fence, vegetation, pole, sign."""
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
    source, target = (folder / "sequences" / given.sequence for folder in (given.root, given.out))
    files = sorted((source / "labels").glob("*.label"))
    labels = [np.fromfile(file, "<u4") for file in files]
    planted = draw(labels, np.random.default_rng(given.seed))
    (target / "labels").mkdir(parents=True)
    dataset = open_dataset("semantickitti", given.root)
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
    """Draw errors: whole and half objects first, no object twice; flips of the others, in sweeps of their own."""
    sweeps, points, own = {}, {}, {}
    for index, label in enumerate(labels):
        for instance in np.unique(label >> 16).tolist():
            mine = label[label >> 16 == instance]
            if instance > 0 and len(mine):
                sweeps.setdefault(instance, []).append(index)
                points[instance] = points.get(instance, 0) + len(mine)
                own[instance] = int(np.bincount(mine & 0xFFFF).argmax())
    objects = rng.permutation([instance for instance in sorted(sweeps) if points[instance] >= LEAST_POINTS]).tolist()
    whole, half = round(ERRORS / 3), round(ERRORS / 3)
    found = []
    for number, instance in enumerate(objects[: whole + half]):
        turn = float(rng.uniform(0, 2 * np.pi))
        plane = (float(np.cos(turn)), float(np.sin(turn))) if number >= whole else None
        kind = "whole" if plane is None else "half"
        found.append(Planted(kind, instance, tuple(sweeps[instance]), plane, another(own[instance], rng)))
    others = objects[whole + half :]
    free = {instance: list(sweeps[instance]) for instance in others}
    while len(found) < ERRORS:
        long = [instance for instance in others if len(free[instance]) >= FLIPPED_SWEEPS[0]]
        if not long:
            raise SystemExit(f"only {len(found)} errors fit into {len(objects)} objects")
        instance = int(rng.choice(long))
        length = int(rng.integers(FLIPPED_SWEEPS[0], FLIPPED_SWEEPS[1] + 1))
        start = int(rng.integers(0, max(1, len(free[instance]) - length + 1)))
        chosen = free[instance][start : start + length]
        around = set(range(chosen[0] - 1, chosen[-1] + 2))  # a sweep of its own class in between
        free[instance] = [index for index in free[instance] if index not in around]
        found.append(Planted("flip", instance, tuple(chosen), None, another(own[instance], rng)))
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
