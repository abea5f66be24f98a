"""Fine-tune with and without spread labels, from scratch and pre-trained; print docs/spreading.md's table.

make splits
python tests/tools/spread_table.py --train cache/synthetic-train --test cache/synthetic-test --work build/spread

What is in ``--work`` is kept, so that an interrupted call goes on. ``--columns`` and ``--arms`` choose what is run; the
table shows what is there. A run of 150 steps takes 1 minute of one core, of 2,400 (flat at
1 %) 9, of 9,600 (flat at 10 %) 40.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jobs import Job, run_all, sets

SEEDS = (0, 1, 2)
PRETRAININGS = 2
"""As in the preset quick of ``make reproduce``: labelled draws alternate between them."""
PRETRAINING = ("train.steps=7000", "train.learning_rate=4e-3", "train.loader_workers=0", "train.keep_sweeps=640")
STARTS = ("scratch", "iscc")
LABELS = ("few", "position", "both")
"""The labelled sweeps alone; spread by position alone; spread by groups, too. ``teacher``: labels of the network that
was trained on the last, for all other sweeps, too, and LaserMix."""
SCHEDULES = ("quick", "quick_long", "flat")


def main() -> None:
    """Run the jobs that are left, two at a time, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--train", "--test", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--columns", nargs="*", default=[f"{p}:{s}" for p in (1, 10) for s in SCHEDULES])
    parser.add_argument("--arms", nargs="*", default=[f"{s}:{kind}" for s in STARTS for kind in LABELS])
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--parallel", type=int, default=2)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    columns = [(int(percent), schedule) for percent, schedule in (c.split(":") for c in given.columns)]
    arms = [(start, kind) for start, kind in (a.split(":") for a in given.arms)]
    jobs = {job.name: job for job in plan(given, columns, arms)}
    run_all(list(jobs.values()), given.work, given.parallel)
    for row in table(given.work, columns, arms, given.seeds):
        print(row)


def plan(
    given: argparse.Namespace, columns: Sequence[tuple[int, str]], arms: Sequence[tuple[str, str]]
) -> Iterator[Job]:
    """List all jobs, each after those that it needs."""
    work, train, test = given.work, str(given.train), str(given.test)
    if any(start == "iscc" for start, _ in arms):
        for number in range(PRETRAININGS):
            out = work / f"iscc_{number}"
            words = ("pretrain", "--cache", train, "--out", str(out), "--resume", "--recipe", "quick")
            options = (*PRETRAINING, f"train.seed={number}")
            yield Job(f"iscc_{number}", (*words, *sets(options)), out / "finished")
    for percent, schedule in columns:
        for seed in given.seeds:
            lists = work / "lists" / str(seed)
            listed = lists / f"labels_{percent}.txt"
            draw = ("fractions", train, str(lists), "--percent", "1,10", "--seed", str(seed))
            yield Job(f"lists_{seed}", draw, listed)
            for start, kind in arms:
                name = f"{start}_{kind}_{percent}_{schedule}_{seed}"
                needs = [f"lists_{seed}"]
                tuning = ["finetune", "semseg", "--train-cache", train, "--val-cache", test, "--average-groups"]
                tuning += ["--out", str(work / name), "--resume", "--recipe", schedule]
                if kind == "few":
                    tuning += ["--labelled", str(listed)]
                elif kind == "teacher":
                    teacher, out = f"{start}_both_{percent}_{schedule}_{seed}", work / f"labels_{name}"
                    spread_to = str(work / f"spread_both_{percent}_{seed}")
                    label = ("pseudo-label", str(work / teacher), train, str(out), "--spread", spread_to)
                    yield Job(out.name, label, out / "spread.json", (teacher,))
                    tuning += ["--spread", str(out), "--set", "mix.probability=0.5"]
                    needs.append(out.name)
                else:
                    out = work / f"spread_{kind}_{percent}_{seed}"
                    spread = ("spread", train, str(out), "--labelled", str(listed), "--workers", "0")
                    yield Job(out.name, (*spread, "--set", f"rule={kind}"), out / "spread.json", (f"lists_{seed}",))
                    tuning += ["--spread", str(out)]
                    needs.append(out.name)
                if start == "iscc":
                    encoder = f"iscc_{seed % PRETRAININGS}"
                    tuning += ["--encoder", str(work / encoder / "encoder.safetensors")]
                    needs.append(encoder)
                tuning += sets((f"train.seed={seed}", "train.loader_workers=0", "train.keep_sweeps=64"))
                yield Job(name, tuple(tuning), work / name / "segmentation.json", tuple(needs))


def table(
    work: Path, columns: Sequence[tuple[int, str]], arms: Sequence[tuple[str, str]], seeds: Sequence[int]
) -> Iterator[str]:
    """Yield the rows of the table: mIoU, percent, of each seed and their mean; of each arm alone and averaged."""
    yield "| start | labels | averaged | " + " | ".join(f"{p} %, {s}" for p, s in columns) + " |"
    yield "|---" * (3 + len(columns)) + "|"
    for start, kind in arms:
        for averaged in (False, True):
            cells = [cell(work, f"{start}_{kind}_{p}_{s}", seeds, averaged) for p, s in columns]
            yield f"| {start} | {kind} | {'yes' if averaged else ''} | " + " | ".join(cells) + " |"


def cell(work: Path, name: str, seeds: Sequence[int], averaged: bool) -> str:
    """Return the scores of the seeds that are done, and their mean."""
    found = []
    for seed in seeds:
        file = work / f"{name}_{seed}" / "segmentation.json"
        if file.exists():
            content = json.loads(file.read_text())
            found.append(100 * (content["averaged_over_groups"] if averaged else content)["miou"])
    return f"{', '.join(f'{value:.1f}' for value in found)}: **{np.mean(found):.1f}**" if found else ""


if __name__ == "__main__":
    main()
