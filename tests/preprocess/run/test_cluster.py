"""A Dask cluster of processes of its own, one of which dies at work; and a store that all of them reach by its URL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.open import open_store

from caches import TINY, content

DASK = [sys.executable, "-m", "dask"]


class Cluster:
    """A scheduler and two workers, each started as by hand on three machines."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        found = folder / "scheduler.json"
        self._stack = stack
        self.start("scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(found))
        self.workers = [
            self.start("worker", "--scheduler-file", str(found), "--nthreads", "1", "--no-nanny", "--no-dashboard")
            for _ in range(2)
        ]
        wait_until(found.exists)
        self.address = json.loads(found.read_text())["address"]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*DASK, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


def wait_until(ready) -> None:
    for _ in range(6000):
        if ready():
            return
        time.sleep(0.01)
    raise AssertionError("waited for a minute")


@pytest.fixture
def cluster(tmp_path: Path, s3: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_worker_is_killed_at_work_and_the_cache_is_as_ever(
    where: str, cluster: Cluster, s3: str, tiny_streets: Path, tiny_cache: Path, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache") if where == "local" else f"{s3}/{uuid.uuid4().hex}"
    store = open_store(cache)
    call = [sys.executable, "-m", "iscc_lidar.preprocess", "run", "synthetic", "--root", str(tiny_streets), *TINY]
    call += ["--cache", cache, "--scheduler", cluster.address]
    run = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: any("segmented" in name for name in store.files(".steps")) or run.poll() is not None)
    cluster.workers[0].send_signal(signal.SIGKILL)
    assert run.poll() is None, "it ended before a worker could be killed"
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert content(cache) == content(tiny_cache)
    assert verify_cache(cache) == []
    assert cluster.workers[0].wait() == -signal.SIGKILL
