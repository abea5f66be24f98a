"""Pictures of few colours: where points and lines come to lie, and a file that others read."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from iscc_lidar.shared.base.indexed import MARK, View, caption, draw_lines, draw_points, from_above, from_behind, gif

BEHIND = from_behind(10.0, 5.0, 0.3, 1.0, 60, 40)
ABOVE = from_above(10.0, 60, 40)
VIEWS = {"behind": BEHIND, "above": ABOVE}


def pixels(view: View, xyz: list[list[float]], size_m: float = 0.0) -> list[tuple[int, int]]:
    picture = view.blank()
    draw_points(picture, view, np.array(xyz), np.full(len(xyz), 7, np.uint8), size_m)
    return [(int(u), int(v)) for v, u in np.argwhere(picture == 7)]


def test_above_is_to_scale_with_x_up_and_y_to_the_left() -> None:
    assert pixels(ABOVE, [[0, 0, 0]]) == [(30, 20)]
    assert pixels(ABOVE, [[5, 0, 100]]) == [(30, 10)]  # 2 pixels a metre
    assert pixels(ABOVE, [[0, 5, 0]]) == [(20, 20)]
    assert pixels(ABOVE, [[50, 0, 0], [0, 50, 0], [-50, 0, 0]]) == []


def test_behind_is_a_camera_that_looks_down_along_x() -> None:
    ahead = 5.0 / np.tan(0.3) - 10.0  # where the middle of the picture meets the plane of the sensor
    assert BEHIND.project(np.array([ahead, 0, 0]))[[0, 1, 3]] / np.hypot(ahead + 10, 5) == pytest.approx([30, 20, 1])
    (left,), (right,), (high,), (far,) = (
        pixels(BEHIND, [place]) for place in ([ahead, 1, 0], [ahead, -1, 0], [ahead, 0, 1], [ahead + 20, 0, 0])
    )
    assert left[0] < 30 < right[0]
    assert high[1] < 20
    assert far[1] < 20
    assert pixels(BEHIND, [[-11, 0, 5], [-10, 0, 5], [-20, 0, 40]]) == []  # behind the viewer, or where it is


def test_near_points_are_larger() -> None:
    near, far = (len(pixels(BEHIND, [[x, 0, 0]], size_m=0.5)) for x in (0, 40))
    assert near > far >= 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from(sorted(VIEWS)), st.integers(1, 2))
def test_points_are_drawn_as_by_a_slow_twin(seed: int, count: int, name: str, least: int) -> None:
    view, rng = VIEWS[name], np.random.default_rng(seed)
    xyz = rng.uniform(-15, 30, (count, 3)) * [1, 1, 0.2]
    color = rng.integers(1, 200, count).astype(np.uint8)
    found, expected = view.blank(), view.blank()
    draw_points(found, view, xyz, color, 0.4, least)
    seen = view.project(xyz)
    for n in np.argsort(-seen[:, 2], kind="stable").tolist():
        u, v, _, w = seen[n]
        if w <= 0.5 or not -8 <= u / w < view.width or not -8 <= v / w < view.height:
            continue
        edge = int(np.clip(np.rint(view.metre_px * 0.4 / w), least, least + 4))
        left, top = (int(np.floor(at / w - edge / 2 + 0.5)) for at in (u, v))
        expected[max(top, 0) : max(top + edge, 0), max(left, 0) : max(left + edge, 0)] = color[n]
    np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 2**32 - 1))
def test_a_line_lies_where_its_points_lie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = rng.uniform([-30, -8, -2], [30, 8, 2], (2, 3))
    picture, dense = BEHIND.blank(), BEHIND.blank()
    draw_lines(picture, BEHIND, [line], [9])
    along = line[0] + np.linspace(0, 1, 20_000)[:, None] * (line[1] - line[0])
    draw_points(dense, BEHIND, along, np.full(len(along), 9, np.uint8), 0.0)
    drawn, expected = np.argwhere(picture == 9), np.argwhere(dense == 9)
    inner = expected[((expected > 1) & (expected < np.array(dense.shape) - 2)).all(axis=1)]
    for places, others in ((inner, drawn), (drawn, expected)):
        if len(places) and len(others):
            assert np.abs(places[:, None] - others[None]).max(axis=2).min(axis=1).max() <= 2
    assert bool(len(drawn)) >= bool(len(inner))


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("value", [1e300, -1e300, np.nan, np.inf, -np.inf, 1e15, 0.0])
def test_no_number_is_a_stumbling_block(view: View, value: float) -> None:
    begin = time.perf_counter()
    picture = view.blank()
    places = np.array([[value, 0, 0], [0, value, 0], [0, 0, value], [value, value, value], [1, 1, 1]])
    draw_points(picture, view, places, np.full(len(places), 5, np.uint8), 0.1, 2)
    draw_lines(picture, view, [places, places[::-1], places[:2]], [5, 6, 7], width=2)
    draw_lines(picture, view, [], [])
    assert picture.shape == (view.height, view.width)
    assert time.perf_counter() - begin < 2


def test_a_caption_is_readable_in_few_colours() -> None:
    text = caption("groups $x", 200, 24, 8)
    assert text.shape == (24, 200)
    assert text.min() == 0
    assert text.max() == 7
    assert (text[:, 150:] == 0).all()


def frames(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(count)
    still = rng.integers(0, 250, (40, 60)).astype(np.uint8)
    found = [still.copy() for _ in range(count)]
    for n, frame in enumerate(found):
        frame[10:20, n : n + 10] = rng.integers(0, 250, (10, 10))
    return found


def palette() -> NDArray[np.float64]:
    return np.random.default_rng(0).random((250, 3))


def test_pillow_reads_the_frames_as_they_were() -> None:
    expected, colors = frames(6), np.rint(palette() * 255).astype(np.uint8)
    image = Image.open(io.BytesIO(gif(expected, palette(), 0.1, 1.0)))
    assert getattr(image, "n_frames", 1) == 6
    for n, frame in enumerate(expected):
        image.seek(n)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colors[frame])
        assert image.info["duration"] == (1000 if n == 5 else 100)
    assert image.info["loop"] == 0


def blocks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The blocks of a GIF, by the specification of GIF89a."""
    assert data[:6] == b"GIF89a"
    flags = data[10]
    assert flags & 0x80
    at = 13 + 3 * 2 ** ((flags & 7) + 1)
    while data[at] != 0x3B:
        kind = f"extension {data[at + 1]:02x}" if data[at] == 0x21 else "image"
        begin, at = at, at + (2 if data[at] == 0x21 else 11)
        assert kind != "image" or not data[at - 2] & 0x80, "a palette of its own"
        while data[at]:
            at += data[at] + 1
        at += 1
        yield kind, data[begin:at]
    assert at == len(data) - 1


def test_the_file_is_what_the_format_says() -> None:
    found = list(blocks(gif(frames(3), palette(), 0.1, 0.5)))
    kinds = [kind for kind, _ in found]
    assert kinds.count("image") == kinds.count("extension f9") == 3
    delays = [struct.unpack("<H", block[4:6])[0] for kind, block in found if kind == "extension f9"]
    assert delays == [10, 10, 50]
    assert any(b"NETSCAPE2.0\x03\x01\x00\x00" in block for _, block in found)
    assert MARK in gif(frames(3), palette(), 0.1, 0.5)[:1000]
    assert gif(frames(3), palette(), 0.1, 0.5) == gif(frames(3), palette(), 0.1, 0.5)
    assert gif(frames(1), palette(), 0.1, 0.5).startswith(b"GIF89a")
