"""Stream samples out of a cache, in worker processes or in this one, with the same result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch.utils.data import DataLoader, Dataset

from iscc_lidar.shared.cache_reader import Cache, use_fast_codecs
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.batch import Batch, collate
from iscc_lidar.trainer.data.pairs import SampleKey, StepSampler, draw_partner, index_sweeps, sample_rng
from iscc_lidar.trainer.data.sample import Sample, make_sample


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
        sweep_i = self.cache.sweep(ref.sequence, ref.index)
        sweep_j = self.cache.sweep(ref.sequence, draw_partner(ref, rng))
        return make_sample(sweep_i, sweep_j, config.model.voxel_size, config.data, config.augment, config.crops, rng)


def batches(cache: Cache, config: PretrainConfig, start: int) -> Iterable[Batch]:
    """Batches of the steps from ``start`` to the end of the run."""
    dataset = PairDataset(cache, config)
    train = config.train
    sampler = StepSampler(len(dataset), train.seed, train.batch_size, start, train.steps)
    workers = train.loader_workers
    loader: DataLoader[Sample] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_start_worker if workers else None,
        # zarrs deadlocks in a child forked after the parent has decoded.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # else it draws from the global one, and a resumed run draws once more
        prefetch_factor=4 if workers else None,
    )
    return cast(Iterable[Batch], loader)  # collate has turned samples into batches


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    use_fast_codecs()
