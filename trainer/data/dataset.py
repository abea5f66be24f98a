"""Stream samples out of a cache, in worker processes or in this one, with the same result."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Final, cast

import torch
from torch.utils.data import DataLoader, Dataset

from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.batch import Batch, collate
from iscc_lidar.trainer.data.pack import PackedBatch, pack, unpack
from iscc_lidar.trainer.data.pairs import SampleKey, Share, StepSampler, draw_partner, index_sweeps, sample_rng
from iscc_lidar.trainer.data.sample import Sample, make_sample

_NOT_FOR_WORKERS: Final = (signal.SIGINT, signal.SIGTERM)
_LAST_STEP_S: Final = 20
"""How long a worker that was sent SIGTERM goes on, in seconds."""


class PairDataset(Dataset[Sample]):
    """Samples by key: the same key gives the same sample, in every process."""

    def __init__(self, cache: Cache, config: PretrainConfig) -> None:
        self.cache = cache
        self.config = config
        self.sweeps = index_sweeps(cache.manifest)

    def __len__(self) -> int:
        return len(self.sweeps)

    def __getitem__(self, key: SampleKey) -> Sample:
        """Make the sample of a key."""
        config = self.config
        rng = sample_rng(config.train.seed, key)
        ref = self.sweeps[key.place]
        sweep_i = self.cache.sweep(ref.sequence, ref.index, without=("semantic", "pixel"))
        sweep_j = self.cache.sweep(ref.sequence, draw_partner(ref, rng), without=("semantic", "pixel", "queries"))
        return make_sample(sweep_i, sweep_j, config.model.voxel_size, config.data, config.augment, config.crops, rng)


def batches(
    cache: Cache, config: PretrainConfig, start: int, share: Share, device: torch.device
) -> Generator[list[Batch]]:
    """Make a process's micro-batches of each step from ``start`` to the end of the run.

    Args:
        cache: where the sweeps are.
        config: of the run.
        start: the first step.
        share: which part of each step the process has.
        device: where the batches are wanted.

    Closing the iterator ends the worker processes.
    """
    with _signals_held() if config.train.loader_workers else nullcontext():
        loader = iter(_loader(PairDataset(cache, config), config, start, share, pinned=device.type == "cuda"))
    while step := list(itertools.islice(loader, share.micro_batches)):
        yield [unpack(batch.to(device)) for batch in step]


def _loader(
    dataset: PairDataset, config: PretrainConfig, start: int, share: Share, pinned: bool
) -> Iterable[PackedBatch]:
    train = config.train
    sampler = StepSampler(len(dataset), train.seed, train.batch_size, start, train.steps, share)
    workers = train.loader_workers
    loader: DataLoader[Sample] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=_collate,
        num_workers=workers,
        worker_init_fn=_start_worker if workers else None,
        # A fork would copy this process's threads' locks, held or not.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # else it draws from the global one, and a resumed run draws once more
        prefetch_factor=4 if workers else None,
        pin_memory=pinned,
    )
    return cast(Iterable[PackedBatch], loader)  # _collate has turned samples into batches


def _collate(samples: list[Sample]) -> PackedBatch:
    return pack(collate(samples))


@contextmanager
def workers_told() -> Iterator[None]:
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
