"""A car cut at its edges is one group; rows of two-wheelers, people and walls stay as HDBSCAN has them."""

from __future__ import annotations

import numpy as np
import pytest

from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window
from iscc_lidar.preprocess.segment.density_tree import cluster_tree, select_clusters
from iscc_lidar.preprocess.segment.whole_objects import are_whole


def box(x: float, y: float, size: tuple[float, float, float], spacing: float = 0.1, bottom: float = 0.2) -> np.ndarray:
    """Points on a grid in a box that stands at (x, y)."""
    axes = [np.arange(0, side + 1e-9, spacing) for side in size]
    return np.add(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), (x, y, bottom))


def groups(*parts: np.ndarray, join: bool = True) -> list[int]:
    """The main group of each part."""
    xyz = np.concatenate(parts)
    config = ClusteringConfig(join_parts=join)
    label = cluster_window(xyz, np.zeros(len(xyz), np.int64), xyz[:, 2], config)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [int(np.bincount(own[own >= 0], minlength=1).argmax()) for own in np.split(label, ends)]


def car(x: float, y: float) -> tuple[np.ndarray, ...]:
    """Front, side and roof of a car, with gaps between them."""
    front, side = box(x, y, (0.2, 1.6, 0.7)), box(x + 0.6, y, (3.4, 0.2, 0.8))
    return front, side, box(x + 1.2, y + 0.5, (1.8, 1.0, 0.1), bottom=1.4)


def test_parts_of_a_car_are_one_group() -> None:
    apart = [box(20.0, 0.0, (1.0, 1.0, 2.0)), box(-20.0, 5.0, (1.0, 1.0, 2.0))]
    assert len(set(groups(*car(0, 0), *apart, join=False)[:3])) > 1
    found = groups(*car(0, 0), *apart)
    assert len(set(found[:3])) == 1
    assert len(set(found)) == 3


def test_two_cars_are_two() -> None:
    found = groups(*car(0, 0), *car(0, 3.5), *car(6.0, 0))
    assert [len(set(found[k : k + 3])) for k in (0, 3, 6)] == [1, 1, 1]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    "things",
    [
        [box(0, 0.8 * k, (1.7, 0.3, 0.9)) for k in range(3)],  # bicycles in a row
        [box(0.9 * k, 0, (0.4, 0.4, 1.6)) for k in range(3)],  # people
        [box(1.5 * k, 0, (0.4, 0.4, 1.6)) for k in range(3)],  # people who are as long and high as a car
        [box(0, 0, (1.7, 0.3, 0.9)), box(0.2, 0.9, (0.4, 0.4, 1.6))],  # someone beside a bicycle
    ],
)
def test_things_side_by_side_stay_apart(things: list[np.ndarray]) -> None:
    beyond = box(30.0, 0.0, (1.0, 1.0, 2.0))
    assert groups(*things, beyond) == groups(*things, beyond, join=False)
    assert len(set(groups(*things, beyond))) == len(things) + 1


def test_a_wall_is_not_whole() -> None:
    xyz = np.concatenate([box(0, 0, (9.0, 0.2, 3.0)), box(0, 6.0, (9.0, 0.2, 3.0)), box(9.4, 0, (9.0, 0.2, 6.0))])
    tree = cluster_tree(xyz, 20, 5, "c")
    whole = are_whole(xyz, xyz[:, 2], tree)
    size = np.bincount(tree.owner, minlength=len(tree.parent))
    assert not whole[size > 1000].any()


def test_whole_clusters_are_chosen_however_stable_their_parts_are() -> None:
    xyz = np.concatenate([*car(0, 0), box(20.0, 0.0, (1.0, 1.0, 2.0))])
    tree = cluster_tree(xyz, 20, 5, "c")
    allowed = np.ones(len(tree.parent), np.bool_)
    none = select_clusters(tree, allowed, np.zeros(len(tree.parent), np.bool_))
    assert np.array_equal(none, select_clusters(tree, allowed))
    every = select_clusters(tree, allowed, allowed)
    assert set(every[1:].tolist()) == set(np.flatnonzero(tree.parent == 0).tolist())
