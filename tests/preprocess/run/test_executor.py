"""Where tasks run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from iscc_lidar.preprocess.run.executor import Executor, result_of, start_executor

FAULTS = """
import resource, sys
import numpy as np
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
