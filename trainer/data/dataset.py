"""Samples of pre-training out of a cache, by key, and the stream of a run's steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator

import torch
from torch.utils.data import Dataset

from iscc_lidar.shared.cache_reader import Cache, CachedSweep, Part
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data import loader
from iscc_lidar.trainer.data.batch import Batch, collate
from iscc_lidar.trainer.data.pairs import SampleKey, Share, StepSampler, draw_partner, index_sweeps, sample_rng
from iscc_lidar.trainer.data.sample import Sample, make_sample
from iscc_lidar.trainer.methods.method import find_method


class PairDataset(Dataset[Sample]):
    """Samples by key: the same key gives the same sample, in every process."""

    def __init__(self, cache: Cache, config: PretrainConfig) -> None:
        self.cache = cache
        self.config = config
        self.sweeps = index_sweeps(cache.manifest, config.data.partner)

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

    @functools.cached_property
    def _sweep(self) -> Callable[[str, int], CachedSweep]:
        return functools.lru_cache(self.config.train.keep_sweeps)(self._read)

    def _read(self, sequence: str, index: int) -> CachedSweep:
        without: list[Part] = ["semantic", "pixel"]
        if self.config.queries.per_group == 0:
            without.append("queries")
        return self.cache.sweep(sequence, index, without)

    def __getstate__(self) -> dict[str, object]:
        """What goes to a loader process, which keeps sweeps of its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_sweep"}


def batches(
    cache: Cache, config: PretrainConfig, start: int, share: Share, device: torch.device
) -> Generator[list[Batch]]:
    """Make a process's micro-batches of each step from ``start`` to the end of the run, see ``loader.steps``."""
    dataset, train = PairDataset(cache, config), config.train
    sampler = StepSampler(len(dataset), train.seed, train.batch_size, start, train.steps, share)
    return loader.steps(dataset, sampler, collate, train.loader_workers, share.micro_batches, device)
