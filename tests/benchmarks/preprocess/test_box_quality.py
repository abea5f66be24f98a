"""Average precision and recall of boxes as computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.preprocess.box_quality import FlatBoxes, TrueBoxes, boxes_of, score_boxes
from benchmarks.preprocess.group_quality import Points


def boxes(*rows: tuple[int, float, float]) -> FlatBoxes:
    """Boxes of 4 by 2 metres: sweep, x, score."""
    sweep, x, score = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return FlatBoxes(
        sweep.astype(np.int64), np.column_stack([x, 0 * x]), np.tile((4.0, 2.0), (n, 1)), np.zeros(n), score
    )


def test_average_precision_by_hand() -> None:
    truth = TrueBoxes(
        boxes((0, 0.0, 1), (0, 10.0, 1), (1, 0.0, 1)), np.array([50, 50, 3]), np.array([True, False, True])
    )
    # Right, wrong (nothing there), right, a second one on the same object; the object of sweep 1 is not found.
    found = boxes((0, 0.1, 0.9), (0, 30.0, 0.8), (0, 10.2, 0.7), (0, 10.1, 0.6))
    figures = score_boxes(truth, found)
    assert figures["ap_0.5"] == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert figures["recall_0.5.moving"] == 1.0
    assert figures["recall_0.5.moving_any_points"] == 0.5
    assert figures["recall_0.5.standing"] == 1.0


def test_an_overlap_between_the_two_limits_counts_for_the_lower_one_only() -> None:
    truth = TrueBoxes(boxes((0, 0.0, 1)), np.array([50]), np.array([True]))
    figures = score_boxes(truth, boxes((0, 1.8, 0.5)))  # 2.2 of 5.8 metres
    assert (figures["ap_0.3"], figures["ap_0.5"]) == (1.0, 0.0)


def test_boxes_of_labels_lie_around_their_points_in_the_sensors_frame() -> None:
    rng = np.random.default_rng(0)
    turn = np.array([[0.0, -1, 0, 100], [1, 0, 0, 50], [0, 0, 1, 2], [0, 0, 0, 1]])
    poses = np.stack([turn, turn])
    poses[1, 0, 3] += 3
    thing = np.array([120.0, 60.0, 1.5]) + rng.uniform(-1, 1, (400, 3)) * (2.0, 1.0, 0.7)
    sweep = np.repeat([0, 1], 200)
    whole = Points(thing, np.full(400, 20.0), sweep, np.ones(400, np.int32), np.ones(400, np.uint8), poses)
    found = boxes_of(whole, np.zeros(400, np.int32))
    assert found.sweep.tolist() == [0, 1]
    assert found.size == pytest.approx(np.tile((4.1, 2.1), (2, 1)), abs=0.2)
    assert found.centre == pytest.approx(np.array([(10.0, -20.0), (10.0, -17.0)]), abs=0.2)
    assert abs(np.sin(found.heading)) == pytest.approx(1.0, abs=0.05)
