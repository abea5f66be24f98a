"""Names of clusters against trying all of them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iscc_lidar.trainer.evaluation.grouping import name_by_majority, name_one_to_one, named_confusion
from iscc_lidar.trainer.evaluation.scores import score

NAMES = ("unlabelled", "car", "wall", "pole")
TABLES = arrays(np.int64, st.tuples(st.integers(2, 5), st.just(4)), elements=st.integers(0, 9)).filter(
    lambda table: bool(table[:, 1:].any())
)


def miou(table, names):
    return score(named_confusion(table, names), NAMES, "semantickitti").miou


@given(TABLES)
def test_no_one_to_one_naming_scores_higher(table):
    names = name_one_to_one(table)
    used = names[names > 0]
    assert len(set(used.tolist())) == len(used)
    assert names[0] == 0
    clusters = len(table) - 1
    best = 0.0
    for order in set(permutations([1, 2, 3] + [0] * clusters, clusters)):
        best = max(best, miou(table, np.array([0, *order])))
    assert miou(table, names) == pytest.approx(best)


@given(TABLES)
def test_no_naming_gets_more_points_right_than_the_majority(table):
    names = name_by_majority(table)
    assert names[0] == 0
    counts = named_confusion(table, names)
    assert counts.diagonal()[1:].sum() == table[1:, 1:].max(axis=1, initial=0).sum()
    # Confusion keeps every point.
    np.testing.assert_array_equal(counts.sum(axis=1), table.sum(axis=0))


def test_by_hand():
    # Four clusters for three classes; two of them are of cars.
    table = np.array([[0, 0, 5, 0], [0, 6, 0, 0], [9, 4, 0, 0], [0, 1, 5, 2], [7, 0, 0, 0]])
    assert name_one_to_one(table).tolist() == [0, 1, 3, 2, 0] or name_one_to_one(table).tolist() == [0, 1, 0, 2, 0]
    assert name_by_majority(table).tolist() == [0, 1, 1, 2, 0]
    counts = named_confusion(table, np.array([0, 1, 1, 2, 0]))
    assert counts.tolist() == [[7, 9, 0, 0], [0, 10, 1, 0], [5, 0, 5, 0], [0, 0, 2, 0]]


def test_clusters_without_a_labelled_point_and_fewer_clusters_than_classes():
    table = np.array([[0, 0, 0, 0], [8, 0, 0, 0], [0, 0, 3, 0]])
    assert name_one_to_one(table).tolist() == [0, 0, 2]
    assert name_by_majority(table).tolist() == [0, 0, 2]
