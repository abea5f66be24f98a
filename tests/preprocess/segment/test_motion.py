import numpy as np
import pytest

from iscc_lidar.preprocess.segment.motion import MotionConfig, moving_groups

CONFIG = MotionConfig()


def window(
    position: np.ndarray, length: np.ndarray | float = 4.0, n: int = 80, angle: float = 0.7, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A box that begins at ``position[k]`` and is ``length[k]`` long in sweep k, along a tilted street."""
    rng = np.random.default_rng(seed)
    sweeps = len(position)
    sweep = np.repeat(np.arange(sweeps), n)
    along = rng.random(sweeps * n) * np.broadcast_to(length, sweeps)[sweep] + position[sweep]
    across, z = rng.random((2, sweeps * n)) * 1.8
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.column_stack([np.stack([along, across], axis=1) @ turn + [5000.0, -3000.0], z]), sweep


def call(xyz: np.ndarray, sweep: np.ndarray, config: MotionConfig = CONFIG) -> list[bool]:
    return moving_groups(xyz, sweep, np.zeros(len(xyz), dtype=np.int32), config).tolist()


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, -1.5])
@pytest.mark.parametrize("step", [0.1, 0.8])
def test_a_shifting_box_moves_and_a_still_one_does_not(angle: float, step: float) -> None:
    assert call(*window(np.arange(12) * step, angle=angle)) == [True]
    assert call(*window(np.arange(12) * -step, angle=angle)) == [True]
    assert call(*window(np.zeros(12), angle=angle)) == [False]


def test_one_end_that_comes_into_view_is_no_motion() -> None:
    growing = np.linspace(1.0, 5.0, 12)
    assert call(*window(np.zeros(12), growing)) == [False]
    assert call(*window(-growing, growing)) == [False]


def test_ends_that_move_unevenly_are_no_motion() -> None:
    begin = np.linspace(0.0, 1.0, 12)
    assert call(*window(begin, 2.0 + 6 * begin)) == [False]
    assert call(*window(begin, 2.0 + 6 * begin), MotionConfig(min_rigidity=0.0)) == [True]


def test_what_is_too_wide_too_short_seen_or_too_thin_is_static() -> None:
    assert call(*window(np.arange(12) * 1.0, 30.0)) == [False]
    assert call(*window(np.arange(2) * 1.0)) == [False]
    assert call(*window(np.arange(12) * 1.0, n=3)) == [False]


def test_groups_do_not_touch_each_other_and_noise_is_ignored() -> None:
    moving, sweep = window(np.arange(12) * 0.5)
    still, _ = window(np.zeros(12), seed=1)
    noise, _ = window(np.arange(12) * 2.0, seed=2)
    group = np.repeat(np.array([1, 0, -1], dtype=np.int32), len(sweep))
    xyz, sweeps = np.concatenate([moving, still, noise]), np.tile(sweep, 3)
    order = np.random.default_rng(5).permutation(len(group))
    assert moving_groups(xyz[order], sweeps[order], group[order], CONFIG).tolist() == [False, True]


def test_nothing_in_nothing_out() -> None:
    empty = np.zeros(0, dtype=np.int32)
    assert len(moving_groups(np.zeros((0, 3)), empty, empty, CONFIG)) == 0
    assert len(moving_groups(np.zeros((4, 3)), np.zeros(4, np.int32), np.full(4, -1, np.int32), CONFIG)) == 0
