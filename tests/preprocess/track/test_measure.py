"""Cells of what stands, reach and direction of what moves: as counted by hand, and by a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_groups import SENSOR, at, car, measure

from iscc_lidar.preprocess.track.measure import CELL_M, NO_CELLS, GroupRows, SweepPoints, headings, merge_cells


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 30))
@settings(max_examples=40)
def test_cells_are_those_of_a_slow_twin(seed: int, sweeps: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    found = [
        SweepPoints(k, SENSOR + rng.uniform(-1, 1, (points, 3)), rng.integers(0, 3, points), SENSOR + 5 * k)
        for k in range(sweeps)
    ]
    cells = measure(found, set())[1].cells
    slow: dict[tuple[int, int, int], list[tuple[int, np.ndarray]]] = {}
    for each in found:
        for group, xyz in zip(each.group.tolist(), each.xyz, strict=True):
            x, y = np.floor(xyz[:2] / CELL_M).astype(int).tolist()
            slow.setdefault((group, x, y), []).append((each.index, xyz))
    assert [tuple(place) for place in cells.place.tolist()] == sorted(slow)
    for number, key in enumerate(sorted(slow)):
        in_sweeps = sorted({index for index, _ in slow[key]})
        means = [np.mean([xyz for index, xyz in slow[key] if index == k], axis=0)[:2] for k in in_sweeps]
        heights = [xyz[2] for _, xyz in slow[key]]
        assert cells.seen[number] == len(in_sweeps)
        assert cells.middle[number] == pytest.approx(np.mean(means, axis=0), abs=1e-6)
        assert (cells.bottom[number], cells.top[number]) == (min(heights), max(heights))


@given(st.integers(0, 2**32 - 1))
def test_cells_merged_in_any_portions_are_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one_by_one = [
        measure([SweepPoints(k, SENSOR + rng.uniform(-1, 1, (20, 3)), rng.integers(0, 2, 20), SENSOR)], set())[1].cells
        for k in range(6)
    ]
    whole = merge_cells(one_by_one)
    halves = merge_cells([merge_cells(one_by_one[:2]), NO_CELLS, merge_cells(one_by_one[2:])])
    for name, values in vars(whole).items():
        np.testing.assert_allclose(values, vars(halves)[name], atol=1e-9)


@pytest.mark.parametrize("heading", [0.0, 0.7, 3.0, -2.0])
def test_what_moves_is_measured_along_its_way(heading: float) -> None:
    step = 0.8 * np.array([np.cos(heading), np.sin(heading), 0.0])
    sweeps = [car(k, at(10, 5), step, heading) for k in range(9)]
    _, measured = measure(sweeps, {0})
    assert len(measured.cells.seen) == 0
    assert measured.moving.row.tolist() == list(range(9))
    assert np.cos(measured.moving.heading - heading) == pytest.approx(1.0, abs=1e-9)
    length, width, height = np.diff(measured.moving.reach.reshape(-1, 3, 2))[..., 0].T
    assert length == pytest.approx(4.0, abs=0.2)
    assert width == pytest.approx(2.0, abs=0.2)
    assert height == pytest.approx(1.5)


def test_direction_is_that_of_the_nearest_sweep_in_which_it_moves() -> None:
    place = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [3, 0], [3, 0], [3, 0], [3, 0], [3, 0], [3, 0], [3, 1], [3, 2.0]])
    n = len(place)
    moving = np.array([True] * 3 + [False] * 7 + [True] * 2)
    rows = GroupRows(np.arange(n), np.zeros(n, int), np.ones(n, int), moving, np.column_stack([place, np.zeros(n)]))
    found = headings(rows, rows, np.array([0]))
    assert np.isfinite(found).all()
    assert abs(found[:5]).max() < 0.2  # forwards until half-way
    assert found[8:] == pytest.approx(found[10], abs=0.3)
    assert found[10] > 1.0


def test_no_direction_without_motion_or_for_others() -> None:
    rows = GroupRows(np.arange(4), np.array([0, 0, 1, 1]), np.ones(4, int), np.array([False] * 4), np.zeros((4, 3)))
    assert np.isnan(headings(rows, rows, np.zeros(0, np.int64))).all()
    assert np.isnan(headings(rows, rows, np.array([1]))).all()
