"""Whatever is passed for points and poses: one line that names the argument, what was expected and what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from iscc_lidar.api.batches import read_batch
from iscc_lidar.api.checks import check_poses
from iscc_lidar.shared.base.errors import UserError


def changed(row: int, column: int, value: float) -> Any:
    found = np.full((10, 4), 0.5, np.float32)
    found[row, column] = value
    return found


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (None, "points: is a NoneType, expected an array or a tensor, float32"),
        (np.zeros((10, 3), np.float32), r"points: its shape is \[10, 3\], .*add a column of zeros"),
        (np.zeros(4, np.float32), r"points: its shape is \[4\], expected float32 \[N, 4\]"),
        (np.zeros((10, 5), np.float32), r"points: its shape is \[10, 5\]"),
        (np.zeros((10, 4)), r"points: its dtype is float64, .*\.astype\(np\.float32\)"),
        (np.zeros((10, 4), ">f4"), "points: its dtype is >f4"),
        (np.zeros((10, 4), object), "points: its dtype is object"),
        (torch.zeros(10, 4, dtype=torch.float64), r"points: its dtype is torch\.float64, .*\.float\(\)"),
        (torch.zeros(10, 4, dtype=torch.bfloat16), r"points: its dtype is torch\.bfloat16"),
        (torch.zeros(10, 3), r"points: its shape is \[10, 3\]"),
        (changed(3, 1, np.nan), "points: 1 of 10 points are not finite .* row 3; remove these rows, or set them to 0"),
        (changed(4, 3, np.inf), "points: 1 of 10 points are not finite .* row 4"),
        (changed(0, 0, 4.5e6), r"points: a coordinate is 4\.5e\+06 m, expected metres in the sensor's frame"),
        (changed(0, 3, 255), r"points: its intensity \(column 3\) is 0\.5 to 255, expected 0\.\.1; divide it by 255"),
        (changed(0, 3, -1), r"points: its intensity \(column 3\) is -1 to 0\.5, expected 0\.\.1; scale it"),
        ([], "points: the list is empty"),
        ([changed(0, 0, 1), changed(0, 0, np.nan)], r"points\[1\]: 1 of 10 points are not finite"),
    ],
)
def test_points_that_are_not_as_described(points: object, words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        read_batch(points)
    assert "\n" not in str(raised.value)


def pose(**changes: float) -> Any:
    found = np.eye(4)
    for place, value in changes.items():
        found[int(place[1]), int(place[2])] = value
    return found


@pytest.mark.parametrize(
    ("poses", "words"),
    [
        ([pose()], "poses: has 1 pose for 2 sweeps"),
        (None, "poses: is a NoneType"),
        ([pose(), pose(p00=2.0)], r"poses\[1\]: is not rigid"),
        ([pose(), pose(p00=-1.0)], r"poses\[1\]: is not rigid"),
        ([pose(), pose(p30=1.0)], r"poses\[1\]: is not rigid; .* the last row 0, 0, 0, 1"),
        ([pose(), pose(p03=np.nan)], r"poses\[1\]: has numbers that are not finite"),
        ([pose(), pose(p03=1e9)], r"poses\[1\]: has numbers that are not finite or beyond 1e\+08 m"),
        ([pose(), pose().astype(np.float32)], r"poses\[1\]: is float32 \[4, 4\], expected an array float64 \[4, 4\]"),
        ([pose(), pose()[:3]], r"poses\[1\]: is float64 \[3, 4\]"),
        ([pose(), "pose"], r"poses\[1\]: is a str"),
    ],
)
def test_poses_that_are_not_as_described(poses: object, words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        check_poses(poses, 2)
    assert "\n" not in str(raised.value)


def test_an_array_of_poses_is_as_good_as_a_list() -> None:
    assert len(check_poses(np.stack([np.eye(4)] * 3), 3)) == 3
