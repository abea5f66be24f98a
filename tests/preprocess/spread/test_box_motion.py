"""A box goes along with the points of its group."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from iscc_lidar.data_schemas.boxes import points_in_box
from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.preprocess.spread.box_motion import LabelledBox, SeenSweep, TrackedBox, attach, carry, directions

SIZE = np.array([4.4, 1.8, 1.5])


def box(x: float, y: float, heading: float, z: float = 0.0) -> LabelledBox:
    return LabelledBox(0, "Car", np.array([x, y, z + SIZE[2] / 2]), SIZE, heading, np.zeros(2), 0.0)


def seen_faces(of: LabelledBox, sensor: np.ndarray, inset: float) -> np.ndarray:
    """Points of the two faces of a car that a sensor sees, a little within its box."""
    cos, sin = np.cos(of.heading), np.sin(of.heading)
    eye = np.array([[cos, sin], [-sin, cos]]) @ (sensor - of.centre)[:2]
    grid = np.linspace(-1, 1, 40)[:, None] * (SIZE[:2] / 2 - inset)
    near = np.sign(eye) * (SIZE[:2] / 2 - inset)
    faces = np.concatenate(
        [np.stack([grid[:, 0], np.full(40, near[1])], 1), np.stack([np.full(40, near[0]), grid[:, 1]], 1)]
    )
    xy = faces @ np.array([[cos, sin], [-sin, cos]]) + of.centre[:2]
    return np.concatenate([np.c_[xy, np.full(80, z)] for z in of.centre[2] + np.linspace(-0.4, 0.6, 5)])


def lies(of: LabelledBox, by: TrackedBox) -> np.ndarray:
    """How a box lies to another one: its centre in the other one's axes, and the turn between them."""
    cos, sin = np.cos(by.heading), np.sin(by.heading)
    away = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) @ (of.centre - by.centre)
    turn = of.heading - by.heading
    return np.array([*away, np.cos(turn), np.sin(turn)])


def sweep_of(index: int, points: np.ndarray, centre: np.ndarray, sensor: np.ndarray) -> SeenSweep:
    rng = np.random.default_rng(index)
    ground = np.c_[centre[:2] + rng.uniform(-2.5, 2.5, (30, 2)), np.full(30, centre[2] - SIZE[2] / 2 - 0.1)]
    label = np.concatenate([np.full(len(points), 7), np.full(30, GROUND)]).astype(np.int32)
    return SeenSweep(index, np.concatenate([points, ground]), label, sensor)


@settings(max_examples=40)
@given(st.floats(-np.pi, np.pi), st.floats(-0.6, 0.6), st.floats(8, 30), st.floats(-np.pi, np.pi), st.floats(0, 0.2))
def test_a_car_that_drives_and_turns_takes_its_box_along(
    heading: float, turn: float, distance: float, bearing: float, inset: float
) -> None:
    sensor = np.array([3.0, -2.0, 1.8])
    start = box(sensor[0] + distance * np.cos(bearing), sensor[1] + distance * np.sin(bearing), heading)
    points = seen_faces(start, sensor, inset)
    labelled = attach(start, sweep_of(0, points, start.centre, sensor), 7)
    true = replace(box(start.centre[0] + 2.5, start.centre[1] + 1.0, heading + turn, z=0.4))
    there = seen_faces(true, sensor, inset)
    carried = carry(labelled, sweep_of(1, there, true.centre, sensor), there, turn, 7)
    assert carried is not None
    assert np.abs(carried.centre - true.centre).max() < 0.25  # a face that was not seen before is assumed alike
    assert abs(np.angle(np.exp(1j * (carried.heading - true.heading)))) < 1e-6
    assert points_in_box(there, carried.centre, carried.size + 0.5, carried.heading).mean() > 0.95


def test_a_box_stays_behind_where_its_place_is_a_guess() -> None:
    sensor = np.zeros(3)
    start = box(10.0, 4.0, 0.3)
    points = seen_faces(start, sensor, 0.05)
    labelled = attach(start, sweep_of(0, points, start.centre, sensor), 7)
    sweep = sweep_of(1, points, start.centre, sensor)
    assert carry(labelled, sweep, points, 0.0, 7) is not None
    assert carry(labelled, sweep, points[:4], 0.0, 7) is None
    assert carry(labelled, sweep, np.concatenate([points, points + np.array([3.0, 0, 0])]), 0.0, 7) is None
    half = points[points[:, 0] > 10.0]  # the near end is hidden
    assert carry(attach(start, sweep_of(0, half, start.centre, sensor), 7), sweep, points, 0.0, 7) is None


@settings(max_examples=40)
@given(st.floats(-np.pi, np.pi), st.floats(-0.2, 0.2), st.floats(-0.15, 0.15), st.floats(-np.pi, np.pi), st.booleans())
def test_a_box_goes_along_with_the_tracked_one_where_few_points_are_left(
    heading: float, off: float, shift: float, turn: float, backwards: bool
) -> None:
    sensor = np.zeros(3)
    start = box(10.0, 4.0, heading)
    track = TrackedBox(start.centre + np.array([shift, -shift, 0.1]), SIZE * 0.9, heading + off + np.pi * backwards)
    points = seen_faces(start, sensor, 0.05)
    there = TrackedBox(track.centre + np.array([3.0, 1.0, 0.2]), track.size, track.heading + turn)
    seen = replace(sweep_of(0, points, start.centre, sensor), tracked={7: track})
    next_sweep = replace(sweep_of(1, points[:4], start.centre, sensor), tracked={7: there})
    labelled = attach(start, seen, 7)
    carried = carry(labelled, next_sweep, points[:4], 0.0, 7)
    assert carried is not None
    assert np.allclose(lies(carried, there), lies(start, track))
    other = replace(seen, tracked={7: replace(track, centre=track.centre + np.array([1.5, 1.5, 0]))})
    assert carry(attach(start, other, 7), next_sweep, points[:4], 0.0, 7) is None  # another thing's box
    crossed = replace(seen, tracked={7: replace(track, heading=track.heading + np.pi / 2)})
    assert carry(attach(start, crossed, 7), next_sweep, points[:4], 0.0, 7) is None


def test_directions_are_those_of_the_way() -> None:
    sweep = np.array([3, 4, 5, 6, 8])
    along = np.stack([np.array([0, 2, 4, 6, 10]) * 1.0, np.zeros(5), np.zeros(5)], axis=1)
    assert np.allclose(directions(sweep, along), 0)
    assert np.allclose(directions(sweep, along[:, [1, 0, 2]]), np.pi / 2)
    assert np.isnan(directions(sweep, along * 0.01)).all()
    assert np.isnan(directions(sweep[:1], along[:1])).all()
    bend = np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0], [4, 2, 0], [4, 4, 0], [4, 4.1, 0], [4, 4.1, 0]], float)
    found = directions(np.arange(7), bend)
    assert np.allclose(found[[0, 1]], 0)
    assert np.allclose(found[[4, 5, 6]], np.pi / 2, atol=0.1)  # it keeps its direction where it stops
