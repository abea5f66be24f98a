import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.pairs import SampleKey, Share
from iscc_lidar.trainer.data.places import Place
from iscc_lidar.trainer.data.voxelize import voxelize
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.samples import LabelledBatch, LabelledDataset, majority_class
from iscc_lidar.trainer.run.loop import step_batches


def learner_of(cache: Cache, places: list[Place], config: SemsegConfig, steps: int) -> SemsegLearner:
    train = dataclasses.replace(config.train, steps=steps)
    return SemsegLearner(cache, places, dataclasses.replace(config, train=train))


def steps(learner: SemsegLearner, start: int = 0, share: Share | None = None) -> list[LabelledBatch]:
    return [step[0] for step in step_batches(learner, start, share or Share(), torch.device("cpu"))]


@given(st.integers(0, 2**32 - 1))
def test_a_voxels_class_is_that_of_most_of_its_labelled_points(seed: int):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(0, 3, (60, 3)).astype(np.float32)
    truth = rng.integers(0, 4, 60).astype(np.int32)
    voxels = voxelize(xyz, np.zeros(60, np.float32), 1.0)
    target = majority_class(truth, voxels, 4)
    for voxel in range(len(voxels.coords)):
        counts = Counter(c for c in truth[voxels.of_point == voxel].tolist() if c > 0)
        best = min((c for c in counts if counts[c] == max(counts.values())), default=0)
        assert target[voxel] == best


def test_a_key_gives_the_same_sample_in_worker_processes_and_after_a_start_in_the_middle(
    cache: Cache, tuning: SemsegConfig
):
    learner = learner_of(cache, [("00", 1), ("01", 4), ("01", 5)], tuning, 5)
    here, later = steps(learner), steps(learner, 2)
    assert len(here) == 5
    for one, other in zip(here[2:], later, strict=True):
        assert torch.equal(one.coords, other.coords)
        assert torch.equal(one.feats, other.feats)
        assert torch.equal(one.target, other.target)
    assert not torch.equal(here[0].feats[:50], here[1].feats[:50])


def test_the_target_keeps_to_the_classes_of_the_augmented_points(cache: Cache, tuning: SemsegConfig):
    dataset = LabelledDataset(cache, [("00", 0)], tuning)
    sample = dataset[SampleKey(0, 0)]
    assert len(sample.target) == len(sample.voxels.coords)
    assert set(np.unique(sample.target).tolist()) == {1, 2, 3, 4}
    # Whatever the rotation, ground (4) is what lies lowest.
    low = sample.voxels.xyz[:, 2] < -1.6
    assert (sample.target[low] == 4).mean() > 0.9


def test_the_dataset_can_be_handed_to_another_process(cache: Cache, tuning: SemsegConfig):
    import pickle

    dataset = LabelledDataset(cache, [("00", 0)], tuning)
    first = dataset[SampleKey(0, 0)]
    again = pickle.loads(pickle.dumps(dataset))[SampleKey(0, 0)]  # noqa: S301
    assert np.array_equal(first.target, again.target)


@pytest.mark.parametrize("world", [1, 2])
def test_ranks_share_a_step_without_overlap(cache: Cache, tuning: SemsegConfig, world: int):
    learner = learner_of(cache, [("00", i) for i in range(6)], tuning, 2)
    parts = [steps(learner, share=Share(1, rank, world)) for rank in range(world)]
    whole = steps(learner)
    for step, batch in enumerate(whole):
        assert sum(len(part[step].coords) for part in parts) == len(batch.coords)
        assert torch.equal(torch.cat([part[step].target for part in parts]), batch.target)
