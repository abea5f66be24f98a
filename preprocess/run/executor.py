"""Where tasks run: in this process, in worker processes on this machine, or on a running Dask cluster."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import dask
from distributed import Client, Future, LocalCluster
from threadpoolctl import threadpool_limits

from iscc_lidar.shared.base.errors import UserError

Submit = Callable[..., Any]
"""``submit(function, *arguments)``: returns a future on Dask, the result itself in this process; accepts either."""

_TRIM_THRESHOLD: Final = -1  # of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_LARGEST_FROM_HEAP: Final = 2**25  # the maximum of glibc
_KEPT: Final = 2**29

_LESS_MONITORING: Final = {
    "distributed.worker.profile.enabled": False,
    # Every process of the cluster monitors itself; the default, twice per second, takes 2 % of a core each.
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
}


@dataclass(frozen=True)
class Executor:
    """Where tasks run.

    Attributes:
        workers: worker processes on this machine, 0 to work in this process.
        scheduler: address of a running Dask scheduler to use instead.
    """

    workers: int = 0
    scheduler: str | None = None


@contextmanager
def start_executor(executor: Executor) -> Iterator[tuple[Submit, Client | None]]:
    """Yield a function that submits tasks, and the Dask client unless they run in this process."""
    if executor.scheduler is None and executor.workers == 0:
        yield _on_one_thread, None
        return
    cluster: Any = nullcontext(executor.scheduler) if executor.scheduler else _local_cluster(executor.workers)
    with cluster as address, _connect(address) as client:
        print(f"Dask dashboard: {client.dashboard_link}", flush=True)

        def submit(function: Callable[..., Any], *arguments: Any) -> Any:
            # Tasks write files, so Dask must not reuse the result of an equal call.
            return client.submit(_on_one_thread, function, *arguments, pure=False)

        yield submit, client


def result_of(submitted: Any) -> Any:
    """Wait for the result of a submitted task. Raises what the task raised."""
    return submitted.result() if isinstance(submitted, Future) else submitted


def _local_cluster(workers: int) -> LocalCluster:
    # Much of the work keeps the GIL: processes of one thread each, without a profiler that samples them all the time.
    with dask.config.set(_LESS_MONITORING):
        return LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, silence_logs=50)


def _connect(address: Any) -> Client:
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None


def _on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with one thread in native libraries: more would compete for the cores of other workers."""
    keep_freed_memory()
    with threadpool_limits(1):
        return function(*arguments)


@cache
def keep_freed_memory() -> bool:
    """Make glibc reuse freed memory; returns whether it could be set, which other C libraries do not allow.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536, so that every large array gets new pages, which the
    system clears first: preprocessing takes 1.4 times as long.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, another system
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_FROM_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
