"""Pictures of at most 256 colours, drawn point by point: quick frames of moving pictures, and their file, a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.picture import DPI, new_figure, png

# N points, K corners of a line, C colours; H rows and W columns of pixels

Picture = NDArray[np.uint8]
"""Numbers of colours, [H, W]."""
MARK: Final = b"made by iscc-lidar"
"""A comment near the start of each GIF; by it the program recognises those that it may replace."""

_NEAREST_M: Final = 0.5
"""What is nearer to the viewer, or behind, is not drawn."""
_FARTHEST_PX: Final = 10_000
"""Ends of lines are moved at most so far, lest one takes long to draw."""


@dataclass(frozen=True)
class View:
    """How space is seen in a picture.

    Attributes:
        pixel_P_sensor: float64 [4, 4], takes homogeneous sensor coordinates to (u w, v w, depth, w): u right and v down
            in pixels, depth away from the viewer in metres, w 1 or, in perspective, the depth.
        metre_px: pixels of a metre at w = 1.
        width, height: pixels.
    """

    pixel_P_sensor: NDArray[np.float64]
    metre_px: float
    width: int
    height: int

    def project(self, xyz: NDArray[np.floating]) -> NDArray[np.float64]:
        """Take points [..., 3] of the sensor frame to (u w, v w, depth, w) [..., 4]."""
        found: NDArray[np.float64] = xyz.astype(np.float64) @ self.pixel_P_sensor[:, :3].T + self.pixel_P_sensor[:, 3]
        return found

    def blank(self) -> Picture:
        """Begin a picture, all of colour 0."""
        return np.zeros((self.height, self.width), np.uint8)


def from_above(reach_m: float, width: int, height: int) -> View:
    """Look down on the sensor, x up; ``reach_m`` metres from the middle to the nearer edges."""
    scale = min(width, height) / (2 * reach_m)
    rows = [(0, -scale, 0, width / 2), (-scale, 0, 0, height / 2), (0, 0, -1, 0), (0, 0, 0, 1)]
    return View(np.array(rows, np.float64), scale, width, height)


def from_behind(back_m: float, up_m: float, down_rad: float, angle_rad: float, width: int, height: int) -> View:
    """Look along x from behind and above the sensor, ``down_rad`` below the horizon, over an angle from left to right.

    The viewer is ``back_m`` behind and ``up_m`` above the sensor.
    """
    focal = width / 2 / np.tan(angle_rad / 2)
    cos, sin = np.cos(down_rad), np.sin(down_rad)
    right_down_ahead = np.array([(0, -1, 0), (-sin, 0, -cos), (cos, 0, -sin)])
    camera_T_sensor = np.column_stack([right_down_ahead, right_down_ahead @ [back_m, 0, -up_m]])
    camera = np.array([(focal, 0, width / 2), (0, focal, height / 2), (0, 0, 1), (0, 0, 1)])
    return View(camera @ camera_T_sensor, focal, width, height)


def draw_points(
    picture: Picture, view: View, xyz: NDArray[np.floating], color: NDArray[np.uint8], size_m: float, least_px: int = 1
) -> None:
    """Draw points [N, 3] of the sensor frame as squares of ``size_m``, near ones over far ones.

    Args:
        picture: drawn into.
        view: of the picture.
        xyz: float [N, 3], metres.
        color: uint8 [N].
        size_m: edge, metres; in the picture at least ``least_px`` and at most 4 pixels more.
        least_px: smallest edge, pixels.
    """
    with np.errstate(all="ignore"):  # a damaged or forged file may say anything
        seen = view.project(xyz)
        corner = seen[:, :2] / seen[:, 3:]
        inside = (seen[:, 3] > _NEAREST_M) & (corner >= -8).all(axis=1)
        inside &= (corner < (view.width, view.height)).all(axis=1)
    order = np.flatnonzero(inside)
    order = order[np.argsort(-seen[order, 2], kind="stable")]
    edge = np.clip(np.rint(view.metre_px * size_m / seen[order, 3]), least_px, least_px + 4).astype(np.int64)
    u, v = np.floor(corner[order] - edge[:, None] / 2 + 0.5).astype(np.int64).T
    # One entry for each pixel of each square: of several in one place the last, which is nearest, remains.
    of = np.repeat(np.arange(len(order)), edge**2)
    place = np.arange(len(of)) - np.repeat(np.cumsum(edge**2) - edge**2, edge**2)
    u, v = u[of] + place % edge[of], v[of] + place // edge[of]
    shown = (u >= 0) & (u < view.width) & (v >= 0) & (v < view.height)
    picture[v[shown], u[shown]] = color[order][of[shown]]


def draw_lines(
    picture: Picture, view: View, lines: Sequence[NDArray[np.floating]], color: Sequence[int], width: int = 1
) -> None:
    """Draw lines, each through corners [K, 3] of the sensor frame, K at least 2; ``width`` in pixels."""
    from PIL import Image, ImageDraw

    if not lines:
        return
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    with np.errstate(all="ignore"):
        seen = [view.project(line) for line in lines]
        ends = _before_viewer(np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in seen]))
        uv = np.clip(np.rint(ends[..., :2] / ends[..., 3:]), -_FARTHEST_PX, _FARTHEST_PX)
    of = np.repeat(color, [len(line) - 1 for line in lines])
    drawn = np.isfinite(uv).all(axis=(1, 2))
    for (start, end), number in zip(uv[drawn].tolist(), of[drawn].tolist(), strict=True):
        draw.line((*start, *end), fill=number, width=width)
    picture[:] = np.asarray(image)


def _before_viewer(ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the parts of lines [M, 2, 4] that are nearer than ``_NEAREST_M``; NaN where nothing is left."""
    start, end = ends[:, 0], ends[:, 1]
    at = ((_NEAREST_M - start[:, 3]) / (end[:, 3] - start[:, 3]))[:, None]
    cut = np.where((start[:, 3:] < _NEAREST_M) & (end[:, 3:] < _NEAREST_M), np.nan, start + at * (end - start))
    start, end = (np.where(point[:, 3:] < _NEAREST_M, cut, point) for point in (start, end))
    return np.stack([start, end], axis=1)


def caption(text: str, width: int, height: int, levels: int) -> Picture:
    """Write a line of text in ``levels`` colours from background, 0, to text. Raises UserError without matplotlib."""
    figure = new_figure(width / DPI, height / DPI, "#000000", layout=None)
    figure.text(6 / width, 0.5, text, color="#ffffff", fontsize=9, verticalalignment="center_baseline")

    from PIL import Image  # comes with matplotlib

    light = np.asarray(Image.open(io.BytesIO(png(figure))).convert("L"))
    return np.rint(light / 255 * (levels - 1)).astype(np.uint8)


def gif(frames: Sequence[Picture], palette: NDArray[np.float64], frame_s: float, last_s: float) -> bytes:
    """Write frames [H, W] of the palette's colours [C, 3], 0 to 1, as a GIF that repeats; the last is shown longer."""
    from PIL import Image

    colors = np.rint(palette * 255).astype(np.uint8).tobytes()
    images = [Image.fromarray(frame) for frame in frames]
    for image in images:
        image.putpalette(colors)
    times = [round(frame_s * 1000)] * (len(frames) - 1) + [round(last_s * 1000)]
    data = io.BytesIO()
    images[0].save(
        data,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=times,
        loop=0,
        palette=colors,  # once, for all frames
        optimize=False,
        comment=MARK,
    )
    return data.getvalue()
