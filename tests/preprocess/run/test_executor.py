"""Where tasks run."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from iscc_lidar.preprocess.run.executor import Executor, result_of, start_executor


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
