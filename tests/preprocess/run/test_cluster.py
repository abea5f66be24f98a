"""A Dask cluster of processes of its own, one of which dies at work; and a store that all of them reach by its URL."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from clusters import Cluster, wait_until

from iscc_lidar.shared.cache.verify import verify_cache
from iscc_lidar.shared.store.open import open_store

from caches import TINY, content


@pytest.fixture
def cluster(tmp_path: Path, s3: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["s3", "local"])
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


def preprocess_there(address: str, streets: str, cache: str, cwd: Path) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "iscc_lidar.preprocess", "run", "synthetic", "--root", streets, *TINY]
    call += ["--cache", cache, "--scheduler", address]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)


def last_line(run: subprocess.Popen[str]) -> str:
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "Traceback" not in said
    return said.rstrip().splitlines()[-1]


def test_relative_paths_are_those_of_the_client(tiny_streets: Path, tiny_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tiny_streets)
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, stack)
        run = preprocess_there(cluster.address, "data", "cache", tmp_path)
        said, _ = run.communicate(timeout=120)
        assert run.returncode == 0, said
        assert content(tmp_path / "cache") == content(tiny_cache)
        assert not list((tmp_path / "cwd").glob("**/*.parquet"))


@pytest.mark.parametrize("which", ["root", "cache"])
def test_a_worker_that_sees_other_files_is_named(which: str, tiny_streets: Path, tmp_path: Path) -> None:
    """The same path is another folder for each process there, as on machines without a common file system."""
    (tmp_path / "data").symlink_to(tiny_streets)
    root, cache = (
        ("/proc/self/cwd/data", str(tmp_path / "cache"))
        if which == "root"
        else (str(tiny_streets), "/proc/self/cwd/cache")
    )
    if not Path("/proc/self/cwd").exists():
        pytest.skip("no /proc")
    with ExitStack() as stack:
        line = last_line(preprocess_there(Cluster(tmp_path, stack, 1).address, root, cache, tmp_path))
    assert re.search(
        rf"^error: .*worker tcp://.* host \S+: /proc/self/cwd/{'data/' if which == 'root' else 'cache'}", line
    )
    assert line.endswith("all workers need the same files, under the same paths")
    assert not (tmp_path / "cache/manifest.json").exists()


@pytest.mark.slow
def test_a_scheduler_without_workers_and_none_at_all(tiny_streets: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        address = Cluster(tmp_path, stack, 0).address
        start = time.monotonic()
        line = last_line(preprocess_there(address, str(tiny_streets), "cache", tmp_path))
        assert time.monotonic() - start < 60
    assert line == (
        f"error: --scheduler {address}: has no workers; start some that reach the same files: dask worker {address}"
    )
    line = last_line(preprocess_there(address, str(tiny_streets), "cache", tmp_path))
    assert line.startswith(f"error: --scheduler {address}: no Dask scheduler answers there (")


@pytest.mark.parametrize("lost", ["scheduler", pytest.param("workers", marks=pytest.mark.slow)])
def test_a_scheduler_or_all_workers_are_lost_at_work(lost: str, tiny_streets: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, stack)
        run = preprocess_there(cluster.address, str(tiny_streets), "cache", tmp_path)
        steps = tmp_path / "cache/.steps"
        wait_until(lambda: any(steps.glob("*/segmented*")) or run.poll() is not None)
        for process in [cluster.scheduler] if lost == "scheduler" else cluster.workers:
            process.kill()
        expected = "scheduler was lost; what was finished is kept" if lost == "scheduler" else "has no workers any more"
        assert expected in last_line(run)


@pytest.mark.parametrize("where", ["scheduler", "worker"])
def test_another_version_is_named(
    where: str, tiny_streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other/iscc_lidar/__init__.py"
    other.parent.mkdir(parents=True)
    other.write_text("raise ImportError('another version')")
    with ExitStack() as stack:
        with monkeypatch.context() as patch:
            if where == "scheduler":
                patch.setenv("PYTHONPATH", str(tmp_path / "other"))
            cluster = Cluster(tmp_path, stack, 0)
        with monkeypatch.context() as patch:
            if where == "worker":
                patch.setenv("PYTHONPATH", str(tmp_path / "other"))
            cluster.start_worker(tmp_path / "scheduler.json")
        line = last_line(preprocess_there(cluster.address, str(tiny_streets), "cache", tmp_path))
    said = "the scheduler cannot pass on tasks" if where == "scheduler" else "cannot do the work: .*another version"
    assert re.search(said, line)
