"""Pre-training on several caches at once."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.joined import JoinedCaches
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.data.places import point_counts
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.report.options import repeat_command
from iscc_lidar.trainer.run.run import open_run


def test_sweeps_of_all_caches_are_drawn_and_paired_within_their_own(
    cache: Cache, other_cache_path: Path, tiny: IsccConfig
) -> None:
    other = Cache(other_cache_path)
    dataset = PairDataset(JoinedCaches([cache, other, other]), tiny)
    alone = PairDataset(cache, tiny)
    assert len(dataset) == len(alone) + 2 * len(PairDataset(other, tiny))
    per_cache = Counter(sequence.partition(":")[0] for sequence, _ in dataset.places)
    assert per_cache == {"0": len(alone), "1": len(dataset.places[len(alone) :]) / 2, "2": per_cache["1"]}
    for place in range(len(dataset)):
        sequence, index = dataset.places[place]
        number, own = sequence.split(":")
        expected = (cache, other, other)[int(number)].sweep(own, index)
        name, partner = dataset[SampleKey(0, place)].names
        assert name == f"{own}/{expected.name}"
        assert partner.split("/")[0] == own
    for place, count in zip(dataset.places, point_counts(dataset.source, dataset.places), strict=True):
        assert len(dataset.source.sweep(*place).xyz) >= count > 0


def test_a_single_cache_gives_the_same_samples_as_ever(cache: Cache, tiny: IsccConfig) -> None:
    joined, plain = PairDataset(JoinedCaches([cache]), tiny), PairDataset(cache, tiny)
    assert joined.places == plain.places
    assert all(":" not in sequence for sequence, _ in joined.places)
    with pytest.raises(ValueError, match="at least one"):
        JoinedCaches([])


def test_a_run_records_all_caches_and_goes_on_only_with_the_same(
    cache_path: Path, other_cache_path: Path, tiny: IsccConfig, tmp_path: Path
) -> None:
    out, both = tmp_path / "run", [cache_path, other_cache_path]
    assert pretrain(both, out, tiny)
    provenance = json.loads((out / "config.json").read_text())["provenance"]
    assert [provenance[name] for name in ("cache", "cache_2")] == [str(path) for path in both]
    digests = [provenance[f"{name}_manifest_sha256"] for name in ("cache", "cache_2")]
    assert digests == [Cache(path).digest for path in both]
    again = repeat_command(open_run(out), ["quick"], [])
    assert f"--cache {cache_path} --cache {other_cache_path} --out" in again
    assert provenance["dataset"] == Cache(cache_path).manifest.dataset
    longer = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, seed=tiny.train.seed))
    assert not pretrain(both, out, longer, resume=True)
    with pytest.raises(UserError, match="another cache_2"):
        pretrain([cache_path, cache_path], out, tiny, resume=True)
    with pytest.raises(UserError, match=rf"one input more \(cache_2, {other_cache_path}\)"):
        pretrain([cache_path], out, tiny, resume=True)
