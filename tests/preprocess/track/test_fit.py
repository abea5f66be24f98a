"""Boxes of known rectangles, seen whole or in part, standing or moving."""

from __future__ import annotations

import numpy as np
import pytest
from seen_groups import SENSOR, at, car, measure

from iscc_lidar.preprocess.track.confidence import confidences
from iscc_lidar.preprocess.track.fit import PlacedBoxes, Tracks, fit_tracks, place_boxes
from iscc_lidar.preprocess.track.measure import SweepPoints

UP = np.array([0.0, 0.0, 0.75])


def boxes_of(sweeps: list[SweepPoints], moving: set[int]) -> tuple[Tracks, PlacedBoxes]:
    rows, measured = measure(sweeps, moving)
    tracks = fit_tracks([(rows, measured)])
    return tracks, place_boxes(rows, measured.moving, tracks, np.tile(SENSOR, (len(rows.sweep), 1)))


def half_of(sweep: SweepPoints, keep: np.ndarray) -> SweepPoints:
    return SweepPoints(sweep.index, sweep.xyz[keep], sweep.group[keep], sweep.sensor)


@pytest.mark.parametrize("heading", np.deg2rad([0, 17, 44, 90, 133, 178]))
def test_what_stands_has_the_box_of_all_that_is_seen_of_it(heading: float) -> None:
    start = at(12, 4)
    whole = [car(k, start, np.zeros(3), heading) for k in range(8)]
    along = (whole[0].xyz - start)[:, :2] @ (np.cos(heading), np.sin(heading))
    parts = [half_of(each, along > 0 if k < 4 else along <= 0) for k, each in enumerate(whole)]
    tracks, boxes = boxes_of(parts, set())
    assert boxes.size == pytest.approx(np.tile((4.1, 2.1, 1.6), (8, 1)), abs=0.25)
    assert boxes.centre == pytest.approx(np.tile(start + UP, (8, 1)), abs=0.15)
    assert abs(np.cos(boxes.heading - heading)) == pytest.approx(1.0, abs=0.01)
    assert not tracks.moves.any()
    assert (tracks.sweeps.tolist(), tracks.group.tolist()) == ([8], [0])


@pytest.mark.parametrize("heading", [0.3, -2.5])
def test_one_size_in_all_sweeps_and_the_seen_side_where_the_points_are(heading: float) -> None:
    ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
    start = SENSOR + 5 * ahead
    sweeps = [car(k, start, 0.9 * ahead, heading) for k in range(12)]
    for k in range(3, 12):  # later the sensor sees only the rear
        sweeps[k] = half_of(sweeps[k], (sweeps[k].xyz - start - k * 0.9 * ahead) @ ahead < -1)
    tracks, boxes = boxes_of(sweeps, {0})
    assert (boxes.size == boxes.size[0]).all()
    assert boxes.size[0] == pytest.approx((4.1, 2.1, 1.6), abs=0.25)
    truth = start + 0.9 * ahead * np.arange(12)[:, None] + UP
    assert np.abs(boxes.centre - truth).max() < 0.35
    assert tracks.moves.all()


def test_blocks_give_what_one_block_gives() -> None:
    sweeps = [car(k, at(12, 4), np.zeros(3), 0.4) for k in range(8)]
    whole = fit_tracks([measure(sweeps, set())])
    divided = fit_tracks([measure(sweeps[:3], set()), measure(sweeps[3:], set())])
    for name, values in vars(whole).items():
        np.testing.assert_allclose(values, vars(divided)[name], atol=1e-9)


def test_a_single_point_has_a_box() -> None:
    point = SweepPoints(0, at(3, 0)[None], np.zeros(1, np.int64), SENSOR)
    tracks, boxes = boxes_of([point], set())
    assert (boxes.size > 0).all()
    assert boxes.centre[0] == pytest.approx(at(3, 0), abs=1e-6)
    assert 0 <= confidences(tracks)[0] <= 1


def test_no_group_no_box() -> None:
    assert len(fit_tracks([]).group) == 0
    assert len(confidences(fit_tracks([]))) == 0


def test_what_moves_is_rather_an_object_than_a_wall() -> None:
    moving, _ = boxes_of([car(k, at(12, 4), np.array([0.8, 0, 0]), 0.0) for k in range(12)], {0})
    u = np.linspace(0, 19, 400)
    wall = np.column_stack([u, 0 * u + 8, np.tile(np.linspace(0, 3, 20), 20)]) + SENSOR
    standing, _ = boxes_of([SweepPoints(k, wall, np.zeros(400, np.int64), SENSOR) for k in range(12)], set())
    assert confidences(moving)[0] > 0.3 > 0.1 > confidences(standing)[0]
