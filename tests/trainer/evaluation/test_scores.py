"""Scores against torchmetrics, against counting point by point, and by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.layout import find_layout
from iscc_lidar.trainer.evaluation.scores import count_confusion, score, semantic

SEMANTICKITTI_NAMES = find_layout("semantickitti").class_names
NAMES = ("unlabelled", "car", "road", "person", "pole")
PAIRS = arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 60)), elements=st.integers(0, 4))


def score_of(truth, predicted, dataset):
    return score(count_confusion(np.array(truth), np.array(predicted), len(NAMES)), NAMES, dataset)


def slow_iou(truth, predicted):
    """IoU of each class, point by point, straight from its definition."""
    iou = {}
    for c, name in enumerate(NAMES[1:], start=1):
        both = either = 0
        for t, p in zip(truth.tolist(), predicted.tolist(), strict=True):
            if t == 0:
                continue
            both += t == c and p == c
            either += c in (t, p)
        iou[name] = both / either if either else None
    return iou


@given(PAIRS)
def test_iou_is_that_of_counting_point_by_point(pairs):
    truth, predicted = pairs
    if not truth.any():
        with pytest.raises(UserError, match="no point of the sweeps"):
            score_of(truth, predicted, "nuscenes")
        return
    found, expected = score_of(truth, predicted, "nuscenes"), slow_iou(truth, predicted)
    assert found.iou == pytest.approx(expected)
    assert found.accuracy == pytest.approx(np.mean((truth == predicted)[truth > 0]))
    in_truth = [expected[name] for c, name in enumerate(NAMES) if c > 0 and (truth == c).any()]
    assert found.miou_occurring == pytest.approx(np.mean(in_truth))
    occurring = [value for value in expected.values() if value is not None]
    assert found.miou == pytest.approx(np.mean(occurring))
    for dataset, value in (("semantickitti", 0), ("synthetic", 0), ("waymo", 1)):
        filled = occurring + [value] * (4 - len(occurring))
        assert score_of(truth, predicted, dataset).miou == pytest.approx(np.mean(filled))


@given(PAIRS)
def test_counts_add_up_over_sweeps_and_do_not_depend_on_order(pairs):
    truth, predicted = pairs
    counts = count_confusion(truth, predicted, 5)
    assert counts.sum() == len(truth)
    cut = len(truth) // 2
    parts = count_confusion(truth[:cut], predicted[:cut], 5) + count_confusion(truth[cut:], predicted[cut:], 5)
    np.testing.assert_array_equal(counts, parts)
    np.testing.assert_array_equal(counts, count_confusion(truth[::-1], predicted[::-1], 5))


def test_a_class_that_there_is_not_is_refused():
    for pair in ([1, 5], [5, 1]), ([1, 2], [-1, 1]):
        with pytest.raises(ValueError, match="invalid entry"):
            count_confusion(np.array(pair[0]), np.array(pair[1]), 5)
    assert count_confusion(np.zeros(0, np.uint8), np.zeros(0, np.int64), 5).sum() == 0


@given(PAIRS)
def test_truth_scores_one_and_unlabelled_points_change_nothing(pairs):
    truth, predicted = pairs
    truth = np.append(truth, 1)
    perfect = score_of(truth, truth, "nuscenes")
    assert (perfect.miou, perfect.accuracy) == (1.0, 1.0)
    predicted = np.append(predicted, 2)
    more = score_of(np.append(truth, [0, 0]), np.append(predicted, [1, 3]), "nuscenes")
    assert more == score_of(truth, predicted, "nuscenes")


@pytest.mark.parametrize("seed", range(5))
def test_iou_and_mean_are_those_of_torchmetrics(seed):
    """Where a class is absent torchmetrics counts 0, as SemanticKITTI does. It has no way to predict nothing."""
    rng = np.random.default_rng(seed)
    classes = 20
    occurring = rng.choice(np.arange(1, classes), 15, replace=False)
    truth = np.where(rng.random(4000) < 0.1, 0, rng.choice(occurring, 4000))
    predicted = np.where(rng.random(4000) < 0.6, np.maximum(truth, 1), rng.choice(occurring, 4000))
    found = score(count_confusion(truth, predicted, classes), SEMANTICKITTI_NAMES, "semantickitti")
    sides = torch.from_numpy(predicted), torch.from_numpy(truth)
    each = MulticlassJaccardIndex(classes, average=None, ignore_index=0)(*sides)
    np.testing.assert_allclose([v or 0.0 for v in found.iou.values()], each[1:], rtol=1e-6)
    # Its macro average leaves absent classes out, as nuScenes does.
    macro = MulticlassJaccardIndex(classes, average="macro", ignore_index=0)(*sides)
    others = score(count_confusion(truth, predicted, classes), SEMANTICKITTI_NAMES, "nuscenes")
    assert others.miou == pytest.approx(float(macro), rel=1e-6)
    assert found.miou == pytest.approx(float(each[1:].mean()), rel=1e-6)
    assert found.accuracy == pytest.approx(float(MulticlassAccuracy(classes, average="micro", ignore_index=0)(*sides)))


def test_by_hand():
    # Unlabelled truth is left out; a labelled point predicted 0 is a miss; person never occurs.
    found = score_of([1, 1, 1, 2, 2, 0, 0, 4], [1, 1, 2, 2, 0, 1, 3, 1], "synthetic")
    assert found.iou == {"car": 2 / 4, "road": 1 / 3, "person": None, "pole": 0.0}
    assert found.miou == pytest.approx((1 / 2 + 1 / 3) / 4)
    assert found.miou_objects == pytest.approx((1 / 2) / 3)
    assert found.miou_occurring == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert found.accuracy == 3 / 6
    counts = count_confusion(np.array([1, 1, 1, 2, 2, 0, 0, 4]), np.array([1, 1, 2, 2, 0, 1, 3, 1]), 5)
    assert score(counts, NAMES, "nuscenes").miou == pytest.approx((1 / 2 + 1 / 3) / 3)
    assert score(counts, NAMES, "waymo").miou == pytest.approx((1 / 2 + 1 / 3 + 1) / 4)
    assert counts[0].tolist() == [0, 1, 0, 1, 0]  # scoring changes no count


def test_ground_classes_are_classes_of_their_dataset():
    layouts = [find_layout(name) for name in ("semantickitti", "nuscenes", "waymo")]
    assert all(set(layout.class_names) >= layout.ground_classes for layout in layouts)
    assert [len(set(each.class_names) - each.ground_classes) - 1 for each in layouts] == [14, 12, 16]


def test_a_cache_without_classes_is_refused(cache: Cache):
    sweep = dataclasses.replace(cache.sweep("00", 0), semantic=None)
    with pytest.raises(UserError, match="no semantic classes"):
        semantic(sweep)
