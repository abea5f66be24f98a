import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.evaluation.occupancy import best_threshold, nearest_points, occupancy_probe, score
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.student import Student


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
    query = rng.uniform(-0.4, 0.4, (150, 3)).astype(np.float32)
    expected = np.sort(np.linalg.norm(query[:, None] - xyz, axis=2), axis=1)[:, [0, 1, 3, 7, 15]]
    np.testing.assert_allclose(nearest_points(query, xyz), expected, rtol=1e-5)


def test_floors_of_occupancy_are_what_they_say(cache: Cache, tiny: IsccConfig):
    torch.manual_seed(0)
    student = Student(tiny.model, tiny.heads, tiny.occupancy.decoder_hidden).eval()
    result = occupancy_probe(student, tiny, cache, cache, sweeps=6, seed=0)
    assert result["commoner class"]["balanced"] == 0.5
    # Scored where they were fitted, distances cannot do worse than the commoner class.
    assert result["distance threshold"]["accuracy"] >= result["commoner class"]["accuracy"] - 1e-9
    assert score(np.array([True, False, False]), np.array([True, True, False])) == {
        "accuracy": pytest.approx(2 / 3),
        "balanced": 0.75,
    }
