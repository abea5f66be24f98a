"""Samples of pre-training out of a cache, by key, and the stream of a run's steps."""

from __future__ import annotations

import functools
from collections.abc import Generator

import torch
from torch.utils.data import Dataset

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import Part
from iscc_lidar.trainer.data import loader
from iscc_lidar.trainer.data.pairs import SampleKey, Share, StepSampler, draw_partner, index_sweeps, sample_rng
from iscc_lidar.trainer.data.sweep_cache import SweepCache, sweep_reader
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.method import find_method
from iscc_lidar.trainer.pretrain.samples.batch import Batch, collate
from iscc_lidar.trainer.pretrain.samples.sample import Sample, make_sample


class PairDataset(Dataset[Sample]):
    """Samples by key: the same key gives the same sample, in every process."""

    def __init__(self, cache: Cache, config: PretrainConfig) -> None:
        self.cache = cache
        self.config = config
        self.sweeps = index_sweeps(cache.manifest, config.data.partner)
        unused: list[Part] = ["semantic", "pixel"]
        if config.loss.occupancy_weight == 0:
            unused.append("queries")
        self._sweep = SweepCache(sweep_reader(cache, unused), config.train.keep_sweeps)

    def __len__(self) -> int:
        return len(self.sweeps)

    def __getitem__(self, key: SampleKey) -> Sample:
        """Make the sample of a key."""
        config = self.config
        rng = sample_rng(config.train.seed, key)
        ref = self.sweeps[key.place]
        sweep_j = sweep_i = self._sweep(ref.sequence, ref.index)
        if config.data.partner == "window":
            sweep_j = self._sweep(ref.sequence, draw_partner(ref, rng))
        find_regions = functools.partial(find_method(config.method.name).regions, config)
        drawn_by = (config.model.voxel_size, config.data, config.augment, config.crops, config.queries)
        return make_sample(sweep_i, sweep_j, *drawn_by, find_regions, config.parts, rng)


def batches(
    cache: Cache, config: PretrainConfig, start: int, share: Share, device: torch.device
) -> Generator[list[Batch]]:
    """Make a process's micro-batches of each step from ``start`` to the end of the run, see ``loader.steps``."""
    dataset, train = PairDataset(cache, config), config.train
    sampler = StepSampler(len(dataset), train.seed, train.batch_size, start, train.steps, share)
    return loader.steps(dataset, sampler, collate, train.loader_workers, share.micro_batches, device)
