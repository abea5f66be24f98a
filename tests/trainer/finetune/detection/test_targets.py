"""Targets and what is read out of maps: there and back, and against slow twins."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.boxes import Boxes, box_corners
from iscc_lidar.trainer.finetune.detection.decode import DecodeConfig, find_boxes, suppress
from iscc_lidar.trainer.finetune.detection.grid import GridConfig
from iscc_lidar.trainer.finetune.detection.loss import box_loss, heat_loss
from iscc_lidar.trainer.finetune.detection.targets import CODE, FORWARD, Z, decode, make_targets, typical_codes

NAMES = ("Car", "Pedestrian")
GRID = GridConfig(x_max_m=32.0, y_min_m=-16.0, y_max_m=16.0)


def some_boxes(rows: list[tuple[float, ...]], kinds: list[str]) -> Boxes:
    """From (x, y, z, length, width, height, heading)."""
    a = np.array(rows, dtype=np.float64).reshape(-1, 7)
    n = len(a)
    return Boxes(
        np.array(kinds, dtype=np.str_),
        a[:, :3],
        a[:, 3:6],
        a[:, 6],
        np.zeros(n),
        np.zeros(n, np.int32),
        np.zeros((n, 4)),
    )


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.floats(-3.1, 3.1), st.booleans()), unique_by=lambda r: r[:2]
    )
)
def test_what_is_drawn_is_found_again(rows: list[tuple[int, int, float, bool]]) -> None:
    boxes = some_boxes(
        [
            (3.1 + 6 * x, -13.3 + 6 * y, -1.0, 4.2 if car else 0.8, 1.8 if car else 0.6, 1.6, turn)
            for x, y, turn, car in rows
        ],
        ["Car" if car else "Pedestrian" for *_, car in rows],
    )
    targets = make_targets(boxes, np.ones(len(boxes), np.bool_), NAMES, GRID)
    codes = torch.zeros(targets.heat.size, CODE)
    codes[torch.from_numpy(targets.at)] = torch.from_numpy(targets.code)
    logit = torch.logit(torch.from_numpy(targets.heat), 1e-6)
    found, score = find_boxes(logit, lambda at: codes[at], NAMES, GRID, DecodeConfig(min_score=0.9))
    assert len(found) == len(boxes)
    assert (score > 0.99).all()
    order = np.lexsort((boxes.centre[:, 1], boxes.centre[:, 0], boxes.kind))
    again = np.lexsort((found.centre[:, 1], found.centre[:, 0], found.kind))
    assert found.kind[again].tolist() == boxes.kind[order].tolist()
    np.testing.assert_allclose(found.centre[again], boxes.centre[order], atol=1e-4)
    np.testing.assert_allclose(found.size[again], boxes.size[order], rtol=1e-5)
    np.testing.assert_allclose(np.exp(1j * found.heading[again]), np.exp(1j * boxes.heading[order]), atol=1e-5)


def test_heat_is_one_at_centres_and_boxes_beside_the_grid_are_none() -> None:
    boxes = some_boxes(
        [(10.1, 0.1, -1, 4, 2, 1.5, 0.3), (40, 0, -1, 4, 2, 1.5, 0), (-0.1, 0, -1, 4, 2, 1.5, 0)], ["Car"] * 3
    )
    targets = make_targets(boxes, np.ones(3, np.bool_), NAMES, GRID)
    assert np.argwhere(targets.heat == 1).tolist() == [[0, 25, 40]]
    assert len(targets.at) == 5
    assert not targets.ignored.any()


def test_boxes_that_are_not_learnt_only_cover_their_cells() -> None:
    boxes = some_boxes([(10.0, 0.0, -1, 4, 2, 1.5, np.pi / 2)], ["Car"])
    targets = make_targets(boxes, np.zeros(1, np.bool_), NAMES, GRID)
    assert not targets.heat.any()
    assert len(targets.at) == 0
    rows, columns = np.nonzero(targets.ignored)
    place = np.stack([(rows + 0.5) * 0.4, -16 + (columns + 0.5) * 0.4], axis=1)
    assert np.abs(place - [10, 0]).max(axis=0).tolist() == pytest.approx([1.2, 2.2], abs=0.21)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.6))
def test_suppression_equals_its_twin(seed: int, max_overlap: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 25))
    centre = np.concatenate([rng.uniform(0, 8, (n, 2)), np.zeros((n, 1))], axis=1)
    size, heading = rng.uniform(0.5, 4, (n, 3)), rng.uniform(-3, 3, n)
    shapes = [shapely.Polygon(c) for c in box_corners(centre, size, heading)[:, :4, :2]]
    kept: list[int] = []
    for k in range(n):
        shares = [shapes[k].intersection(shapes[j]).area / shapes[k].union(shapes[j]).area for j in kept]
        if all(share <= max_overlap for share in shares):
            kept.append(k)
    assert suppress(centre, size, heading, max_overlap).tolist() == kept


def test_heat_loss_equals_its_twin() -> None:
    rng = np.random.default_rng(0)
    logit = torch.from_numpy(rng.normal(size=(2, 2, 4, 5))).float().requires_grad_()
    heat = rng.uniform(0, 0.9, (2, 2, 4, 5)).astype(np.float32)
    heat[0, 1, 2, 3] = heat[1, 0, 0, 0] = 1
    ignored = rng.random((2, 4, 5)) < 0.2
    total, centres = heat_loss(logit, torch.from_numpy(heat), torch.from_numpy(ignored))
    expected = 0.0
    for b, c, x, y in np.ndindex(heat.shape):
        p = 1 / (1 + np.exp(-float(logit.detach()[b, c, x, y])))
        if heat[b, c, x, y] == 1:
            expected -= (1 - p) ** 2 * np.log(p)
        elif not ignored[b, x, y]:
            expected -= (1 - heat[b, c, x, y]) ** 4 * p**2 * np.log(1 - p)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(centres) == 2
    total.backward()  # type: ignore[no-untyped-call]
    assert logit.grad is not None
    assert torch.isfinite(logit.grad).all()
    assert (
        float(heat_loss(torch.full((1, 1, 1, 1), -200.0), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1).bool())[0]) > 100
    )


def test_box_loss_counts_what_is_guessed_less() -> None:
    target = torch.ones(2, CODE)
    total, told = box_loss(torch.zeros(2, CODE), target)
    assert float(told) == 2
    assert float(total) == pytest.approx(2 * (CODE - 1 + 0.2))
    target[:, FORWARD] = 0.0
    assert float(box_loss(torch.zeros(2, CODE), target)[0]) == 2 * (CODE - 1)
    assert float(box_loss(torch.zeros(0, CODE), torch.zeros(0, CODE))[0]) == 0


def test_typical_boxes_stand_on_the_ground() -> None:
    boxes = some_boxes([(9, 0, -1, 4, 2, 1.5, 1), (9, 0, 3, 1, 2, 2.5, 0)], ["Car", "Car"])
    code = typical_codes(boxes, NAMES)
    centre, size, _ = decode(code, np.zeros(2, np.int64), GRID)
    np.testing.assert_allclose(size[0], [2, 2, np.sqrt(1.5 * 2.5)], rtol=1e-5)
    assert code[0, Z] == 0
    np.testing.assert_allclose(centre[0, 2], np.sqrt(1.5 * 2.5) / 2, rtol=1e-5)
    assert not code[1].any()
