from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE
from iscc_lidar.trainer.report.color import group_palette, hex_color, oklch, prototype_palette
from iscc_lidar.trainer.report.look import Look
from iscc_lidar.trainer.report.pictures import (
    BACKGROUND,
    FREE_COLOR,
    OCCUPIED_COLOR,
    SWEEP_PIXELS,
    Frame,
    draw_group_prototypes,
    draw_side_view,
    frame_of,
    group_size,
    mark_answers,
    side_axes,
)
from iscc_lidar.trainer.report.png import encode


def decode(data: bytes) -> NDArray[np.uint8]:
    """A reader of just those PNG files that png.py writes; checks lengths and checksums."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], place = body, place + 12 + length
    assert list(chunks)[-1] == b"IEND"
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (lines[:, 0] == 0).all()
    if color == 2:
        return lines[:, 1:].reshape(height, width, 3)
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[lines[:, 1:]]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 400), st.integers(0, 99))
def test_png_holds_the_picture(height: int, width: int, colors: int, seed: int):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (colors, 3), np.uint8)[rng.integers(0, colors, (height, width))]
    assert np.array_equal(decode(encode(image)), image)


def test_png_is_one_that_others_read():
    pillow = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib")
    rng = np.random.default_rng(0)
    for colors in (3, 5000):
        image = rng.integers(0, 256, (colors, 3), np.uint8)[rng.integers(0, colors, (60, 80))]
        assert np.array_equal(np.asarray(pillow.open(io.BytesIO(encode(image))).convert("RGB")), image)


def look_of(xyz: NDArray[np.float64], label: list[int], group: list[int], prototype: list[int]) -> Look:
    count = len(group)
    return Look(
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
    look = look_of(xyz, [7, 3, GROUND, NOISE], [3, 7], [1, 0])
    palette = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)
    frame = Frame(20.0, -10.0, 10.0)
    image = draw_group_prototypes(look, palette, frame)
    scale = SWEEP_PIXELS / 40
    assert image.shape == (round(20 * scale), SWEEP_PIXELS, 3)
    assert image[int(10 * scale), int(30 * scale)].tolist() == [255, 0, 0]
    assert image[int(5 * scale), int(20 * scale)].tolist() == [0, 255, 0]  # the ground point above does not hide it
    assert len(np.unique(image[int(15 * scale), int(10 * scale)])) > 1
    assert (image.reshape(-1, 3) == BACKGROUND).all(axis=1).mean() > 0.99


def test_the_frame_follows_the_groups_within_bounds():
    rng = np.random.default_rng(0)
    xyz = np.stack([rng.uniform(-30, 30, 500), rng.uniform(-12, 15, 500), np.zeros(500)], axis=1)
    frame = frame_of(look_of(xyz, [1] * 500, [1], [0]), 40.0)
    assert -16 < frame.low_m < -12
    assert 15 < frame.high_m < 19
    nothing = frame_of(look_of(xyz, [NOISE] * 500, [], []), 40.0)
    assert (nothing.low_m, nothing.high_m) == (-40, 40)


def test_side_view_is_along_the_length_as_seen_from_the_sensor():
    rng = np.random.default_rng(0)
    wall = np.stack([rng.uniform(10, 20, 400), np.full(400, 5.0), rng.uniform(0, 2, 400)], axis=1)
    along, across = side_axes(wall.astype(np.float32))
    assert along == pytest.approx([1, 0], abs=1e-3)  # ahead of a sensor that looks to the left, +y: right is +x
    assert across == pytest.approx([0, 1], abs=1e-3)
    look = look_of(wall, [4] * 400, [4], [0])
    length, height, points = group_size(look, 0)
    assert (length, height, points) == (pytest.approx(10, abs=0.3), pytest.approx(2, abs=0.1), 400)
    drawn = (draw_side_view(look, 0, np.array([200, 200, 200], np.uint8)) != BACKGROUND).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert np.ptp(columns) > 120
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(5, rel=0.15)


def test_a_single_point_can_be_drawn():
    look = look_of(np.array([[5.0, 5.0, 1.0]]), [0], [0], [0])
    assert (draw_side_view(look, 0, np.array([200, 0, 0], np.uint8)) != BACKGROUND).any()


def test_answers_are_marked_by_truth_and_by_shape():
    image = np.zeros((40, 80, 3), np.uint8)
    row, column = np.full(4, 20.0, np.float32), np.array([10, 30, 50, 70], np.float32)
    occupied, answer = np.array([True, True, False, False]), np.array([True, False, False, True])
    mark_answers(image, row, column, occupied, answer)
    centres = image[20, [10, 30, 50, 70]].tolist()
    assert centres == [list(OCCUPIED_COLOR), list(OCCUPIED_COLOR), list(FREE_COLOR), list(FREE_COLOR)]
    right, wrong = image[:, :20].any(axis=2), image[:, 20:40].any(axis=2)
    assert right[20, 12]
    assert not right[17].any()
    assert wrong[17].any()
    assert not wrong[20, 13]  # between the arms of the cross


def test_colours_are_distinct_and_do_not_depend_on_order_of_use():
    palette = group_palette()
    assert len(np.unique(palette, axis=0)) > 0.95 * len(palette)
    assert palette.min(axis=1).max() < 255
    near = np.abs(palette[1:].astype(int) - palette[:-1]).sum(axis=1)
    assert near.min() > 60


def test_like_prototypes_get_like_hues():
    rng = np.random.default_rng(0)
    kinds = np.eye(16)[[0, 1, 2]]
    centres = np.repeat(kinds, 20, axis=0) + 0.05 * rng.standard_normal((60, 16))
    palette = prototype_palette(centres.astype(np.float32)).astype(float)
    chroma = palette - palette.mean(axis=1, keepdims=True)
    hue = np.exp(1j * np.arctan2(chroma @ [0, 1, -1], chroma @ [2, -1, -1]))
    kept = [abs(hue[20 * k : 20 * k + 20].mean()) for k in range(3)]
    assert min(kept) > 0.5  # a third of the circle each
    assert abs(hue.mean()) < 0.4


def test_a_single_prototype_has_a_colour():
    assert hex_color(prototype_palette(np.ones((1, 4), np.float32))[0]).startswith("#")


def test_oklch_without_chroma_would_be_grey_so_lightness_is_what_it_says():
    rgb = oklch(np.array([0.6, 0.8]), np.array([0.1, 0.1])).astype(float)
    assert rgb[0].mean() < rgb[1].mean()
