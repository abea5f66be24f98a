"""Run commands of the programs, some at a time; what was made before is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {"fractions": "iscc-cache", "spread": "iscc-cache", "choose": "iscc-cache", "run": "iscc-preprocess"}


@dataclass(frozen=True)
class Job:
    """A command of one of the programs, the file that it makes, and jobs that must be done before."""

    name: str
    words: tuple[str, ...]
    product: Path
    needs: tuple[str, ...] = ()


def sets(options: Sequence[str]) -> list[str]:
    """Return options as words of a command."""
    return [word for option in options for word in ("--set", option)]


def run_all(jobs: list[Job], work: Path, parallel: int) -> None:
    """Run the jobs whose products are missing. Raises SystemExit where one fails."""
    waiting = [job for job in jobs if not job.product.exists()]
    running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}
    began, total = time.monotonic(), len(waiting)
    while waiting or running:
        for name, (job, process) in list(running.items()):
            if process.poll() is not None:
                del running[name]
                if process.returncode != 0:
                    raise SystemExit(f"{name} failed, see {work / name}.log")
                if job.product.name == "finished":
                    job.product.touch()
                print(f"{name} done, {total - len(waiting) - len(running)} of {total}, "
                      f"{(time.monotonic() - began) / 60:.0f} min", file=sys.stderr, flush=True)  # fmt: skip
        open_names = {job.name for job in waiting} | set(running)
        for job in [j for j in waiting if not open_names & set(j.needs)][: parallel - len(running)]:
            waiting.remove(job)
            program = PROGRAMS.get(job.words[0], "iscc-train")
            with (work / f"{job.name}.log").open("ab") as log:
                environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_MININTERVAL": "30"}
                command = [str(Path(sys.executable).with_name(program)), *job.words]
                running[job.name] = job, subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        time.sleep(0.5)
