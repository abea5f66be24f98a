"""Where tasks run: in this process, on processes of this machine, or on a running Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import dask
from distributed import Client, Future, LocalCluster
from threadpoolctl import threadpool_limits

from iscc_lidar.preprocess.run.heap import keep_memory
from iscc_lidar.shared.base.errors import UserError

Submit = Callable[..., Any]
"""``submit(function, *arguments)``: a future on Dask, the result itself in this process; arguments may be either."""


_WATCHED_SELDOM: Final = {
    "distributed.worker.profile.enabled": False,
    # Every process of the cluster looks at itself so often: twice a second takes 2 % of a core of each.
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
}


@dataclass(frozen=True)
class Engine:
    """How many processes, or which cluster.

    Attributes:
        workers: processes on this machine, 0 to work in this one.
        scheduler: address of a running Dask scheduler to use instead.
    """

    workers: int = 0
    scheduler: str | None = None


@contextmanager
def started(engine: Engine) -> Iterator[tuple[Submit, Client | None]]:
    """Yield how to submit tasks, and the client where they do not run in this process."""
    if engine.scheduler is None and engine.workers == 0:
        yield _on_one_thread, None
        return
    cluster: Any = nullcontext(engine.scheduler) if engine.scheduler else _local_cluster(engine.workers)
    with cluster as address, _connect(address) as client:
        print(f"Dask dashboard: {client.dashboard_link}", flush=True)

        def submit(function: Callable[..., Any], *arguments: Any) -> Any:
            # Tasks write files, so Dask must not take an equal call's old result for this one's.
            return client.submit(_on_one_thread, function, *arguments, pure=False)

        yield submit, client


def result_of(submitted: Any) -> Any:
    """Wait for what was submitted. Raises what the task raised."""
    return submitted.result() if isinstance(submitted, Future) else submitted


def _local_cluster(workers: int) -> LocalCluster:
    # Much of the work holds the GIL: processes of one thread, and nothing that looks at them a hundred times a second.
    with dask.config.set(_WATCHED_SELDOM):
        return LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, silence_logs=50)


def _connect(address: Any) -> Client:
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None


def _on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with one thread in the libraries below it: more spin on cores that other workers need."""
    keep_memory()
    with threadpool_limits(1):
        return function(*arguments)
