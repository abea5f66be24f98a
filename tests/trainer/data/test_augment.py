import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.trainer.data.augment import AugmentConfig, apply_affine, augment

OFF = AugmentConfig(rotate_deg=0.0, flip=False, scale=0.0, jitter_m=0.0, drop=0.0)
N = 200


def points(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-50, 50, (N, 3)).astype(np.float32)
    return xyz, np.arange(N, dtype=np.float32), np.arange(N, dtype=np.int32)


@given(seed=st.integers(0, 10_000), rotate=st.floats(0, 180), flip=st.booleans(), scale=st.floats(0, 0.3))
def test_queries_move_exactly_with_the_points(seed, rotate, flip, scale):
    xyz, intensity, label = points(seed)
    config = AugmentConfig(rotate_deg=rotate, flip=flip, scale=scale, jitter_m=0.0, drop=0.3)
    view = augment(xyz, intensity, label, config, np.random.default_rng(seed))
    # Labels number the points, so each point kept is compared with itself taken as a query.
    np.testing.assert_array_equal(view.xyz, apply_affine(view.view_T_sensor, xyz)[view.label])


@given(seed=st.integers(0, 10_000))
def test_distances_change_by_the_scale_alone_and_up_stays_up(seed):
    xyz, intensity, label = points(seed)
    config = dataclasses.replace(AugmentConfig(), jitter_m=0.0, drop=0.0)
    view = augment(xyz, intensity, label, config, np.random.default_rng(seed))
    factor = view.view_T_sensor[2, 2]
    assert 0.95 <= factor <= 1.05
    np.testing.assert_allclose(np.linalg.norm(view.xyz, axis=1), factor * np.linalg.norm(xyz, axis=1), rtol=1e-5)
    np.testing.assert_allclose(view.xyz[:, 2], factor * xyz[:, 2], rtol=1e-5, atol=1e-6)


def test_each_switch_alone_does_its_own_thing():
    xyz, intensity, label = points(0)

    def drawn(**switch: float | bool) -> list[np.ndarray]:
        config = dataclasses.replace(OFF, **switch)
        return [augment(xyz, intensity, label, config, np.random.default_rng(s)).xyz for s in range(20)]

    assert all(np.array_equal(v, xyz) for v in drawn())
    assert all(np.allclose(np.abs(v), np.abs(xyz)) for v in drawn(flip=True))
    assert len({tuple(np.sign(v[0] / xyz[0]).astype(int)) for v in drawn(flip=True)}) == 4
    ratios = [v / xyz for v in drawn(scale=0.05)]
    assert all(np.ptp(r) < 1e-4 and abs(r.mean() - 1) <= 0.0501 for r in ratios)
    moved = np.stack([v - xyz for v in drawn(jitter_m=0.02)])
    assert np.std(moved) == pytest.approx(0.02, rel=0.05)
    assert np.abs(moved).max() <= 0.0601
    assert all(0.6 * N <= len(v) <= N for v in drawn(drop=0.2))
    assert any(len(v) < N for v in drawn(drop=0.2))


def test_the_same_seed_gives_the_same_view():
    xyz, intensity, label = points(1)
    first, again = (augment(xyz, intensity, label, AugmentConfig(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.xyz, again.xyz)
    np.testing.assert_array_equal(first.label, again.label)
