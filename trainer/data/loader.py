"""Make batches in worker processes or in this one, with the same result."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Final, Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.pack import Mappable, Packed, pack, unpack

_NOT_FOR_WORKERS: Final = (signal.SIGINT, signal.SIGTERM)
PREFETCH: Final = 4
"""Batches that each worker has ready, at most."""
_LAST_STEP_S: Final = 20
"""How long a worker that was sent SIGTERM goes on, in seconds."""

S = TypeVar("S")
K = TypeVar("K")
B = TypeVar("B", bound=Mappable)
T = TypeVar("T")


def steps(
    dataset: Dataset[S],
    sampler: Sampler[list[K]],
    collate: Callable[[list[S]], B],
    workers: int,
    micro_batches: int,
    device: torch.device,
) -> Generator[list[B]]:
    """Make the micro-batches of each step.

    Args:
        dataset: makes a sample of a key; picklable.
        sampler: the keys of each micro-batch in turn, from the first step wanted on.
        collate: joins a micro-batch's samples; picklable.
        workers: processes that do so; 0 for this one.
        micro_batches: how many make a step.
        device: where the batches are wanted.

    Closing the iterator ends the worker processes.
    """
    with _signals_held() if workers else nullcontext():
        loader: Iterator[Packed[B]] = iter(
            _loader(dataset, sampler, _PackedCollate(collate), workers, device.type == "cuda")
        )
    while step := list(itertools.islice(loader, micro_batches)):
        yield [unpack(batch.to(device)) for batch in step]


def unwrap_worker_errors(loader: Iterable[T]) -> Iterator[T]:
    """Pass batches on; a loader process's UserError comes wrapped in its stack trace: unwrap it."""
    try:
        yield from loader
    except UserError as error:
        error.__traceback__ = None  # its frames would keep the loader's processes
        raise UserError(str(error).rsplit("UserError: ", 1)[-1].strip()) from None


@dataclass(frozen=True)
class _PackedCollate(Generic[S, B]):
    """Join samples and pack them; a lambda could not be sent to a worker process."""

    collate: Callable[[list[S]], B]

    def __call__(self, samples: list[S]) -> Packed[B]:
        return pack(self.collate(samples))


def _loader(
    dataset: Dataset[S], sampler: Sampler[list[K]], collate: Callable[[list[S]], Packed[B]], workers: int, pinned: bool
) -> Iterable[Packed[B]]:
    loader: DataLoader[S] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_start_worker if workers else None,
        # A fork would copy this process's threads' locks, held or not.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # else it draws from the global one, and a resumed run draws once more
        prefetch_factor=PREFETCH if workers else None,
        pin_memory=pinned,
    )
    return cast(Iterable[Packed[B]], loader)  # collate has turned samples into batches


@contextmanager
def worker_death_to_user_error() -> Iterator[None]:
    """Turn the death of a worker process, of which torch may tell at any time, into a UserError."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process that makes samples has ended ({str(error).splitlines()[0]}). If the machine's memory was full, "
            "set a smaller train.loader_workers; the last checkpoint is whole: go on from it with --resume"
        ) from None


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let processes start with signals held back, until _start_worker has said what is to be done with them."""
    resource_tracker.ensure_running()  # later it would let them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(_: int) -> None:
    # A signal to all processes of a run is the training process's to answer: it still needs samples for its last step.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LAST_STEP_S))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_WORKERS)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    # An interpreter that ends in order meets the decoder's threads on its way, and now and then aborts.
    atexit.register(os._exit, 0)
    torch.set_num_threads(1)
    os.nice(10)  # where cores are few, the training process goes first: batches lie ready


def _end_with_the_run() -> None:
    # torch's own watch compares its parent's number with that at its start, and misses a parent that died before.
    run = multiprocessing.parent_process()
    if run is not None:
        run.join()
        os._exit(1)
