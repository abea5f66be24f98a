"""Compare the rule of spreading with each of its parts: shares of points with a label, and of these right.

python tests/tools/spread_rules.py cache/pandaset 40 --labelled 26 --root ../shared/data/semantickitti_from_pandaset
python tests/tools/spread_rules.py cache/kitti 00 --labelled 4 12 20 --noise 0.1 0.5

Labelled sweeps never count. With ``--root`` (SemanticKITTI's layout with instances and ``instances.json``) objects that
move by more than a metre, and those that stand, are counted apart. ``--noise`` moves and turns every sweep at random,
by standard deviations in metres and degrees. ``--away`` counts only sweeps whose sensor is so far from labelled ones.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.spread.rule import SpreadConfig
from iscc_lidar.preprocess.spread.run import spread
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.shared.store.local import LocalStore

RULES: tuple[Any, ...] = ("position", "group", "both")
MOVED_M = 1.0


class NoisyCache(Cache):
    """A cache whose poses are off."""

    def __init__(self, where: Path, metres: float, degrees: float) -> None:
        super().__init__(where)
        self._noise = metres, np.radians(degrees)

    def sweep(self, sequence: str, index: int, without: Any = ()) -> CachedSweep:
        """Read a sweep and move it."""
        sweep = super().sweep(sequence, index, without)
        rng = np.random.default_rng([index, len(sequence)])
        turn = rng.normal(0, self._noise[1])
        off = np.eye(4)
        off[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        off[:2, 3] = rng.normal(0, self._noise[0], 2)
        return replace(sweep, world_SE3_sensor=sweep.world_SE3_sensor @ off)


def main() -> None:
    """Print a row for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("--labelled", type=int, nargs="+", required=True)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--noise", type=float, nargs=2, default=(0.0, 0.0))
    parser.add_argument("--away", type=float, default=0.0)
    given = parser.parse_args()
    cache = NoisyCache(given.cache, *given.noise) if any(given.noise) else Cache(given.cache)
    names = cache.sweep_names(given.sequence)
    print(
        "| rule | all | moving objects | standing objects | told with 0.85 to 0.95 | left unlabelled, told "
        "| CPU s/sweep beside reading |"
    )
    reading = seconds_of_reading(Cache(given.cache), given.sequence)
    for rule in RULES:
        with TemporaryDirectory() as temporary:
            began = time.process_time()
            listed = [(given.sequence, names[index]) for index in given.labelled]
            spread(cache, LocalStore(Path(temporary) / "out"), listed, SpreadConfig(rule=rule))
            seconds = (time.process_time() - began) / len(names) - reading
            print(row(cache, SpreadLabels(Path(temporary) / "out", cache), given, rule, seconds), flush=True)


def seconds_of_reading(cache: Cache, sequence: str) -> float:
    """Return the CPU seconds of reading the positions and labels of a sweep."""
    began, sweeps = time.process_time(), cache.sequence(sequence).sweeps
    for index in range(sweeps):
        cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
    return (time.process_time() - began) / sweeps


def row(cache: Cache, labels: SpreadLabels, given: argparse.Namespace, rule: str, seconds: float) -> str:
    """Return a rule's row."""
    moved = moved_metres(given.root, given.sequence)
    at = [cache.sweep(given.sequence, k, ("semantic", "queries", "pixel")).world_SE3_sensor[:3, 3]
          for k in range(cache.sequence(given.sequence).sweeps)]  # fmt: skip
    sums, sure, empty = np.zeros((3, 3)), [], np.zeros(2)
    for index in sorted(set(cache.labelled_sweeps(given.sequence)) - set(given.labelled)):
        if min(np.linalg.norm(at[index] - at[own]) for own in given.labelled) < given.away:
            continue
        truth, found = cache.classes(given.sequence, index), labels.sweep(given.sequence, index)
        instance = instances(given.root, given.sequence, cache.sweep_names(given.sequence)[index], len(truth))
        moving = np.isin(instance, [k for k, metres in moved.items() if metres > MOVED_M])
        known, told, right = truth > 0, found.classes > 0, found.classes == truth
        for k, chosen in enumerate((known, known & moving, known & (instance > 0) & ~moving)):
            sums[k] += [chosen.sum(), (chosen & told).sum(), (chosen & right).sum()]
        empty += [(~known).sum(), (~known & told).sum()]
        band = known & (found.confidence > 0.85) & (found.confidence < 0.95)
        sure.append(right[band])
    cells = [f"{told / n:.3f} / {right / max(told, 1):.3f}" if n else "" for n, told, right in sums]
    cells += [f"{value:.3f}" for value in (np.concatenate(sure).mean(), empty[1] / max(empty[0], 1), seconds)]
    return f"| {rule} | {' | '.join(cells)} |"


def moved_metres(root: Path | None, sequence: str) -> dict[int, float]:
    """Return how far each instance moves, metres."""
    file = None if root is None else root / "sequences" / sequence / "instances.json"
    if file is None or not file.exists():
        return {}
    return {int(k): float(each["moved_m"]) for k, each in json.loads(file.read_text()).items()}


def instances(root: Path | None, sequence: str, name: str, points: int) -> NDArray[np.int64]:
    """Return the instance of each point of a sweep; 0 for none."""
    if root is None:
        return np.zeros(points, np.int64)
    return (np.fromfile(root / f"sequences/{sequence}/labels/{name}.label", "<u4") >> 16).astype(np.int64)


if __name__ == "__main__":
    main()
