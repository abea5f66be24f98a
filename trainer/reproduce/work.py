"""Run jobs in parallel, each in a process of its own; finished ones are kept."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Final

import torch
from tqdm import tqdm

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.reproduce.plan import Job
from iscc_lidar.trainer.run.stop_signal import stop_requests

_MODULES: Final = {"iscc-train": "iscc_lidar.trainer", "iscc-cache": "iscc_lidar.api.cache_cli"}
_POLL_S: Final = 0.2
_DRAW_EVERY_S: Final = 1
_DRAW_IN_LOGS_EVERY_S: Final = 10
_GRACE_S: Final = 60
"""Time for interrupted jobs to save."""
_SHOWN_LINES: Final = 12
_LAST_BYTES: Final = 4096
_PERCENT: Final = re.compile(rb"(\d+%)\|")


@dataclass
class _Running:
    job: Job
    log: Path
    place: int
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)


def run_jobs(jobs: Sequence[Job], out: Path, key: Mapping[str, str], parallel: int) -> None:
    """Run the jobs that are not complete.

    Args:
        jobs: each after those that it needs.
        out: folder for each job's log and the record of its end, ``jobs/NAME.log`` and ``.json``.
        key: digests of the jobs' inputs: with others a job is run again.
        parallel: number of jobs at a time, each with one core, or one GPU if there is any.

    Raises:
        UserError: a job failed; the others were stopped after saving. The same call continues from there.
        SystemExit: stopped by Ctrl-C or SIGTERM, as the status shows, and so were the jobs.
    """
    done = {job: seconds_of(job, out) for job in jobs if is_done(job, out, key)}
    waiting = [job for job in jobs if job not in done]
    running: list[_Running] = []
    free = list(range(parallel))
    with (
        stop_requests() as stop_signal,
        # tqdm's own rate is useless where jobs take from half a minute to hours. The bar is redrawn while none ends.
        tqdm(
            total=len(jobs),
            initial=len(done),
            desc="reproduce",
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} jobs [{elapsed}{postfix}]",
            dynamic_ncols=True,
            miniters=0,
            mininterval=_DRAW_EVERY_S,
        ) as bar,
    ):
        try:
            while waiting or running:
                names = {job.name for job in done}
                for job in [j for j in waiting if names.issuperset(j.needs)][: len(free)]:
                    waiting.remove(job)
                    running.append(_start(job, out, free.pop(0), parallel))
                bar.set_postfix_str(_progress(waiting, running, done, parallel), refresh=False)
                bar.update(0)
                time.sleep(_POLL_S)
                if number := stop_signal():
                    raise SystemExit(128 + number)
                for ended in [r for r in running if r.process.poll() is not None]:
                    running.remove(ended)
                    free.append(ended.place)
                    done[ended.job] = _record_end(ended, out, key)
                    bar.update()
            bar.set_postfix_str("")
        finally:
            _stop(running)


def is_done(job: Job, out: Path, key: Mapping[str, str]) -> bool:
    """Check whether this job has succeeded with the same arguments and input, and its product still exists."""
    record = out / "jobs" / f"{job.name}.json"
    if not record.exists() or not job.product.exists():
        return False
    content = read_json(record)
    return content.get("arguments") == list(job.arguments) and content.get("inputs") == dict(key)


def seconds_of(job: Job, out: Path) -> float:
    """Return how long a finished job took since it was last started."""
    return float(read_json(out / "jobs" / f"{job.name}.json")["seconds"])


def seconds_left(
    waiting: Sequence[Job], running: Mapping[Job, float], done: Mapping[Job, float], parallel: int
) -> float | None:
    """Estimate the seconds until all jobs are done, as if they could be divided evenly.

    ``running`` are jobs and for how many seconds they have run, ``done`` jobs and how many they took, ``parallel`` is
    the number of jobs at a time. Returns None while no job of some category is done.
    """
    categories = {job.category for job in done}
    if not categories.issuperset(job.category for job in (*waiting, *running)):
        return None
    takes = {c: mean(seconds for job, seconds in done.items() if job.category == c) for c in categories}
    rests = [max(takes[job.category] - seconds, 0.0) for job, seconds in running.items()]
    return max((sum(rests) + sum(takes[job.category] for job in waiting)) / parallel, max(rests, default=0.0))


def _progress(waiting: Sequence[Job], running: Sequence[_Running], done: Mapping[Job, float], parallel: int) -> str:
    now = time.monotonic()
    left = seconds_left(waiting, {r.job: now - r.began for r in running}, done, parallel)
    estimate = "time left not known yet" if left is None else f"about {tqdm.format_interval(left)} left"
    return f"{estimate}: {', '.join(r.job.name + _percent(r.log) for r in running)}"


def _percent(log: Path) -> str:
    """Return the state of a job's own bar at the end of its log, `` 84%``; nothing without one."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _LAST_BYTES, 0))
        found = _PERCENT.findall(file.read())
    return f" {found[-1].decode()}" if found else ""


def _start(job: Job, out: Path, place: int, parallel: int) -> _Running:
    log = out / "jobs" / f"{job.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {"TQDM_MININTERVAL": str(_DRAW_IN_LOGS_EVERY_S)} | os.environ
    if torch.cuda.is_available():
        environment["CUDA_VISIBLE_DEVICES"] = str(place % torch.cuda.device_count())
    elif parallel > 1:
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", _MODULES[job.program], *job.arguments]
    with log.open("ab") as file:
        # In a session of its own, so that Ctrl-C reaches only this process, which then stops its jobs in order.
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    return _Running(job, log, place, process)


def _record_end(ended: _Running, out: Path, key: Mapping[str, str]) -> float:
    """Record that a job is done; return its seconds. Raises UserError where it failed."""
    job, log, status = ended.job, ended.log, ended.process.returncode
    if status != 0 or not job.product.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()[-_SHOWN_LINES:]
        raise UserError(
            f"{job.name} failed with status {status}; its command: {job.program} {' '.join(job.arguments)}\n"
            + "\n".join(lines)
            + f"\n(full output: {log}). The same reproduce command continues with the remaining jobs"
        )
    seconds = time.monotonic() - ended.began
    content = {"arguments": list(job.arguments), "inputs": dict(key), "seconds": seconds}
    files.write_text(out / "jobs" / f"{job.name}.json", json.dumps(content, indent=1) + "\n")
    return seconds


def _stop(running: Sequence[_Running]) -> None:
    if running:
        names = ", ".join(each.job.name for each in running)
        tqdm.write(f"saving and stopping {names}. The same reproduce command continues from there", file=sys.stderr)
    for each in running:
        each.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + _GRACE_S
    for each in running:
        try:
            each.process.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
