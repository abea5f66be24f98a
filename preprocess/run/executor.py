"""Where tasks run: in this process, in worker processes on this machine, or on a running Dask cluster."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from distributed import Client, Future
from threadpoolctl import threadpool_limits

from iscc_lidar.preprocess.run.cluster import Probe, check_workers, connect, futures_among, pack, unpack, wait_for
from iscc_lidar.preprocess.run.private_cluster import local_cluster
from iscc_lidar.preprocess.run.signals import interruptible
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store

Submit = Callable[..., Any]
"""``submit(function, *arguments)``: returns a future on Dask, the result itself in this process; accepts either."""

_TRIM_THRESHOLD: Final = -1  # of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_LARGEST_FROM_HEAP: Final = 2**25  # the maximum of glibc
_KEPT: Final = 2**29


@dataclass(frozen=True)
class Executor:
    """Where tasks run.

    Attributes:
        workers: worker processes on this machine, 0 to work in this process.
        scheduler: address of a running Dask scheduler to use instead.
    """

    workers: int = 0
    scheduler: str | None = None


def reachable_store(store: Store, executor: Executor | None) -> Store:
    """Make a relative path absolute for the workers of a running cluster, which have other working folders."""
    if executor is None or executor.scheduler is None or not isinstance(store, LocalStore):
        return store
    return replace(store, root=store.root.absolute())


@contextmanager
def start_executor(executor: Executor, probe: Probe | None = None) -> Iterator[tuple[Submit, Client | None]]:
    """Yield a function that submits tasks, and the Dask client unless they run in this process.

    SIGINT and SIGTERM end the work. With ``probe``, each worker of a running cluster first proves that it sees the
    same files. Raises ClusterError where it does not, there is no worker or no scheduler.
    """
    with interruptible():
        if executor.scheduler is None and executor.workers == 0:
            yield _on_one_thread, None
            return
        local = executor.scheduler is None
        cluster: Any = local_cluster(executor.workers) if local else nullcontext(executor.scheduler)
        with cluster as address, connect(address) as client:
            if not local:
                check_workers(client, str(executor.scheduler), probe)
            print(f"Dask dashboard: {client.dashboard_link}", flush=True)

            def submit(function: Callable[..., Any], *arguments: Any) -> Any:
                packed = pack(probe if not local else None, function, *arguments)
                # Tasks write files, so Dask must not reuse the result of an equal call.
                return client.submit(_unpacked, packed, *futures_among(arguments), pure=False)

            yield submit, client


def result_of(submitted: Any) -> Any:
    """Wait for the result of a submitted task. Raises what the task raised, and ClusterError without a cluster."""
    return wait_for(submitted) if isinstance(submitted, Future) else submitted


def _unpacked(packed: bytes, *futures: Any) -> Any:
    return _on_one_thread(*unpack(packed, futures))


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
