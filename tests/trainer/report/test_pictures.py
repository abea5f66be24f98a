from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.shared.base.palettes import BACKGROUND, FREE, OCCUPIED, distinct_colors, hex_color
from iscc_lidar.shared.base.picture import Extent
from iscc_lidar.trainer.report.inspect_sweeps import InspectedSweep
from iscc_lidar.trainer.report.pictures import (
    CROP_PIXELS,
    SWEEP_PIXELS,
    draw_group_prototypes,
    draw_groups,
    draw_side_view,
    group_size,
    image_tag,
    mark_answers,
    new_panel,
    side_axes,
    view_of,
    view_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pixels(panel: Axes) -> NDArray[np.uint8]:
    """Return the image that the page gets, uint8 [height, width, 3]."""
    from PIL import Image

    source = image_tag(panel, "").split('"')[1]
    with Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))) as image:
        assert (image.format, image.mode) == ("PNG", "P")
        return np.asarray(image.convert("RGB"))


def is_drawn(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (image != list(bytes.fromhex(BACKGROUND[1:]))).any(axis=2)


def sweep_of(xyz: NDArray[np.float64], label: list[int], group: list[int], prototype: list[int]) -> InspectedSweep:
    count = len(group)
    return InspectedSweep(
        sequence="00",
        name="000000",
        xyz=xyz.astype(np.float32),
        label=np.array(label, np.int32),
        semantic=None,
        group=np.array(group, np.int32),
        prototype=np.array(prototype, np.int64),
        similarity=np.ones(count, np.float32),
        point_prototype=np.zeros(len(xyz), np.int64),
        answers=None,
    )


def test_from_above_x_is_right_and_y_is_up_and_groups_cover_the_rest():
    xyz = np.array([[10, 0, 0], [0, 5, 0], [0, 5, 9], [-10, -5, 0]])
    sweep = sweep_of(xyz, [7, 3, GROUND, NOISE], [3, 7], [1, 0])
    panel = view_panel(Extent(-20.0, 20.0, -10.0, 10.0))
    draw_group_prototypes(panel, sweep, np.array([[1.0, 0, 0], [0, 1, 0]]))
    image = pixels(panel)
    scale = SWEEP_PIXELS / 40
    assert image.shape == (round(20 * scale), SWEEP_PIXELS, 3)
    assert image[int(10 * scale), int(30 * scale)].tolist() == [255, 0, 0]
    assert image[int(5 * scale), int(20 * scale)].tolist() == [0, 255, 0]  # the ground point above does not hide it
    assert len(np.unique(image[int(15 * scale), int(10 * scale)])) > 1
    assert is_drawn(image).mean() < 0.01


def test_the_image_has_the_colours_that_were_drawn():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-20, 20, (5000, 3))
    sweep = sweep_of(xyz, (np.arange(5000) % 190).tolist(), list(range(190)), [0] * 190)
    panel = view_panel(Extent(-20.0, 20.0, -20.0, 20.0))
    draw_groups(panel, sweep)
    colors = {hex_color(color / 255) for color in np.unique(pixels(panel).reshape(-1, 3), axis=0)}
    assert {hex_color(color) for color in distinct_colors(np.arange(190))} | {BACKGROUND} == colors


def test_a_panel_is_clear_again_for_the_next_picture():
    panel = new_panel(40, 40)
    panel.scatter([0.5], [0.5])
    assert is_drawn(pixels(panel)).any()
    assert not is_drawn(pixels(panel)).any()


def test_the_view_follows_the_groups_within_bounds():
    rng = np.random.default_rng(0)
    xyz = np.stack([rng.uniform(-30, 30, 500), rng.uniform(-12, 15, 500), np.zeros(500)], axis=1)
    view = view_of(sweep_of(xyz, [1] * 500, [1], [0]), 40.0)
    assert -16 < view.y_min_m < -12
    assert 15 < view.y_max_m < 19
    assert (view.x_min_m, view.x_max_m) == (-40, 40)
    nothing = view_of(sweep_of(xyz, [NOISE] * 500, [], []), 40.0)
    assert (nothing.y_min_m, nothing.y_max_m) == (-40, 40)


def side_view(sweep: InspectedSweep) -> NDArray[np.bool_]:
    panel = new_panel(CROP_PIXELS[1], CROP_PIXELS[0])
    draw_side_view(panel, sweep, 0, np.full(3, 0.8))
    return is_drawn(pixels(panel))


def test_side_view_is_along_the_length_as_seen_from_the_sensor():
    rng = np.random.default_rng(0)
    wall = np.stack([rng.uniform(10, 20, 400), np.full(400, 5.0), rng.uniform(0, 2, 400)], axis=1)
    along, across = side_axes(wall.astype(np.float32))
    assert along == pytest.approx([1, 0], abs=1e-3)  # ahead of a sensor that looks to the left, +y: right is +x
    assert across == pytest.approx([0, 1], abs=1e-3)
    sweep = sweep_of(wall, [4] * 400, [4], [0])
    length, height, points = group_size(sweep, 0)
    assert (length, height, points) == (pytest.approx(10, abs=0.3), pytest.approx(2, abs=0.1), 400)
    drawn = side_view(sweep)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert np.ptp(columns) > 120
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(5, rel=0.15)


def test_a_single_point_can_be_drawn():
    assert side_view(sweep_of(np.array([[5.0, 5.0, 1.0]]), [0], [0], [0])).any()


def test_answers_are_marked_by_truth_and_by_shape():
    panel = new_panel(80, 40)
    panel.set(xlim=(0, 80), ylim=(0, 40))
    places = np.stack([[10, 30, 50, 70], np.full(4, 20)], axis=1).astype(np.float32)
    mark_answers(panel, places, np.array([True, True, False, False]), np.array([True, False, False, True]))
    image = pixels(panel)
    centres = [hex_color(color / 255) for color in image[20, [10, 30, 50, 70]]]
    assert centres == [OCCUPIED, OCCUPIED, FREE, FREE]
    right, wrong = is_drawn(image)[:, :20], is_drawn(image)[:, 20:40]
    assert right[20, 12]
    assert not right[17, 13]
    assert wrong[17].any()
    assert not wrong[20, 13]  # between the arms of the cross
