"""Samples of pre-training out of a cache, by key."""

from __future__ import annotations

import functools
from typing import Any

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep, SweepField
from iscc_lidar.trainer.data.dataset import SweepDataset
from iscc_lidar.trainer.data.joined import JoinedCaches
from iscc_lidar.trainer.data.pairs import SampleKey, draw_partner, index_sweeps, sample_rng
from iscc_lidar.trainer.data.voxelize import enough_to_train
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.method import Method, find_method
from iscc_lidar.trainer.pretrain.samples.sample import Sample, make_sample


class PairDataset(SweepDataset[Sample, CachedSweep]):
    """Samples by key: the same key gives the same sample, in every process."""

    def __init__(self, cache: Cache | JoinedCaches, config: PretrainConfig) -> None:
        joined = cache if isinstance(cache, JoinedCaches) else JoinedCaches([cache])
        self.config = config
        self.sweeps = index_sweeps(joined.sequences, joined.dataset, config.data.partner)
        self.options = self._method.samples(config)
        unused: list[SweepField] = ["semantic", "pixel", *(() if self.options.occupancy else ("queries",))]
        places = [(ref.sequence, ref.index) for ref in self.sweeps]
        super().__init__(joined, places, functools.partial(joined.sweep, without=unused), config.train.keep_sweeps)

    @property
    def _method(self) -> Method[Any]:
        return find_method(self.config.method.name)

    def make(self, key: SampleKey) -> Sample | None:
        """See ``SweepDataset``."""
        rng = sample_rng(self.config.train.seed, key)
        ref = self.sweeps[key.place]
        sweep_j = sweep_i = self.read_sweep(ref.sequence, ref.index)
        if self.config.data.partner == "window":
            sweep_j = self.read_sweep(ref.sequence, draw_partner(ref, rng))
        find_regions = functools.partial(self._method.regions, self.config)
        sample = make_sample(sweep_i, sweep_j, self.options, find_regions, rng)
        levels = len(self.config.model.encoder_widths)
        return sample if all(enough_to_train(v, levels) for v in (sample.voxels1, sample.voxels2)) else None
