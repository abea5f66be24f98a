"""What each sweep sees where no other does becomes one group; what stands, or fits nowhere, stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from things import CAR, SWEEPS, stack

from iscc_lidar.preprocess.segment.displacement import MovingGroups, moved_back
from iscc_lidar.preprocess.segment.join_trails import join_trails


def join(xyz: np.ndarray, sweep: np.ndarray, group: np.ndarray) -> MovingGroups:
    before = MovingGroups(group.astype(np.int32), np.zeros((int(group.max(initial=-1)) + 1, 2)))
    return join_trails(xyz, sweep, np.full(len(xyz), 60.0), before)


@pytest.mark.parametrize("step", [(1.5, 0.0), (-1.4, 0.2), (0.0, 3.0)])
def test_slices_of_a_fast_car_become_one_group_that_moves(step: tuple[float, float]) -> None:
    xyz, sweep, _ = stack(((0.0, 0.0), step, (0.6, 1.8, 1.5)), points=40)
    found = join(xyz, sweep, sweep)
    assert np.mean(found.group == np.bincount(found.group).argmax()) > 0.95
    assert found.velocity[np.bincount(found.group).argmax()] == pytest.approx(step, abs=0.05)
    assert np.ptp(moved_back(xyz, sweep, found), axis=0) == pytest.approx((0.6, 1.8, 1.5), abs=0.7)


def test_noise_on_a_trail_joins_it_and_ids_are_dense() -> None:
    xyz, sweep, _ = stack(((0.0, 0.0), (1.5, 0.0), CAR), points=40)
    group = np.where(sweep % 3 == 0, -1, sweep)
    found = join(xyz, sweep, group)
    assert np.mean(found.group == 0) > 0.95
    assert set(np.unique(found.group[found.group >= 0])) == set(range(len(found.velocity)))


def test_two_cars_in_a_row_are_two() -> None:
    xyz, sweep, truth = stack(((0.0, 0.0), (1.5, 0.0), CAR), ((9.0, 0.0), (1.5, 0.0), CAR), points=60)
    found = join(xyz, sweep, sweep * 2 + truth)
    first, second = (np.bincount(found.group[truth == k]).argmax() for k in (0, 1))
    assert first != second
    assert np.mean(found.group == np.where(truth == 0, first, second)) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_scattered_noise_is_no_thing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz, sweep = rng.random((600, 3)) * (20, 8, 3), rng.integers(0, SWEEPS, 600)
    found = join(xyz, sweep, np.full(600, -1))
    assert len(found.velocity) == 0
    assert (found.group == -1).all()


def test_what_stands_and_what_hardly_rises_from_the_road_stay_as_they_are() -> None:
    standing, when, _ = stack(((0.0, 0.0), (0.0, 0.0), CAR))
    ring, ring_when, _ = stack(((40.0, 0.0), (1.0, 0.0), (0.4, 3.0, 0.2)), points=40)
    xyz, sweep = np.concatenate([standing, ring]), np.concatenate([when, ring_when])
    group = np.concatenate([np.zeros(len(when), int), np.full(len(ring_when), -1)])
    found = join(xyz, sweep, group)
    assert np.array_equal(found.group, group)


@pytest.mark.parametrize("points", [0, 1])
def test_hardly_any_points_are_no_thing(points: int) -> None:
    found = join(np.zeros((points, 3)), np.zeros(points, int), np.full(points, -1))
    assert len(found.velocity) == 0


def test_order_of_points_does_not_matter() -> None:
    xyz, sweep, _ = stack(((0.0, 0.0), (1.5, 0.0), CAR), points=40)
    order = np.random.default_rng(0).permutation(len(xyz))
    one, other = join(xyz, sweep, sweep), join(xyz[order], sweep[order], sweep[order])
    assert np.array_equal(one.group[order], other.group)
