import dataclasses

import numpy as np
import pytest
import torch

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey, Share
from iscc_lidar.trainer.data.voxelize import considered
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.dataset import PairDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.samples.batch import Batch
from iscc_lidar.trainer.pretrain.samples.voxel_samples import VoxelSampleConfig
from iscc_lidar.trainer.run.loop import step_batches


def tensors(batch: Batch) -> list[torch.Tensor]:
    flat = []
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if dataclasses.is_dataclass(value):
            flat += [getattr(value, f.name) for f in dataclasses.fields(value)]
        elif isinstance(value, torch.Tensor):
            flat.append(value)
    return flat


def flat(cache: Cache, config: PretrainConfig, start: int, share: Share = Share()) -> list[Batch]:  # noqa: B008
    learner = PretrainLearner([cache], config)
    return [batch for step in step_batches(learner, start, share, torch.device("cpu")) for batch in step]


def test_processes_and_micro_batches_share_the_samples_of_a_step(cache: Cache, tiny: IsccConfig):
    four = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, batch_size=4, steps=2))
    whole = [batch.names for batch in flat(cache, four, 0)]
    parts = [[batch.names for batch in flat(cache, four, 0, Share(2, rank, 2))] for rank in (0, 1)]
    together = [a + b for a, b in zip(*parts, strict=True)]
    assert [together[0] + together[1], together[2] + together[3]] == whole


def test_worker_processes_and_a_late_start_change_nothing(cache: Cache, tiny: IsccConfig):
    with_workers = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, loader_workers=2))
    here, there, late = (flat(cache, *which) for which in ((tiny, 0), (with_workers, 0), (tiny, 4)))
    assert len(here) == tiny.train.steps
    for a, b in zip(here, there, strict=True):
        assert a.names == b.names
        assert all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))
    assert [b.names for b in late] == [b.names for b in here[4:]]
    assert all(torch.equal(x, y) for x, y in zip(tensors(late[0]), tensors(here[4]), strict=True))


def test_kept_sweeps_change_nothing_and_are_not_read_again(
    cache: Cache, tiny: IsccConfig, monkeypatch: pytest.MonkeyPatch
):
    read: list[tuple[object, ...]] = []
    sweep = Cache.sweep

    def counted(self: Cache, *of, **without):
        read.append(of[:2])
        return sweep(self, *of, **without)

    monkeypatch.setattr(Cache, "sweep", counted)
    found = []
    for kept in (0, 1000):
        config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, keep_sweeps=kept, steps=30))
        found.append((flat(cache, config, 0), read.copy()))
        read.clear()
    (afresh, every_time), (again, once) = found
    for a, b in zip(afresh, again, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))
    assert len(every_time) == 2 * 30 * tiny.train.batch_size
    assert len(once) == len(set(once)) == len(set(every_time)) < len(every_time)


def test_a_sample_pairs_two_sweeps_of_one_window(cache: Cache, tiny: IsccConfig):
    dataset = PairDataset(cache, tiny)
    for place in range(len(dataset)):
        sample = dataset[SampleKey(1, place)]
        (one, i), (other, j) = (name.split("/") for name in sample.names)
        assert one == other
        assert i != j
        assert any(w.start <= int(i) < w.stop and w.start <= int(j) < w.stop for w in cache.sequence(one).windows)


def test_groups_line_up_between_the_views(cache: Cache, tiny: IsccConfig):
    # Without rotation the same group lies at about the same place in both sweeps.
    still = dataclasses.replace(tiny.augment, rotate_deg=0.0, flip=False, scale=0.0, rotate_groups=0.0)
    config = dataclasses.replace(tiny, augment=still, voxel_samples=VoxelSampleConfig(voxels=0))
    sample = PairDataset(cache, config)[SampleKey(0, 2)]
    assert len(sample.ground) >= 10
    for group in range(len(sample.ground)):
        first, second = (
            v.xyz[m.voxel[m.group == group]].mean(axis=0)
            for v, m in ((sample.voxels1, sample.members1), (sample.voxels2, sample.members2))
        )
        assert np.linalg.norm(first - second) < 6.0  # the sensor moves a metre a sweep, and sees other sides


def test_a_batch_is_its_samples_renumbered(cache: Cache, tiny: IsccConfig, batch: Batch):
    dataset = PairDataset(cache, tiny)
    samples = [dataset[SampleKey(0, place)] for place in (0, 7)]
    first = len(samples[0].voxels1.coords)
    assert batch.scene.tolist() == [0] * len(samples[0].ground) + [1] * len(samples[1].ground)
    assert batch.ground.tolist() == [*samples[0].ground, *samples[1].ground]
    assert batch.ground.any()
    assert torch.equal(batch.view1.coords[:, 0] == 1, torch.arange(len(batch.view1.coords)) >= first)
    second = batch.query_voxel[len(samples[0].queries.occupied) :].numpy()
    np.testing.assert_array_equal(second - first, samples[1].queries.voxel)
    assert int(batch.view2.member_group.max()) + 1 == len(batch.scene)


def test_without_its_loss_occupancy_is_not_asked_about(cache: Cache, tiny: IsccConfig):
    unasked = dataclasses.replace(tiny, loss=dataclasses.replace(tiny.loss, occupancy_weight=0.0))
    asked, without = (PairDataset(cache, config)[SampleKey(0, 0)] for config in (tiny, unasked))
    assert len(asked.queries.voxel) > 0
    assert len(without.queries.voxel) == 0
    np.testing.assert_array_equal(asked.voxels1.coords, without.voxels1.coords)


def test_points_out_of_range_or_not_considered_are_not_seen(cache: Cache):
    sweep = cache.sweep("00", 0)
    label = sweep.label.copy()
    label[:100] = NOT_CONSIDERED
    keep = considered(dataclasses.replace(sweep, label=label), 10.0)
    assert not keep[:100].any()
    assert (np.linalg.norm(sweep.xyz[keep], axis=1) <= 10.0).all()
    assert keep.sum() == ((np.linalg.norm(sweep.xyz, axis=1) <= 10.0) & (label != NOT_CONSIDERED)).sum()
