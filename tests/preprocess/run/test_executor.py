"""Where tasks run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from distributed import Client, Future
from threadpoolctl import threadpool_info

from iscc_lidar.preprocess.run import private_cluster
from iscc_lidar.preprocess.run.cluster import ClusterError, wait_for
from iscc_lidar.preprocess.run.executor import Executor, result_of, start_executor

FAULTS = """
import resource, sys
import numpy as np
from iscc_lidar.preprocess.run import private_cluster
from iscc_lidar.preprocess.run.cluster import ClusterError, wait_for
from iscc_lidar.preprocess.run.executor import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(2_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def blas_threads(size: int) -> list[int]:
    np.ones((size, size)) @ np.ones((size, size))
    return [library["num_threads"] for library in threadpool_info()]


def test_a_task_has_one_thread_in_the_libraries_below_it() -> None:
    before = threadpool_info()
    assert before
    for executor in (Executor(), Executor(workers=1)):
        with start_executor(executor) as (submit, _):
            assert set(result_of(submit(blas_threads, 8))) == {1}
    assert threadpool_info() == before


def too_slow() -> None:
    raise TimeoutError("the task's own")


@dataclass
class _Late:
    """A future whose result is there just after the time that it is waited for."""

    status: str = "pending"

    def result(self, timeout: float) -> int:
        if self.status == "finished":
            return 7
        self.status = "finished"
        raise TimeoutError

    @property
    def client(self) -> Client:
        raise AssertionError("looks for workers though the task is finished")


def test_a_result_that_comes_just_after_the_time_is_waited_for_again() -> None:
    assert wait_for(cast("Future[int]", _Late())) == 7


def test_a_timeout_of_the_task_itself_is_told() -> None:
    with start_executor(Executor(workers=1)) as (submit, _), pytest.raises(TimeoutError, match="the task's own"):
        result_of(submit(too_slow))


def test_processes_that_do_not_start_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(private_cluster, "LocalCluster", refuse)
    with pytest.raises(ClusterError, match=r"Nanny failed to start.*--workers 0"), start_executor(Executor(workers=1)):
        pass


def test_a_cluster_that_does_not_stop_in_time_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Client.close

    def close_late(self: Client, *arguments: Any) -> None:
        first = self.status != "closed"
        close(self, *arguments)
        if first:
            raise TimeoutError

    monkeypatch.setattr(Client, "close", close_late)
    with start_executor(Executor(workers=1)) as (submit, _):
        assert result_of(submit(int, "5")) == 5
    with pytest.raises(OSError, match="its own"), start_executor(Executor(workers=1)):
        raise OSError("its own")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_arrays_are_not_new_pages_each_time() -> None:
    # Also where the environment asks for freed memory to be returned at once, as Dask's does.
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    kept, returned = (
        int(
            subprocess.run([sys.executable, "-c", FAULTS, how], env=environment, check=True, capture_output=True).stdout
        )
        for how in ("keep", "return")
    )
    assert kept < returned / 5
