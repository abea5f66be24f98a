"""Fine-tune on real streets with and without spread labels; print docs/spreading.md's table.

python tests/tools/spread_real.py --samples ../shared/data --work build/spread-real

PandaSet 002 with 1, 4 and 13 of 52 sweeps labelled, scored on the four of scene 001. SemanticKITTI 00, whose sweeps 0
to 24 have labels: 1 and 3 of 0 to 9 are labelled, those at least ten later are scored; it is one street. Each draw
labels other sweeps. What is in ``--work`` is kept, so that an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jobs import Job, run_all, sets

from iscc_lidar.shared.cache.reader import Cache

DRAWS = (0, 1, 2)
LABELS = ("few", "position", "both")
"""The labelled sweeps alone; spread by position alone; spread by groups, too."""
STEPS = 600
APART = 10


@dataclass(frozen=True)
class Street:
    """A column of the table: data and sequence to learn from, sweeps to draw from and how many, data to score on."""

    name: str
    learn: tuple[str, str]
    among: range
    labelled: int
    score: tuple[str, str]


PANDASET = ("semantickitti_from_pandaset", "40")
KITTI = ("semantickitti", "00")
STREETS = (
    *(Street(f"pandaset_{n}", PANDASET, range(52), n, ("semantickitti_from_pandaset_001", "42")) for n in (1, 4, 13)),
    *(Street(f"kitti_{n}", KITTI, range(10), n, KITTI) for n in (1, 3)),
)


def main() -> None:
    """Run the jobs that are left, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--samples", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--streets", nargs="*", default=[street.name for street in STREETS])
    parser.add_argument("--draws", nargs="*", type=int, default=DRAWS)
    parser.add_argument("--parallel", type=int, default=2)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    streets = [street for street in STREETS if street.name in given.streets]
    run_all([cache_job(given, data) for data in {d for s in streets for d in (s.learn, s.score)}], given.work, 1)
    jobs = {job.name: job for street in streets for draw in given.draws for job in plan(given.work, street, draw)}
    run_all(list(jobs.values()), given.work, given.parallel)
    print("| street | labelled sweeps | labels | mIoU of the classes that occur |")
    for street in streets:
        for kind in LABELS:
            print(f"| {street.learn[0]} | {street.labelled} | {kind} | {cell(given.work, street, kind, given.draws)} |")


def cache_of(work: Path, data: tuple[str, str]) -> Path:
    """Return the cache of a sequence."""
    return work / f"cache_{data[0]}_{data[1]}"


def cache_job(given: argparse.Namespace, data: tuple[str, str]) -> Job:
    """Preprocess a sequence."""
    out = cache_of(given.work, data)
    words = ("run", "semantickitti", "--root", str(given.samples / data[0]), "--sequences", data[1])
    return Job(out.name, (*words, "--cache", str(out), "--workers", "2"), out / "manifest.json")


def plan(work: Path, street: Street, draw: int) -> Iterator[Job]:
    """Write the lists of a draw, and list its jobs."""
    chosen = np.sort(np.random.default_rng(draw).choice(len(street.among), street.labelled, replace=False))
    learn, score = Cache(cache_of(work, street.learn)), Cache(cache_of(work, street.score))
    scored = score.labelled_sweeps(street.score[1])
    if street.learn == street.score:
        scored = [index for index in scored if np.abs(chosen - index).min() >= APART]
    lists = {"labelled": (learn, street.learn[1], chosen.tolist()), "scored": (score, street.score[1], scored)}
    paths = {name: work / f"{street.name}_{draw}_{name}.txt" for name in lists}
    for name, (cache, sequence, indices) in lists.items():
        names = cache.sweep_names(sequence)
        paths[name].write_text("".join(f"{sequence}/{names[index]}\n" for index in indices))
    for kind in LABELS:
        name, needs = f"{street.name}_{kind}_{draw}", []
        words = ["finetune", "semseg", "--train-cache", learn.path, "--val-cache", score.path, "--average-groups"]
        words += ["--val-list", str(paths["scored"]), "--out", str(work / name), "--resume", "--recipe", "quick_long"]
        if kind == "few":
            words += ["--labelled", str(paths["labelled"])]
        else:
            out = work / f"spread_{name}"
            spread = ("spread", learn.path, str(out), "--labelled", str(paths["labelled"]), "--workers", "0")
            yield Job(out.name, (*spread, "--set", f"rule={kind}"), out / "spread.json")
            words += ["--spread", str(out)]
            needs.append(out.name)
        words += sets((f"train.steps={STEPS}", f"train.seed={draw}", "train.loader_workers=0", "train.keep_sweeps=64"))
        yield Job(name, tuple(words), work / name / "segmentation.json", tuple(needs))


def cell(work: Path, street: Street, kind: str, draws: list[int]) -> str:
    """Return the scores of the draws that are done, and their mean; then those of predictions averaged over groups."""
    files = [work / f"{street.name}_{kind}_{draw}" / "segmentation.json" for draw in draws]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    alone = [100 * content["miou_occurring"] for content in found]
    averaged = [100 * content["averaged_over_groups"]["miou_occurring"] for content in found]
    texts = (f"{', '.join(f'{v:.1f}' for v in values)}: **{np.mean(values):.1f}**" for values in (alone, averaged))
    return " | ".join(texts) if found else ""


if __name__ == "__main__":
    main()
