"""Mixing two sweeps by inclination."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from iscc_lidar.shared.base.config import resolve
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.lasermix import MixConfig, Points, lasermix
from iscc_lidar.trainer.finetune.semseg.samples import LabelledDataset


def sweep(points: int, sweep: int, seed: int) -> Points:
    """Points whose label is 1000 x the sweep + their row."""
    xyz = np.random.default_rng(seed).normal(0, [20, 20, 3], (points, 3)).astype(np.float32)
    return xyz, np.full(points, sweep, np.float32), (1000 * sweep + np.arange(points)).astype(np.int32)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_intervals_come_in_turns_and_points_keep_what_belongs_to_them(a: int, b: int, bands: int, seed: int) -> None:
    first, second = sweep(a, 0, seed), sweep(b, 1, seed + 1)
    mixed = lasermix(first, second, MixConfig(1.0, bands, bands), np.random.default_rng(seed))
    xyz, intensity, label = mixed
    assert len(xyz) == len(intensity) == len(label) == len(set(label.tolist()))
    sources = (first, second)
    angles = [np.degrees(np.arctan2(x[:, 2], np.hypot(x[:, 0], x[:, 1]))) for x, _, _ in sources]
    everything = np.concatenate(angles)
    kept = {0: set(), 1: set()}  # type: dict[int, set[int]]
    for k in range(len(label)):
        of, row = divmod(int(label[k]), 1000)
        np.testing.assert_array_equal(xyz[k], sources[of][0][row])
        assert intensity[k] == of
        low, width = everything.min(), max(float(np.ptp(everything)), 1e-4) / bands
        kept[of].add(min(int((angles[of][row] - low) / width + 1e-3), bands - 1) % 2)
    if a > 20 and b > 20:
        assert kept[0] != kept[1] or max(map(len, kept.values())) == 2  # borders are rounded
    # What one sweep lacks, the other has: all intervals are taken from one of them.
    assert len(label) <= a + b


def test_mixed_samples_have_points_of_two_sweeps(cache_path: Path, tuning: SemsegConfig) -> None:
    cache, places = Cache(cache_path), [("00", 0), ("01", 3)]
    alone = LabelledDataset(cache, places, tuning)
    mixing = LabelledDataset(cache, places, dataclasses.replace(tuning, mix=MixConfig(1.0)))
    keys = [SampleKey(epoch, 0) for epoch in range(6)]
    plain, mixed = [alone.make(key) for key in keys], [mixing.make(key) for key in keys]
    assert all(sample is not None for sample in plain + mixed)
    assert any(len(a.target) != len(b.target) for a, b in zip(plain, mixed, strict=True) if a and b)
    for key, sample in zip(keys, mixed, strict=True):
        again = mixing.make(key)
        assert again is not None
        assert sample is not None
        np.testing.assert_array_equal(again.target, sample.target)


def test_intervals_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mix\.most_bands must be at least mix\.least_bands"):
        MixConfig(0.5, 6, 3)
    assert resolve(SemsegConfig, None, []).mix.probability == 0
