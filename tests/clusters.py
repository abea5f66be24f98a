"""A Dask cluster of processes of its own, with other working folders."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

DASK = [sys.executable, "-m", "dask"]


class Cluster:
    """A scheduler and two workers, each started as by hand on three machines."""

    def __init__(self, folder: Path, stack: ExitStack, workers: int = 2) -> None:
        self._cwd = folder / "cwd"
        self._cwd.mkdir()
        found = folder / "scheduler.json"
        self._stack = stack
        self.scheduler = self.start(
            "scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(found)
        )
        self.workers = [self.start_worker(found) for _ in range(workers)]
        wait_until(lambda: found.exists() and found.read_text().endswith("}"))
        self.address = json.loads(found.read_text())["address"]

    def start_worker(self, scheduler_file: Path) -> subprocess.Popen[bytes]:
        """Start a worker of the scheduler whose file this is."""
        file = ("--scheduler-file", str(scheduler_file))
        return self.start("worker", *file, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a process with a working folder of its own, as that of another machine."""
        out = subprocess.DEVNULL
        process = subprocess.Popen([*DASK, *arguments], stdout=out, stderr=out, cwd=self._cwd)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


def wait_until(ready: Callable[[], bool]) -> None:
    """Wait for a minute at most."""
    for _ in range(6000):
        if ready():
            return
        time.sleep(0.01)
    raise AssertionError("waited for a minute")
