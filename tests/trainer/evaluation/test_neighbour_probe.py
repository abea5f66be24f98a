import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.evaluation import probes
from iscc_lidar.trainer.evaluation.probes import LabelledVoxels, NeighbourConfig, keep_neighbours


def slow_vote(known, target, asked, config):
    """The vote for one feature, neighbour by neighbour: the votes of each class."""
    cosine = [float(np.dot(k, asked) / np.linalg.norm(k) / np.linalg.norm(asked)) for k in known]
    votes: dict[int, float] = {}
    for row in sorted(range(len(known)), key=lambda row: -cosine[row])[: config.k]:
        votes[target[row]] = votes.get(target[row], 0.0) + math.exp(cosine[row] / config.temperature)
    return votes


@given(st.integers(0, 10_000), st.integers(1, 8), st.sampled_from([0.02, 0.07, 1.0]), st.integers(1, 40))
def test_the_vote_is_that_of_counting_one_by_one(seed: int, k: int, temperature: float, at_once: int):
    rng = np.random.default_rng(seed)
    known, asked = rng.normal(size=(12, 3)), rng.normal(size=(5, 3))
    target = rng.integers(1, 4, 12)
    config = NeighbourConfig(k=k, temperature=temperature, per_class=100)
    probe = keep_neighbours(LabelledVoxels(torch.from_numpy(known), torch.from_numpy(target)), config, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "_MAX_SIMILARITIES", at_once)  # several chunks
        found = probe.predict(torch.from_numpy(asked)).tolist()
    for chosen, feature in zip(found, asked, strict=True):
        votes = slow_vote(known, target.tolist(), feature, config)
        assert votes[chosen] == pytest.approx(max(votes.values()), rel=1e-6)


def test_small_temperatures_do_not_overflow():
    labelled = LabelledVoxels(torch.eye(3), torch.tensor([1, 2, 3]))
    probe = keep_neighbours(labelled, NeighbourConfig(temperature=1e-4), seed=0)
    assert probe.predict(torch.eye(3) + 0.1).tolist() == [1, 2, 3]


def test_common_classes_are_cut_and_rare_ones_kept_whole():
    target = torch.tensor([1] * 50 + [2] * 3 + [4] * 20)
    labelled = LabelledVoxels(torch.randn(73, 4, generator=torch.Generator().manual_seed(0)), target)
    probe = keep_neighbours(labelled, NeighbourConfig(per_class=10), seed=0)
    assert torch.bincount(probe.target).tolist() == [0, 10, 3, 0, 10]
    again = keep_neighbours(labelled, NeighbourConfig(per_class=10), seed=0)
    assert torch.equal(probe.features, again.features)
    other = keep_neighbours(labelled, NeighbourConfig(per_class=10), seed=1)
    assert not torch.equal(probe.features, other.features)
    assert probe.predict(torch.zeros(0, 4)).tolist() == []
