"""Run jobs side by side, each in a process of its own; what is done stays done."""

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
from typing import Final

import torch
from tqdm import tqdm

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json
from iscc_lidar.trainer.reproduce.plan import Job
from iscc_lidar.trainer.reproduce.time_left import seconds_left
from iscc_lidar.trainer.run.stop_signal import stop_requests

_LOOK_EVERY_S: Final = 0.2
_DRAW_EVERY_S: Final = 1
_DRAW_IN_LOGS_EVERY_S: Final = 10
_GRACE_S: Final = 60
"""How long interrupted jobs have to save."""
_SAID_LINES: Final = 12
_LAST_BYTES: Final = 4096
_PERCENT: Final = re.compile(rb"(\d+%)\|")


@dataclass
class _Running:
    job: Job
    log: Path
    place: int
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)


def run_jobs(jobs: Sequence[Job], out: Path, key: Mapping[str, str], at_once: int) -> None:
    """Run what is not done yet.

    Args:
        jobs: in an order in which each comes after those that it needs.
        out: where each job's log and the record of its end go, ``jobs/NAME.log`` and ``.json``.
        key: digests of what the jobs read: with others they are done anew.
        at_once: how many run side by side, each with one core, or one GPU where there are some.

    Raises:
        UserError: a job failed; the others were asked to save and end. The same call goes on from there.
        SystemExit: Ctrl-C or SIGTERM came, and was handed on; its status says which.
    """
    done = {job: seconds_of(job, out) for job in jobs if is_done(job, out, key)}
    waiting = [job for job in jobs if job not in done]
    running: list[_Running] = []
    free = list(range(at_once))
    with (
        stop_requests() as asked,
        # tqdm's own rate is of no use where jobs take from half a minute to hours. It draws though no job ends.
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
                    running.append(_start(job, out, free.pop(0), at_once))
                bar.set_postfix_str(_progress(waiting, running, done, at_once), refresh=False)
                bar.update(0)
                time.sleep(_LOOK_EVERY_S)
                if number := asked():
                    raise SystemExit(128 + number)
                for ended in [r for r in running if r.process.poll() is not None]:
                    running.remove(ended)
                    free.append(ended.place)
                    done[ended.job] = _note_end(ended, out, key)
                    bar.update()
            bar.set_postfix_str("")
        finally:
            _end(running)


def is_done(job: Job, out: Path, key: Mapping[str, str]) -> bool:
    """Whether this very job has ended well, on the same input, and its product is still there."""
    record = out / "jobs" / f"{job.name}.json"
    if not record.exists() or not job.product.exists():
        return False
    content = read_json(record)
    return content.get("arguments") == list(job.arguments) and content.get("inputs") == dict(key)


def seconds_of(job: Job, out: Path) -> float:
    """How long a done job took, from where it last went on to its end."""
    return float(read_json(out / "jobs" / f"{job.name}.json")["seconds"])


def _progress(waiting: Sequence[Job], running: Sequence[_Running], done: Mapping[Job, float], at_once: int) -> str:
    now = time.monotonic()
    left = seconds_left(waiting, {r.job: now - r.began for r in running}, done, at_once)
    said = "time left not known yet" if left is None else f"about {tqdm.format_interval(left)} left"
    return f"{said}: {', '.join(r.job.name + _at(r.log) for r in running)}"


def _at(log: Path) -> str:
    """Where a job's own bar stands, as its log ends with it: `` 84%``; nothing where there is none."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _LAST_BYTES, 0))
        found = _PERCENT.findall(file.read())
    return f" {found[-1].decode()}" if found else ""


def _start(job: Job, out: Path, place: int, at_once: int) -> _Running:
    log = out / "jobs" / f"{job.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {"TQDM_MININTERVAL": str(_DRAW_IN_LOGS_EVERY_S)} | os.environ
    if torch.cuda.is_available():
        environment["CUDA_VISIBLE_DEVICES"] = str(place % torch.cuda.device_count())
    elif at_once > 1:
        environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "iscc_lidar.trainer", *job.arguments]
    with log.open("ab") as file:
        # In a group of its own, so that Ctrl-C reaches this process alone, which then ends its jobs in order.
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    return _Running(job, log, place, process)


def _note_end(ended: _Running, out: Path, key: Mapping[str, str]) -> float:
    """Write down that a job is done; returns how many seconds it took. Raises UserError where it failed."""
    job, log, status = ended.job, ended.log, ended.process.returncode
    if status != 0 or not job.product.exists():
        said = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()[-_SAID_LINES:]
        raise UserError(
            f"{job.name} failed with status {status}; its command: iscc-train {' '.join(job.arguments)}\n"
            + "\n".join(said)
            + f"\n(all it said: {log}). The same reproduce command goes on with what is left"
        )
    seconds = time.monotonic() - ended.began
    content = {"arguments": list(job.arguments), "inputs": dict(key), "seconds": seconds}
    files.write_text(out / "jobs" / f"{job.name}.json", json.dumps(content, indent=1) + "\n")
    return seconds


def _end(running: Sequence[_Running]) -> None:
    if running:
        names = ", ".join(each.job.name for each in running)
        tqdm.write(f"asked to save and end: {names}. The same reproduce command goes on from there", file=sys.stderr)
    for each in running:
        each.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + _GRACE_S
    for each in running:
        try:
            each.process.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
