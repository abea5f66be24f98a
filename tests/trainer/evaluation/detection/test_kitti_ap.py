"""AP against the rules written out in loops, cases computed by hand, and properties."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscc_lidar.shared.layouts.layout import BoxRule
from iscc_lidar.trainer.evaluation.detection.kitti_ap import CLASSES, LEVELS, Level, score, thresholds
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels, UprightBoxes, join
from iscc_lidar.trainer.evaluation.detection.overlap import Space, ground_iou, polygons, space_iou

KINDS = ["Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "Truck", "DontCare"]
SPACES: list[Space] = ["image", "ground", "space"]


def boxes(rows: list[tuple[float, float, float, float, float]]) -> UprightBoxes:
    """From (u, v, length, width, heading), 1.5 m high."""
    a = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return UprightBoxes(a[:, :2], a[:, 2:4], a[:, 4], np.zeros(len(a)), np.full(len(a), 1.5))


def car(u: float, v: float = 0.0, heading: float = 0.0) -> tuple[float, float, float, float, float]:
    return (u, v, 4.0, 2.0, heading)


def labels(frame: list[int], rows: list[tuple[float, float, float, float, float]], **changed: object) -> Labels:
    n = len(frame)
    image = np.tile([0.0, 0.0, 60.0, 60.0], (n, 1)) + 100 * np.arange(n)[:, None]
    plain = Labels(np.array(frame), np.full(n, "Car"), boxes(rows), image, np.zeros(n), np.zeros(n, np.int64))
    return dataclasses.replace(plain, **{k: np.asarray(v) for k, v in changed.items()})


def found(
    frame: list[int], rows: list[tuple[float, float, float, float, float]], scores: list[float], **changed: object
) -> Detections:
    n = len(frame)
    image = np.tile([0.0, 0.0, 60.0, 60.0], (n, 1)) + 100 * np.arange(n)[:, None]
    plain = Detections(np.array(frame), np.full(n, "Car"), boxes(rows), image, np.array(scores, dtype=np.float64))
    return dataclasses.replace(plain, **{k: np.asarray(v) for k, v in changed.items()})


def ap(truth: Labels, detections: Detections, level: str = "moderate", kind: str = "Car", space: Space = "space"):
    return score(truth, detections, space)[kind, level]


# ---- by hand ----


def test_all_found_and_nothing_else_is_a_hundred() -> None:
    rows = [car(10.0 * k) for k in range(80)]
    curve = ap(labels([0] * 80, rows), found([0] * 80, rows, list(np.linspace(0.9, 0.1, 80))))
    assert curve.labels == 80
    assert curve.r40 == pytest.approx(100.0)
    assert curve.r11 == pytest.approx(100.0)


def test_of_40_labels_or_fewer_each_is_worth_one_place_of_41() -> None:
    rows = [car(10.0 * k) for k in range(40)]
    curve = ap(labels([0] * 40, rows), found([0] * 40, rows, list(np.linspace(0.9, 0.1, 40))))
    assert curve.r40 == pytest.approx(97.5)
    assert curve.r11 == pytest.approx(100 * 10 / 11)


def test_half_found_is_half_of_the_recalls() -> None:
    rows = [car(10.0 * k) for k in range(40)]
    curve = ap(labels([0] * 40, rows), found([0] * 20, rows[:20], list(np.linspace(0.9, 0.1, 20))))
    # Of 40 labels the k-th match is at recall k / 40: precision is 1 at the first 20 of 41 places.
    assert curve.precision.tolist() == [1.0] * 20 + [0.0] * 21
    assert curve.r40 == pytest.approx(100 * 19 / 40)
    assert curve.r11 == pytest.approx(100 * 5 / 11)


def test_a_false_one_above_all_halves_the_first_precision_only_where_nothing_better_follows() -> None:
    rows = [car(0.0), car(20.0)]
    curve = ap(labels([0, 0], rows), found([0, 0, 0], [car(50.0), *rows], [0.9, 0.8, 0.7]))
    # At .8: 1 right of 2; at .7: 2 of 3, which stands for the lower recall too.
    assert curve.precision[:2].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert not curve.precision[2:].any()


def test_a_second_detection_of_the_same_car_is_false() -> None:
    curve = ap(labels([0], [car(0.0)]), found([0, 0], [car(0.0), car(0.1)], [0.9, 0.95]))
    # The score of the match is that of the higher one; at .95 only that one is there.
    assert curve.precision[0] == 1.0
    curve = ap(labels([0, 0], [car(0.0), car(30)]), found([0, 0, 0], [car(0.0), car(0.1), car(30)], [0.9, 0.95, 0.5]))
    assert curve.precision[:2].tolist() == pytest.approx([1.0, 2 / 3])


def test_overlap_below_the_class_s_least_is_a_miss_and_false() -> None:
    # 4 x 2 m boxes .8 m apart along: 3.2 / 4.8 = .667, for pedestrians' .5 enough.
    for kind, expected in (("Car", 0.0), ("Pedestrian", 1.0)):
        curve = ap(labels([0], [car(0.0)], kind=[kind]), found([0], [car(0.8)], [0.9], kind=[kind]), kind=kind)
        assert curve.precision[0] == expected


@pytest.mark.parametrize(
    "change", [{"kind": ["Van"]}, {"occlusion": [3]}, {"truncation": [0.6]}, {"image_box": [[0.0, 0.0, 60.0, 25.0]]}]
)
def test_a_label_that_does_not_count_takes_its_detection_with_it(change: dict[str, object]) -> None:
    truth = join([labels([0], [car(0.0)]), labels([0], [car(20.0)], **change)])
    curve = ap(truth, found([0, 0], [car(20.0), car(0.0)], [0.9, 0.5]))
    assert curve.labels == 1
    assert curve.precision[0] == 1.0


def test_another_class_s_label_takes_nothing() -> None:
    truth = labels([0, 0], [car(0.0), car(20.0)], kind=["Car", "Truck"])
    assert ap(truth, found([0, 0], [car(20.0), car(0.0)], [0.9, 0.5])).precision[0] == 0.5


def test_low_detections_are_left_out() -> None:
    low = [[0.0, 0.0, 60.0, 60.0], [0.0, 0.0, 60.0, 24.0]]
    detections = found([0, 0], [car(0.0), car(40.0)], [0.5, 0.9], image_box=low)
    assert ap(labels([0], [car(0.0)]), detections).precision[0] == 1.0


def test_dont_care_counts_in_the_image_alone() -> None:
    truth = labels([0, 0], [car(0.0), car(1000.0)], kind=["Car", "DontCare"])
    image = [truth.image_box[0], truth.image_box[1] + [10, 10, -5, -5]]
    detections = found([0, 0], [car(0.0), car(40.0)], [0.5, 0.9], image_box=image)
    assert ap(truth, detections, space="image").precision[0] == 1.0
    assert ap(truth, detections, space="space").precision[0] == 0.5


def test_without_labels_of_a_class_there_is_no_number() -> None:
    curve = ap(labels([0], [car(0.0)]), found([0], [car(0.0)], [0.9]), kind="Cyclist")
    assert curve.labels == 0
    assert math.isnan(curve.r11)
    assert math.isnan(curve.r40)


def test_frames_are_apart() -> None:
    assert not ap(labels([0], [car(0.0)]), found([1], [car(0.0)], [0.9])).precision.any()


def test_nothing_found_is_nought() -> None:
    curve = ap(labels([0], [car(0.0)]), found([], [], []))
    assert curve.r40 == 0.0


def test_scores_are_taken_as_the_development_kit_takes_them() -> None:
    # 80 matches of 80 labels: every second but the first is nearest to a multiple of 1/40.
    scores = np.linspace(1, 0, 80)
    chosen = thresholds(scores, 80)
    assert chosen[:4] == pytest.approx([scores[0], scores[1], scores[3], scores[5]])
    assert len(chosen) == 41


# ---- against the rules in loops ----


def twin(truth: Labels, detections: Detections, rule: BoxRule, level: Level, space: Space) -> list[float]:
    """Precision, frame by frame, label by label, detection by detection."""
    frames = sorted({*truth.frame.tolist(), *detections.frame.tolist()})

    def iou(d: int, g: int) -> float:
        if space == "image":
            return image(d, g, union=True)
        a, b = polygons(detections.boxes)[d], polygons(truth.boxes)[g]
        shared, area_a, area_b = a.intersection(b).area, a.area, b.area
        if space == "space":
            p, q = detections.boxes, truth.boxes
            shared *= max(min(p.high[d], q.high[g]) - max(p.low[d], q.low[g]), 0.0)
            area_a, area_b = area_a * (p.high[d] - p.low[d]), area_b * (q.high[g] - q.low[g])
        return shared / (area_a + area_b - shared)

    def image(d: int, g: int, union: bool) -> float:
        a, b = detections.image_box[d], truth.image_box[g]
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0.0) * max(height, 0.0)
        area = (a[2] - a[0]) * (a[3] - a[1])
        return shared / (area + (b[2] - b[0]) * (b[3] - b[1]) - shared if union else area)

    def judge_label(g: int) -> int:
        height = truth.image_box[g, 3] - truth.image_box[g, 1]
        kind = truth.kind[g]
        hard = (
            truth.occlusion[g] > level.occlusion or truth.truncation[g] > level.truncation or height <= level.height_px
        )
        if kind == rule.name:
            return 1 if hard else 0
        return 1 if kind == rule.neighbour else -1

    def judge_detection(d: int) -> int:
        if detections.image_box[d, 3] - detections.image_box[d, 1] < level.height_px:
            return 1
        return 0 if detections.kind[d] == rule.name else -1

    def count(frame: int, least: float | None) -> tuple[int, int, list[float]]:
        mine = [d for d in range(len(detections)) if detections.frame[d] == frame]
        theirs = [g for g in range(len(truth)) if truth.frame[g] == frame]
        taken: set[int] = set()
        right, scores = 0, []
        for g in theirs:
            if judge_label(g) == -1:
                continue
            best, best_iou, best_is_low = None, 0.0, False
            for d in mine:
                judged = judge_detection(d)
                if judged == -1 or d in taken or (least is not None and detections.score[d] < least):
                    continue
                overlap = iou(d, g)
                if overlap <= rule.min_overlap:
                    continue
                if least is None:
                    if best is None or detections.score[d] > detections.score[best]:
                        best = d
                elif judged == 0 and (best is None or overlap > best_iou or best_is_low):
                    best, best_iou, best_is_low = d, overlap, False
                elif judged == 1 and best is None:
                    best, best_is_low = d, True
            if best is None:
                continue
            taken.add(best)
            if judge_label(g) == 0 and judge_detection(best) == 0:
                right += 1
                scores.append(float(detections.score[best]))
        false = 0
        for d in mine:
            if judge_detection(d) != 0 or d in taken or (least is not None and detections.score[d] < least):
                continue
            areas = [g for g in theirs if truth.kind[g] == "DontCare"]
            if space == "image" and any(image(d, g, union=False) > rule.min_overlap for g in areas):
                continue
            false += 1
        return right, false, scores

    counted = sum(judge_label(g) == 0 for g in range(len(truth)))
    matches = np.array([value for frame in frames for value in count(frame, None)[2]])
    precision = [0.0] * 41
    for k, least in enumerate(thresholds(matches, counted)):
        sums = [count(frame, least)[:2] for frame in frames]
        right, false = (sum(values) for values in zip(*sums, strict=True))
        precision[k] = right / max(right + false, 1)
    return [max(precision[k:]) for k in range(41)]


def crowd(seed: int, n: int = 60, frames: int = 4) -> tuple[Labels, Detections]:
    """Labels and detections so close together that choices matter, of all kinds and levels, with ties."""
    rng = np.random.default_rng(seed)

    def some(n: int) -> tuple[np.ndarray, np.ndarray, UprightBoxes, np.ndarray]:
        cells = rng.integers(0, 5, (n, 2)) * [3.0, 2.0]
        centre = cells + rng.normal(0, 0.25, (n, 2))
        size = np.array([4.0, 1.8]) * rng.uniform(0.9, 1.1, (n, 2))
        low = rng.normal(0, 0.1, n)
        made = UprightBoxes(centre, size, rng.normal(0, 0.1, n) + np.pi * rng.integers(0, 2, n), low, low + 1.5)
        corner = 10 * centre
        image = np.concatenate([corner, corner + rng.uniform(20, 60, (n, 2))], axis=1)
        return rng.integers(0, frames, n), rng.choice(KINDS[:6], n, p=[0.6, 0.1, 0.1, 0.05, 0.1, 0.05]), made, image

    frame, kind, made, image = some(n)
    kind = kind.astype("U16")
    kind[:3] = "DontCare"
    truth = Labels(frame, kind, made, image, rng.choice([0.0, 0.2, 0.4], n), rng.integers(0, 4, n))
    frame, kind, made, image = some(2 * n)
    again = np.arange(n) % len(truth)  # near the labels, so that most find something
    near = truth.boxes.take(again)
    near = dataclasses.replace(near, centre=near.centre + rng.normal(0, 0.1, (n, 2)))
    made = join([near, made.take(np.arange(n, 2 * n))])
    frame = np.concatenate([truth.frame[again], frame[n:]])
    image = np.concatenate([truth.image_box[again] + rng.normal(0, 1, (n, 4)), image[n:]])
    return truth, Detections(frame, kind, made, image, rng.integers(1, 30, 2 * n) / 30)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_equals_its_twin(seed: int, space: Space) -> None:
    truth, detections = crowd(seed)
    curves = score(truth, detections, space)
    assert curves["Car", "hard"].precision.any()
    for rule in CLASSES:
        for level in LEVELS:
            expected = twin(truth, detections, rule, level, space)
            np.testing.assert_allclose(curves[rule.name, level.name].precision, expected, err_msg=str((rule, level)))


# ---- properties ----


@given(st.integers(0, 2**32 - 1), st.sampled_from(SPACES))
@settings(max_examples=20)
def test_only_the_order_of_scores_counts(seed: int, space: Space) -> None:
    truth, detections = crowd(seed, 30)
    once = score(truth, detections, space)
    again = score(truth, dataclasses.replace(detections, score=np.exp(5 * detections.score) - 2), space)
    for key, curve in once.items():
        np.testing.assert_allclose(curve.precision, again[key].precision)
        assert ((curve.precision >= 0) & (curve.precision <= 1)).all()
        assert (np.diff(curve.precision) <= 0).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_false_one_below_all_changes_nothing(seed: int) -> None:
    truth, detections = crowd(seed, 30)
    more = join([detections, found([0], [car(500.0)], [-1.0])])
    for key, curve in score(truth, detections, "space").items():
        np.testing.assert_array_equal(curve.precision, score(truth, more, "space")[key].precision)


coordinate, length = st.floats(-20, 20), st.floats(0.3, 8)
box = st.tuples(coordinate, coordinate, length, length, st.floats(-7, 7))


@given(st.lists(st.tuples(box, box), min_size=1, max_size=10))
def test_overlap_is_symmetric_and_turns_with_the_frame(rows: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:
    a, b = (boxes([pair[k] for pair in rows]) for k in (0, 1))
    iou = ground_iou(a, b)
    assert ((iou >= 0) & (iou <= 1 + 1e-9)).all()
    np.testing.assert_allclose(iou, ground_iou(b, a), atol=1e-9)
    np.testing.assert_allclose(ground_iou(a, a), 1.0)
    np.testing.assert_allclose(space_iou(a, b), iou, atol=1e-9)  # equally high
    half_turned = dataclasses.replace(a, heading=a.heading + np.pi)
    np.testing.assert_allclose(iou, ground_iou(half_turned, b), atol=1e-6)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = [
        dataclasses.replace(c, centre=c.centre @ turn.T, heading=c.heading + np.arctan2(0.8, 0.6)) for c in (a, b)
    ]
    np.testing.assert_allclose(iou, ground_iou(*turned), atol=1e-6)


def test_boxes_whose_edges_all_but_coincide_overlap() -> None:
    """One box in 2,700 had no overlap with itself turned by half a turn."""
    rng = np.random.default_rng(0)
    centre, size = rng.uniform(-20, 20, (30_000, 2)), rng.uniform(0.3, 8, (30_000, 2))
    heading = rng.uniform(-7, 7, 30_000)
    flat = (np.zeros(len(heading)), np.ones(len(heading)))
    turned = UprightBoxes(centre, size, heading + np.pi, *flat)
    np.testing.assert_allclose(ground_iou(UprightBoxes(centre, size, heading, *flat), turned), 1.0, atol=1e-6)
