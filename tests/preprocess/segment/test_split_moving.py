"""Things that move differently become separate groups, others stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from things import CAR, RIDER, stack

from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window
from iscc_lidar.preprocess.segment.displacement import MovingGroups
from iscc_lidar.preprocess.segment.split_moving import split_moving


def split(xyz: np.ndarray, sweep: np.ndarray, group: np.ndarray | None = None) -> MovingGroups:
    ids = np.zeros(len(xyz), np.int32) if group is None else group.astype(np.int32)
    return split_moving(xyz, sweep, np.full(len(xyz), 10.0), ids)


def purity(group: np.ndarray, truth: np.ndarray) -> float:
    """Share of points in the group that most of their thing are in, where every thing has one of its own."""
    main = [np.bincount(group[truth == k]).argmax() for k in np.unique(truth)]
    assert len(set(main)) == len(main), "two things are one group"
    return float(np.mean(group == np.array(main)[truth]))


@pytest.mark.parametrize(
    "things",
    [
        [((0, 0), (1, 0), CAR), ((7, 0), (1, 0), CAR)],  # one behind the other, into its trail
        [((0, 0), (1, 0), CAR), ((2, 2.4), (0.5, 0), RIDER)],  # past a rider
        [((0, 0), (0.4, 0.0), RIDER), ((3, 0), (0.4, 0.0), RIDER), ((6, 0), (0.4, 0.0), RIDER)],
        [((0, 0), (0.8, 0), CAR), ((4, 2.2), (0, 0), CAR)],  # past a parked one
        [((0, 0), (0.14, 0), (0.5, 0.5, 1.7)), ((2.5, 0.6), (-0.14, 0), (0.5, 0.5, 1.7))],  # two who meet
    ],
)
def test_what_moves_differently_is_apart(things: list) -> None:
    xyz, sweep, truth = stack(*things)
    found = split(xyz, sweep)
    assert purity(found.group, truth) > 0.85
    main = np.bincount(found.group[truth == 0]).argmax()
    np.testing.assert_allclose(found.velocity[main], things[0][1], atol=0.05)


@pytest.mark.parametrize(
    "things",
    [
        [((0, 0), (1, 0), CAR)],
        [((0, 0), (0.14, 0), (0.5, 0.5, 1.7))],
        [((0, 0), (0, 0), CAR), ((4.6, 0), (0, 0), CAR)],  # parked; touching is another step's
        [((0, 0), (0, 0), (12, 3, 3))],
    ],
)
def test_one_thing_and_what_stands_stay_as_they_are(things: list) -> None:
    xyz, sweep, _ = stack(*things)
    assert (split(xyz, sweep).group == 0).all()


def test_a_parked_car_that_comes_into_view_does_not_move() -> None:
    xyz, sweep, _ = stack(((0, 0), (0, 0), CAR))
    seen = xyz[:, 0] > 3.5 - 0.3 * sweep  # its front first, then more and more of it
    found = split(xyz[seen], sweep[seen])
    assert (found.group == 0).all()
    assert not found.velocity.any()


def test_ids_stay_dense_and_noise_stays_noise() -> None:
    xyz, sweep, truth = stack(
        ((50, 0), (0, 0), CAR), ((0, 0), (1, 0), CAR), ((7, 0), (1, 0), CAR), ((90, 0), (0, 0), CAR)
    )
    group = np.array([0, 1, 1, -1])[truth]
    found = split(xyz, sweep, group)
    assert (found.group[truth == 0] == 0).all()
    assert (found.group[truth == 3] == -1).all()
    assert sorted(np.unique(found.group).tolist()) == [-1, 0, 1, 2]
    assert found.velocity.shape == (3, 2)


def test_nothing_in_nothing_out() -> None:
    found = split(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert found.group.shape == (0,)
    assert found.velocity.shape == (0, 2)
    alone = split(np.zeros((5, 3)), np.zeros(5, np.int64), np.full(5, -1))
    assert (alone.group == -1).all()


def test_the_clusters_of_a_stack_need_it() -> None:
    xyz, sweep, truth = stack(((0, 0), (1, 0), CAR), ((7, 0), (1, 0), CAR))
    group = cluster_window(xyz, sweep, xyz[:, 2], ClusteringConfig())
    main = [np.bincount(group[(truth == car) & (group >= 0)]).argmax() for car in (0, 1)]
    assert main[0] == main[1]
