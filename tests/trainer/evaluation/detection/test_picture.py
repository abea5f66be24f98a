"""The picture of boxes: labels and likely boxes stand where they are, unlikely ones are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space, no_boxes
from iscc_lidar.shared.base.picture import Extent
from iscc_lidar.shared.cache.sweep import CachedSweep, Queries
from iscc_lidar.trainer.evaluation.detection.picture import draw_boxes

VIEW = Extent(0.0, 50.0, -25.0, 25.0)
GREEN, RED = (77, 209, 122), (255, 77, 77)


@pytest.fixture
def sweep() -> CachedSweep:
    xyz = np.array([[5.0, 5.0, 0.0], [30.0, -10.0, 0.0]], np.float32)
    none: Any = np.zeros(0)
    return CachedSweep("00", 0, "000000", xyz, none, none, None, np.eye(4), Queries(none, none, none, none))


def cars(*centre: tuple[float, float]) -> Boxes:
    n = len(centre)
    xyz = np.column_stack([np.array(centre), np.zeros(n)])
    return boxes_in_space(np.full(n, "Car"), xyz, np.tile([4.0, 2.0, 1.5], (n, 1)), np.zeros(n))


def where(path: Path, color: tuple[int, int, int]) -> NDArray[np.float64]:
    """Shares of width and height, from the lower left corner, of the pixels of a colour below the legend: [N, 2]."""
    image = pytest.importorskip("matplotlib.image").imread(path)[:, :, :3]
    row, column = np.nonzero((abs(image * 255 - np.array(color)) < 60).all(axis=2))
    share = np.column_stack([column / image.shape[1], 1 - row / image.shape[0]])
    return share[share[:, 1] < 0.8]


def test_boxes_stand_where_they_are(sweep: CachedSweep, tmp_path: Path) -> None:
    draw_boxes(sweep, cars((10, -20)), cars((40, 0), (10, 0)), np.array([0.9, 0.1]), VIEW, tmp_path / "p.png")
    label, found = where(tmp_path / "p.png", GREEN), where(tmp_path / "p.png", RED)
    for box, low, right in ((label, (8, 4), 12), (found, (38, 24), 42)):
        assert np.allclose(box.min(axis=0), np.array(low) / (50, 53), atol=0.02)
        assert np.isclose(box[:, 0].max(), right / 50, atol=0.02)
    assert found[:, 0].min() > 0.7  # the unlikely one is not there


def test_what_lies_outside_the_view_is_not_drawn(sweep: CachedSweep, tmp_path: Path) -> None:
    draw_boxes(sweep, cars((80, 0)), cars((70, 0)), np.array([0.9]), VIEW, tmp_path / "p.png")
    assert len(where(tmp_path / "p.png", GREEN)) == len(where(tmp_path / "p.png", RED)) == 0


def test_nothing_found_is_a_picture_too(sweep: CachedSweep, tmp_path: Path) -> None:
    draw_boxes(sweep, no_boxes(), no_boxes(), np.zeros(0), VIEW, tmp_path / "p.png")
    assert len(where(tmp_path / "p.png", RED)) == 0
