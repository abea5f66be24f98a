"""Samples of pre-training out of a cache, by key."""

from __future__ import annotations

import functools
from typing import Any

from torch.utils.data import Dataset

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import SweepField
from iscc_lidar.trainer.data.pairs import SampleKey, draw_partner, index_sweeps, sample_rng
from iscc_lidar.trainer.data.sweep_cache import SweepCache
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.method import Method, find_method
from iscc_lidar.trainer.pretrain.samples.sample import Sample, make_sample


class PairDataset(Dataset[Sample]):
    """Samples by key: the same key gives the same sample, in every process."""

    def __init__(self, cache: Cache, config: PretrainConfig) -> None:
        self.cache = cache
        self.config = config
        self.sweeps = index_sweeps(cache.manifest, config.data.partner)
        self.options = self._method.samples(config)
        unused: list[SweepField] = ["semantic", "pixel", *(() if self.options.occupancy else ("queries",))]
        self.read_sweep = SweepCache(functools.partial(cache.sweep, without=unused), config.train.keep_sweeps)

    @property
    def _method(self) -> Method[Any]:
        return find_method(self.config.method.name)

    def __len__(self) -> int:
        return len(self.sweeps)

    def __getitem__(self, key: SampleKey) -> Sample:
        """Make the sample of a key."""
        rng = sample_rng(self.config.train.seed, key)
        ref = self.sweeps[key.place]
        sweep_j = sweep_i = self.read_sweep(ref.sequence, ref.index)
        if self.config.data.partner == "window":
            sweep_j = self.read_sweep(ref.sequence, draw_partner(ref, rng))
        find_regions = functools.partial(self._method.regions, self.config)
        return make_sample(sweep_i, sweep_j, self.options, find_regions, rng)
