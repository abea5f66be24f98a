"""A car cut at its edges is one group; rows of two-wheelers, people and walls stay as HDBSCAN has them."""

from __future__ import annotations

import numpy as np
import pytest

from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window
from iscc_lidar.preprocess.segment.density_tree import ClusterTree, select_clusters
from iscc_lidar.preprocess.segment.whole_objects import are_whole


def box(x: float, y: float, size: tuple[float, float, float], spacing: float = 0.1, bottom: float = 0.2) -> np.ndarray:
    """Points on a grid in a box that stands at (x, y)."""
    axes = [np.arange(0, side + 1e-9, spacing) for side in size]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.add(grid, (x, y, bottom))


FRONT, SIDE = box(0, 0, (0.2, 1.6, 0.7)), box(0.6, 0, (3.4, 0.2, 0.8))
ROOF = box(1.2, 0.5, (1.8, 1.0, 0.1), bottom=1.4)


def tree_of(parts: list[np.ndarray], between: float, beyond: float) -> tuple[np.ndarray, ClusterTree]:
    """Cluster 1 of two or more parts, between which there are gaps, and cluster 2, farther away; their points."""
    other = box(30.0, 0.0, (1.0, 1.0, 2.0))
    owner = np.repeat([2, *range(3, 3 + len(parts))], [len(other), *map(len, parts)])
    parent = np.array([-1, 0, 0, *[1] * len(parts)])
    gap = np.array([np.inf, beyond, beyond, *[between] * len(parts)])
    stability = np.array([0.0, 1.0, 1.0, *[5.0] * len(parts)])
    return np.concatenate([other, *parts]), ClusterTree(parent, stability, owner, gap)


def is_whole(parts: list[np.ndarray], between: float = 0.5, beyond: float = 2.0) -> bool:
    xyz, tree = tree_of(parts, between, beyond)
    return bool(are_whole(xyz, xyz[:, 2], tree)[1])


def test_parts_of_a_car_that_stands_apart_are_one() -> None:
    assert is_whole([FRONT, SIDE, ROOF])
    turned = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert is_whole([part @ turned.T for part in (FRONT, SIDE, ROOF)])


@pytest.mark.parametrize(("between", "beyond"), [(0.5, 0.9), (1.3, 9.0), (0.6, 0.6)])
def test_parts_as_far_from_each_other_as_from_the_next_thing_are_not(between: float, beyond: float) -> None:
    assert not is_whole([FRONT, SIDE, ROOF], between, beyond)


def test_parts_close_together_are_one_also_next_to_something() -> None:
    assert is_whole([FRONT, SIDE, ROOF], 0.3, 0.4)


def test_a_truck_and_its_trailer_are_one() -> None:
    assert is_whole([box(0, 0, (2.0, 2.4, 2.6)), box(2.6, 0, (8.0, 2.4, 3.0))])
    assert not is_whole([box(0, 0, (2.0, 2.4, 2.6)), box(2.6, 0, (12.0, 2.4, 3.0))])


@pytest.mark.parametrize(
    "things",
    [
        [box(0, 0.8 * k, (1.7, 0.3, 0.9)) for k in range(3)],  # bicycles in a row
        [box(0.9 * k, 0, (0.4, 0.4, 1.6)) for k in range(3)],  # people
        [box(1.5 * k, 0, (0.4, 0.4, 1.6)) for k in range(3)],  # people who are together as long and high as a car
        [box(0, 0, (1.7, 0.3, 0.9)), box(1.5, 0.9, (0.4, 0.4, 1.6))],  # someone beside a bicycle
    ],
)
@pytest.mark.parametrize("between", [0.2, 0.5])
def test_things_side_by_side_are_not_one(things: list[np.ndarray], between: float) -> None:
    assert not is_whole(things, between)


def test_walls_and_what_is_low_are_not_one() -> None:
    assert not is_whole([box(0, 0, (9.0, 0.2, 3.0)), box(0, 6.0, (9.0, 0.2, 3.0))])
    assert not is_whole([box(0, 0, (2.0, 1.5, 0.6)), box(2.5, 0, (2.0, 1.5, 0.6))])


def test_a_whole_cluster_is_chosen_however_stable_its_parts_are() -> None:
    xyz, tree = tree_of([FRONT, SIDE, ROOF], 0.5, 2.0)
    allowed, none = np.ones(6, np.bool_), np.zeros(6, np.bool_)
    assert select_clusters(tree, allowed).tolist() == select_clusters(tree, allowed, none).tolist()
    assert select_clusters(tree, allowed).tolist() == [-1, -1, 2, 3, 4, 5]
    assert select_clusters(tree, allowed, are_whole(xyz, xyz[:, 2], tree)).tolist() == [-1, 1, 2, 1, 1, 1]
    assert select_clusters(tree, none, allowed).tolist() == [-1] * 6


def test_a_lone_car_is_one_group_unless_the_option_is_off() -> None:
    xyz = np.concatenate([FRONT, SIDE, ROOF, box(20.0, 0.0, (1.0, 1.0, 2.0)), box(-20.0, 5.0, (1.0, 1.0, 2.0))])
    car = slice(0, len(FRONT) + len(SIDE) + len(ROOF))
    sweep = np.zeros(len(xyz), np.int64)
    joined, cut = (cluster_window(xyz, sweep, xyz[:, 2], ClusteringConfig(join_parts=on)) for on in (True, False))
    assert len(np.unique(joined[car])) == 1
    assert len(np.unique(cut[car])) > 1
    assert joined.max() == 2
