"""Boxes of groups as read, in pictures, and the confidence of points that follows from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import iscc_lidar
from iscc_lidar.data_schemas.boxes import points_in_box
from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.cache.birdseye import draw_sweep
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.sweep import OUTSIDE, OUTSIDE_M, GroupBoxes, point_confidence


def test_every_group_has_a_box_around_most_of_its_points(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    inside, points = 0, 0
    for name in cache.sequence_names:
        for index in range(cache.sequence(name).sweeps):
            sweep, boxes = cache.sweep(name, index), cache.group_boxes(name, index)
            assert boxes is not None
            assert np.array_equal(boxes.group, cache.groups(name, index).group)
            for k, group in enumerate(boxes.group.tolist()):
                own = sweep.xyz[sweep.label == group]
                size = boxes.size[k] + 0.2
                inside += int(points_in_box(own, boxes.centre[k], size, float(boxes.heading[k])).sum())
                points += len(own)
    assert inside / points > 0.95


def test_a_group_has_one_size_in_all_sweeps(tiny_cache: Path) -> None:
    cache = Cache(tiny_cache)
    sizes: dict[int, set[tuple[float, ...]]] = {}
    for index in range(cache.sequence("00").sweeps):
        boxes = cache.group_boxes("00", index)
        assert boxes is not None
        for group, size, sure in zip(boxes.group.tolist(), boxes.size.tolist(), boxes.confidence.tolist(), strict=True):
            sizes.setdefault(group, set()).add((*size, sure))
    assert max(map(len, sizes.values())) == 1
    assert len(sizes) > 5


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_confidence_of_points_is_that_of_a_slow_twin(seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.array([2, 5], np.int32)
    size, sure = rng.uniform(0.5, 3, (2, 3)), rng.random(2).astype(np.float32)
    boxes = GroupBoxes(group, rng.uniform(-2, 2, (2, 3)), size, rng.uniform(-4, 4, 2), sure)
    xyz = rng.uniform(-3, 3, (points, 3)).astype(np.float32)
    label = rng.choice(np.array([NOISE, GROUND, 2, 5], np.int32), points)
    found = point_confidence(xyz, label, boxes)
    for k in range(points):
        if label[k] < 0:
            assert found[k] == 0
            continue
        of = int(label[k] == 5)
        grown = boxes.size[of] + 2 * OUTSIDE_M
        near = points_in_box(xyz[k : k + 1], boxes.centre[of], grown, float(boxes.heading[of]))[0]
        assert found[k] == pytest.approx(sure[of] * (1 if near else OUTSIDE), rel=1e-6)


def test_sweeps_from_python_have_boxes_and_confidence(tiny_cache: Path) -> None:
    sweep = iscc_lidar.open_cache(tiny_cache)["00"][1]
    assert sweep.group_boxes is not None
    assert sweep.confidence is not None
    assert sweep.confidence.shape == sweep.label.shape
    assert (sweep.confidence[sweep.label < 0] == 0).all()
    assert 0 < sweep.confidence.max() <= 1


def test_sure_boxes_are_drawn(tiny_cache: Path, tmp_path: Path) -> None:
    cache = Cache(tiny_cache)
    sweep, boxes = cache.sweep("00", 1), cache.group_boxes("00", 1)
    assert boxes is not None
    draw_sweep(sweep, tmp_path / "without.png")
    draw_sweep(sweep, tmp_path / "with.png", group_boxes=boxes)
    unsure = GroupBoxes(boxes.group, boxes.centre, boxes.size, boxes.heading, np.zeros_like(boxes.confidence))
    draw_sweep(sweep, tmp_path / "unsure.png", group_boxes=unsure)
    without, drawn, left_out = ((tmp_path / f"{name}.png").read_bytes() for name in ("without", "with", "unsure"))
    assert (drawn != without) == bool((boxes.confidence >= 0.3).any())
    assert left_out == without
