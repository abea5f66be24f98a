"""Score the encoder ``small`` on real sweeps that it was not trained on; print the tables of its model card.

python tests/tools/score_weights.py --run build/small/run --samples ../shared/data --work build/small/scores

Without ``--run`` the weights of the package are fine-tuned, and the probes, which need a run, are left out.
SemanticKITTI 00, sweeps 0 to 24: three of sweeps 0 to 9 are labelled, 15 to 24 are scored. PandaSet: three sweeps of
scene 002 are labelled, the four of scene 001 are scored. Each seed draws other sweeps. What is in ``--work`` is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from make_weights import WEIGHTS, call

LABELLED = 3
SEEDS = (0, 1, 2)
# The lengths of the recipes quick and quick_long at 1 % of 640 sweeps.
SCHEDULES = {"quick": 150, "quick_long": 600}
SMALL_SAMPLES = ("occupancy_sweeps=2", "grouping_sweeps=4", "clusters=10")


@dataclass(frozen=True)
class Street:
    """Sweeps to label and sweeps to score: folder in SemanticKITTI's layout, sequence, sweeps."""

    learn: tuple[str, str, range]
    score: tuple[str, str, range]


STREETS = {
    "SemanticKITTI 00": Street(("semantickitti", "00", range(10)), ("semantickitti", "00", range(15, 25))),
    "PandaSet 001": Street(
        ("semantickitti_from_pandaset", "40", range(52)), ("semantickitti_from_pandaset_001", "42", range(4))
    ),
}


def main() -> None:
    """Score, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="that made the weights; without it no probes")
    for name in ("--samples", "--work"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    for street, parts in STREETS.items():
        work = arguments.work / street.replace(" ", "_")
        learn = make_cache(arguments.samples, parts.learn, work / "learn")
        score = make_cache(arguments.samples, parts.score, work / "score")
        lists = [draw(parts.learn, seed, work / f"labelled_{seed}.txt") for seed in SEEDS]
        probes = [probe(arguments.run, learn, score, chosen, work) for chosen in lists] if arguments.run else []
        print(f"\n{street}, mIoU of the classes that occur, in percent; seeds {SEEDS}\n")
        for name in probes[0] if probes else ():
            print(f"| {name} | {figures([each[name] for each in probes])} |")
        for schedule, steps in SCHEDULES.items():
            for start, encoder in (("scratch", None), ("small", arguments.run or WEIGHTS / "small.safetensors")):
                tuned = [
                    finetune(encoder, learn, score, chosen, work / f"{start}_{schedule}", seed, steps)
                    for seed, chosen in zip(SEEDS, lists, strict=True)
                ]
                print(f"| fine-tuned, {steps} steps, {start} | {figures(tuned)} |", flush=True)


def make_cache(samples: Path, part: tuple[str, str, range], out: Path) -> Path:
    """Preprocess some sweeps of a sequence, which are copied into a folder of their own."""
    folder, sequence, sweeps = part
    source, copy = samples / folder / "sequences" / sequence, out / "data" / "sequences" / sequence
    for kind, suffix in (("velodyne", "bin"), ("labels", "label")):
        (copy / kind).mkdir(parents=True, exist_ok=True)
        for new, old in enumerate(sweeps):
            shutil.copyfile(source / kind / f"{old:06d}.{suffix}", copy / kind / f"{new:06d}.{suffix}")
    shutil.copyfile(source / "calib.txt", copy / "calib.txt")
    for rows in ("poses.txt", "times.txt"):
        lines = (source / rows).read_text().splitlines()
        (copy / rows).write_text("".join(f"{lines[old]}\n" for old in sweeps))
    call("iscc-preprocess", "run", "semantickitti", "--root", out / "data", "--cache", out / "cache")
    return out / "cache"


def draw(part: tuple[str, str, range], seed: int, out: Path) -> Path:
    """Draw the labelled sweeps."""
    _, sequence, sweeps = part
    chosen = np.random.default_rng(seed).choice(len(sweeps), LABELLED, replace=False)
    out.write_text("".join(f"{sequence}/{index:06d}\n" for index in sorted(chosen)))
    return out


def probe(run: Path, learn: Path, score: Path, labelled: Path, work: Path) -> dict[str, float]:
    """Score frozen features and those of the same network untrained by the linear and the nearest-neighbour probe."""
    out = work / f"probe_{labelled.stem}" / "evaluation.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        call(
            "iscc-train", "evaluate", "--run", run, "--train-cache", learn, "--val-cache", score,
            "--labelled", labelled, "--out", out, options=SMALL_SAMPLES,
        )  # fmt: skip
    found = json.loads(out.read_text())
    return {
        f"{name.replace('_', ' ')}, {student}": scores["miou_occurring"]
        for name in ("linear_probe", "neighbour_probe")
        for student, scores in sorted(found[name].items(), reverse=True)
    }


def finetune(encoder: Path | None, learn: Path, score: Path, labelled: Path, out: Path, seed: int, steps: int) -> float:
    """Fine-tune the network, or train it from scratch; return its mIoU."""
    run = out.with_name(f"{out.name}_{seed}")
    scores = run / "segmentation.json"
    if not scores.exists():
        start = ("--encoder", encoder) if encoder else ()
        options = (f"train.steps={steps}", f"train.seed={seed}", "train.loader_workers=0")
        call(
            "iscc-train", "finetune", "semseg", "--train-cache", learn, "--val-cache", score, "--labelled", labelled,
            "--out", run, "--recipe", "quick", "--overwrite", *start, options=options,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(scores.read_text())
    return float(found["miou_occurring"])


def figures(values: Sequence[float]) -> str:
    """Write values in percent, and their mean."""
    return f"{', '.join(f'{100 * value:.1f}' for value in values)} | {100 * np.mean(values):.1f}"


if __name__ == "__main__":
    main()
