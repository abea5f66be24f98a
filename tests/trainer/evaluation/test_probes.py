import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.shared.cache_reader import Cache
from iscc_lidar.shared.errors import UserError
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.crops import Crops
from iscc_lidar.trainer.data.voxelize import INPUT_CHANNELS
from iscc_lidar.trainer.evaluation.frozen import calibrate, see, spread_sweeps
from iscc_lidar.trainer.evaluation.linear_probe import class_iou, fit_logistic, linear_probe, semantic
from iscc_lidar.trainer.evaluation.occupancy_probe import best_threshold, nearest_points, occupancy_probe, score
from iscc_lidar.trainer.model.student import Student


class Raw(torch.nn.Module):
    """Features that are the input: what a probe scores without any network."""

    def forward(self, bxyz: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
        return feats


class Oracle(Raw):
    """Features from which the classes can be read off: the true class of each point by its place."""

    def forward(self, bxyz: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
        ground = (feats[:, 2] < -1.6 / 3).float()
        return torch.stack([ground, 1 - ground], dim=1)


def test_probe_scores_what_the_features_hold(cache: Cache, tiny: PretrainConfig):
    few, every = spread_sweeps(cache, 4, seed=0), spread_sweeps(cache, 0, seed=0)
    iou = linear_probe(Oracle(), tiny, cache, few, cache, every)
    assert iou["ground"] > 0.9
    assert iou["pole"] == 0.0  # nothing tells poles from the larger classes
    assert set(iou) == {"car", "wall", "pole", "ground", "mIoU"}
    raw = linear_probe(Raw(), tiny, cache, few, cache, every)
    assert raw["mIoU"] == pytest.approx(np.mean([raw[n] for n in ("car", "wall", "pole", "ground")]))
    assert raw["mIoU"] > iou["mIoU"]


def test_iou_against_counting_by_hand():
    truth = np.array([1, 1, 1, 2, 2, 0, 0, 4])
    predicted = np.array([1, 1, 2, 2, 0, 1, 2, 3])
    counts = np.zeros((5, 5), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    # Unlabelled truth is left out; a point predicted 0 is a miss; class 3 never occurs.
    assert class_iou(counts) == {1: 2 / 3, 2: 1 / 3, 4: 0.0}


def test_a_cache_without_classes_is_refused(cache: Cache):
    sweep = dataclasses.replace(cache.sweep("00", 0), semantic=None)
    with pytest.raises(UserError, match="no semantic classes"):
        semantic(sweep)


def test_logistic_regression_separates_what_is_separable():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > x[:, 1]).long()
    assert float((fit_logistic(x, y, 2)(x).argmax(dim=1) == y).float().mean()) > 0.98


def test_sweeps_are_spread_over_the_whole_cache(cache: Cache):
    picked = spread_sweeps(cache, 4, seed=0)
    assert [name for name, _ in picked] == ["00", "00", "01", "01"]
    assert picked == spread_sweeps(cache, 4, seed=0)
    assert len(spread_sweeps(cache, 0, seed=0)) == 12


def test_calibration_sets_statistics_to_the_mean_over_sweeps(cache: Cache, tiny: PretrainConfig):
    norm = torch.nn.BatchNorm1d(INPUT_CHANNELS)
    encoder = Raw()
    encoder.norm = norm
    encoder.forward = lambda bxyz, feats: norm(feats)  # type: ignore[method-assign]
    seen = [see(cache.sweep("00", n), tiny) for n in range(3)]
    norm.running_mean += 100
    calibrate(encoder, seen)
    expected = np.mean([v.feats.mean(axis=0) for v in seen], axis=0)
    np.testing.assert_allclose(norm.running_mean.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), min_size=1, max_size=12))
def test_the_best_threshold_beats_every_other(answers):
    distance = np.array([d for d, _ in answers])
    occupied = np.array([o for _, o in answers])
    limit, below = best_threshold(distance, occupied)
    reached = np.mean(((distance <= limit) == below) == occupied)
    tried = [np.mean(((distance <= t) == side) == occupied) for t in (-1.0, *distance) for side in (True, False)]
    assert reached == pytest.approx(max(tried))


def test_nearest_points_by_rank():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-2, 2, (500, 3)).astype(np.float32)
    query = rng.uniform(-0.4, 0.4, (6, 3)).astype(np.float32)
    crops = Crops(
        np.zeros((1, 3), np.float32),
        np.ones(1, np.float32),
        np.ones(500, bool),
        query,
        np.zeros(6, bool),
        np.zeros(6, np.int64),
    )
    expected = np.sort(np.linalg.norm(query[:, None] - xyz, axis=2), axis=1)[:, [0, 1, 3, 7, 15]]
    np.testing.assert_allclose(nearest_points(crops, xyz), expected, rtol=1e-5)


def test_floors_of_occupancy_are_what_they_say(cache: Cache, tiny: PretrainConfig):
    torch.manual_seed(0)
    student = Student(tiny.model, tiny.heads).eval()
    result = occupancy_probe(student, tiny, cache, cache, sweeps=6, seed=0)
    assert result["commoner class"]["balanced"] == 0.5
    # Scored where they were fitted, distances cannot do worse than the commoner class.
    assert result["distance threshold"]["accuracy"] >= result["commoner class"]["accuracy"] - 1e-9
    assert score(np.array([True, False, False]), np.array([True, True, False])) == {
        "accuracy": pytest.approx(2 / 3),
        "balanced": 0.75,
    }
