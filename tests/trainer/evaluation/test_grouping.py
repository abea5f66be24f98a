import numpy as np
import pytest

from iscc_lidar.trainer.evaluation.grouping import Clustering, cluster_by_kmeans, fit_kmeans, score_grouping
from iscc_lidar.trainer.evaluation.groups import GroupSet

NAMES = ("unlabelled", "car", "wall", "pole")


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows around three far places, of very unlike scales, and which place each is at."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 3, count)
    middle = np.array([[0, 0, 0], [900, 0, 0], [0, 0.9, 0]])
    return (middle[place] + rng.normal(0, [20, 0.02, 0.001], (count, 3))).astype(np.float32), place


def group_set(place: np.ndarray, features: np.ndarray) -> GroupSet:
    classes = np.zeros((len(place), 4), np.int64)
    classes[np.arange(len(place)), place + 1] = 10
    return GroupSet({"blobs": features}, classes, np.array([5, 30, 0, 0]))


def test_kmeans_finds_what_lies_apart_whatever_the_scale():
    features, place = blobs(300, 0)
    found = fit_kmeans(features, 3, seed=0)
    cluster = found.nearest(features)
    assert len({(c, p) for c, p in zip(cluster.tolist(), place.tolist(), strict=True)}) == 3
    again = fit_kmeans(features, 3, seed=0)
    np.testing.assert_array_equal(found.centres, again.centres)
    unseen, where = blobs(50, 1)
    assert len(set(zip(found.nearest(unseen).tolist(), where.tolist(), strict=True))) == 3


def test_kmeans_of_fewer_rows_than_clusters():
    found = fit_kmeans(np.eye(3, dtype=np.float32), 10, seed=0)
    assert len(found.centres) == 3
    assert sorted(found.nearest(np.eye(3, dtype=np.float32)).tolist()) == [0, 1, 2]


def test_perfect_clusters_score_one_among_grouped_points_and_lose_what_is_in_no_group():
    (a, at), (b, bt) = blobs(90, 0), blobs(60, 1)
    train, val = group_set(at, a), group_set(bt, b)
    clusterings = cluster_by_kmeans(train, val, 3, seed=0)
    result = score_grouping(clusterings, train, val, NAMES, "semantickitti")["blobs"]
    assert result["clusters"] == 3
    for naming in ("one_to_one", "many_to_one"):
        for source in ("val", "train"):
            scores = result[naming][source]
            assert scores["grouped"]["miou"] == 1.0
            cars = 10 * int((bt == 0).sum())
            assert scores["all"]["iou"]["car"] == pytest.approx(cars / (cars + 30))
            assert scores["all"]["accuracy"] == pytest.approx(600 / 630)


def test_names_of_the_training_cache_are_applied_to_the_scored_sweeps():
    # Cluster 0 is of cars in training and of walls where it is scored.
    none = np.zeros(4, np.int64)
    train = GroupSet({}, np.array([[0, 9, 0, 0], [0, 0, 9, 0]]), none)
    val = GroupSet({}, np.array([[0, 0, 9, 0], [0, 0, 9, 0]]), none)
    clustering = {"mine": Clustering(2, np.array([0, 1]), np.array([0, 1]))}
    result = score_grouping(clustering, train, val, NAMES, "semantickitti")["mine"]
    assert result["many_to_one"]["val"]["all"]["accuracy"] == 1.0
    assert result["one_to_one"]["val"]["all"]["accuracy"] == 0.5
    assert result["many_to_one"]["train"]["all"]["accuracy"] == 0.5
    assert result["many_to_one"]["train"]["all"]["iou"] == {"car": 0.0, "wall": 0.5, "pole": None}
