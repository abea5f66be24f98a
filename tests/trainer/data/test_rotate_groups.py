import math

import numpy as np
import pytest

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.augment import rotate_groups


@pytest.fixture(scope="module")
def sweep(cache: Cache) -> CachedSweep:
    return cache.sweep("00", 2)


def angles_by_loop(before: np.ndarray, after: np.ndarray) -> list[float]:
    """By how much each point was turned about the z axis, radians, from 0 to 2 pi."""
    turned = []
    for (x0, y0, _), (x1, y1, _) in zip(before, after, strict=True):
        turned.append((math.atan2(y1, x1) - math.atan2(y0, x0)) % (2 * math.pi))
    return turned


def test_a_group_and_its_queries_turn_by_one_angle_about_the_sensor(sweep: CachedSweep):
    turned = rotate_groups(sweep, 1.0, np.random.default_rng(0))
    found = []
    for group in np.unique(sweep.label[sweep.label >= 0]):
        of, asked = sweep.label == group, sweep.queries.group == group
        angles = angles_by_loop(
            np.concatenate([sweep.xyz[of], sweep.queries.xyz[asked]]),
            np.concatenate([turned.xyz[of], turned.queries.xyz[asked]]),
        )
        direction = np.exp(1j * np.array(angles))
        assert np.abs(direction - direction[0]).max() < 1e-4
        found.append(angles[0])
    assert np.ptp(found) > 1
    assert np.diff(sorted(found)).min() > 1e-3


def test_heights_and_distances_stay(sweep: CachedSweep):
    turned = rotate_groups(sweep, 1.0, np.random.default_rng(0))
    for before, after in ((sweep.xyz, turned.xyz), (sweep.queries.xyz, turned.queries.xyz)):
        assert after.dtype == np.float32
        np.testing.assert_array_equal(after[:, 2], before[:, 2])
        np.testing.assert_allclose(np.hypot(*after.T[:2]), np.hypot(*before.T[:2]), rtol=1e-5)


def test_what_is_in_no_group_stays_and_so_does_the_sweep_given(sweep: CachedSweep):
    before = sweep.xyz.copy()
    turned = rotate_groups(sweep, 1.0, np.random.default_rng(0))
    loose = sweep.label < 0
    assert {GROUND, NOISE} & set(np.unique(sweep.label).tolist())
    np.testing.assert_array_equal(turned.xyz[loose], sweep.xyz[loose])
    np.testing.assert_array_equal(sweep.xyz, before)
    np.testing.assert_array_equal(turned.label, sweep.label)


def test_the_share_of_groups_is_turned(sweep: CachedSweep):
    groups = np.unique(sweep.label[sweep.label >= 0])
    first = [np.flatnonzero(sweep.label == group)[0] for group in groups]
    moved = [
        (rotate_groups(sweep, 0.3, np.random.default_rng(seed)).xyz[first] != sweep.xyz[first]).any(axis=1).mean()
        for seed in range(200)
    ]
    assert np.mean(moved) == pytest.approx(0.3, abs=0.03)


def test_a_share_of_none_draws_nothing(sweep: CachedSweep):
    rng = np.random.default_rng(0)
    assert rotate_groups(sweep, 0.0, rng) is sweep
    assert rng.random() == np.random.default_rng(0).random()
