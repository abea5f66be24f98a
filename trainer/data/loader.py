"""Make batches in worker processes or in the training process, with the same result."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import multiprocessing.queues
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any, Final, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.pack import Packed, TensorSet, pack, unpack

PREFETCH: Final = 4
"""Maximum number of batches that each worker prepares in advance."""
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LAST_STEP_S: Final = 20  # a worker continues for this long after SIGTERM, seconds

S = TypeVar("S")
K = TypeVar("K")
B = TypeVar("B", bound=TensorSet)
T = TypeVar("T")


def steps(
    dataset: Dataset[S],
    sampler: Sampler[list[K]],
    collate: Callable[[list[S]], B],
    workers: int,
    micro_batches: int,
    device: torch.device,
) -> Generator[list[B]]:
    """Yield the micro-batches of each step. Closing the iterator ends the worker processes.

    Args:
        dataset: makes a sample from a key; picklable.
        sampler: yields the keys of each micro-batch, from the first step to make on.
        collate: joins a micro-batch's samples; picklable.
        workers: number of worker processes; 0 for this process.
        micro_batches: number of micro-batches per step.
        device: device of the batches.
    """
    loader: DataLoader[S] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=_PackedCollate(collate),
        num_workers=workers,
        worker_init_fn=_start_worker if workers else None,
        # A fork would copy the locks of this process's threads, locked or not.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # the global one would be advanced, once more in a resumed run
        prefetch_factor=PREFETCH if workers else None,
        pin_memory=device.type == "cuda",
    )
    with _signals_blocked() if workers else nullcontext():
        batches: Iterator[Packed[B]] = _started(loader)
    while step := list(itertools.islice(batches, micro_batches)):
        yield [unpack(batch.to(device)) for batch in step]


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    try:
        if loader.num_workers:
            multiprocessing.get_context("spawn").Lock()  # fails here before a half-made loader complains of itself
        return iter(loader)
    except OSError as error:  # no semaphores without a /dev/shm that can be written, or no further process
        raise UserError(
            f"loader processes cannot be started here ({error.strerror}); set train.loader_workers=0, which makes "
            "samples in the training process"
        ) from None


def unwrap_worker_errors(loader: Iterable[T]) -> Iterator[T]:
    """Yield batches; remove the stack trace that a worker's UserError, or an error of its machine, arrives in."""
    try:
        yield from loader
    except UserError as error:
        error.__traceback__ = None  # its frames would keep the worker processes alive
        raise UserError(str(error).rsplit("UserError: ", 1)[-1].strip()) from None
    except (OSError, MemoryError) as error:
        error.__traceback__ = None
        raise UserError(
            f"a sample could not be made: {str(error).strip().splitlines()[-1] or type(error).__name__}. The last "
            "checkpoint is intact: continue from it with --resume"
        ) from None


@dataclass(frozen=True)
class _PackedCollate(Generic[S, B]):
    """Join samples and pack them; a lambda cannot be sent to a worker process."""

    collate: Callable[[list[S]], B]

    def __call__(self, samples: list[S]) -> Packed[B]:
        return pack(self.collate(samples))


@contextmanager
def worker_death_to_user_error() -> Iterator[None]:
    """Turn the death of a worker process, which PyTorch may report at any time, into a UserError."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a loader worker process has ended ({str(error).splitlines()[0]}). If the machine's memory was full, set "
            "a smaller train.loader_workers. The last checkpoint is intact: continue from it with --resume"
        ) from None


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let processes start with stop signals blocked until _start_worker has installed their handlers."""
    resource_tracker.ensure_running()  # started later, it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(_: int) -> None:
    # The training process handles a signal to all processes of a run: it still needs samples for its last step.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LAST_STEP_S))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # A batch that cannot be sent would be dropped, and the training process would wait for it for ever.
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]
    # A regular interpreter exit sometimes aborts because of the decoder's threads.
    atexit.register(os._exit, 0)
    torch.set_num_threads(1)
    os.nice(10)  # if cores are few, the training process has priority: batches are prefetched


def _end_worker(error: Exception, _: object) -> None:
    print(f"a loader process cannot send a batch: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)


def _exit_with_parent() -> None:
    # PyTorch's own watchdog compares the parent's ID with that at its start, and misses a parent that died before.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
