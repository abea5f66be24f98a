"""Pictures of sweeps and groups, drawn onto a panel that fills its figure."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.shared.base.palettes import DARK_GREY, FREE, LIGHT_GREY, MID_GREY, OCCUPIED, distinct_colors
from iscc_lidar.shared.base.picture import DPI, Extent, dots, new_figure
from iscc_lidar.trainer.evaluation.occupancy import MaskedPredictions
from iscc_lidar.trainer.report.inspect_sweeps import InspectedSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# N points, C prototypes

SWEEP_PIXELS: Final = 800
"""Width of a sweep's picture."""
CROP_PIXELS: Final = (96, 144)
"""Height and width of a group's picture."""
HIDDEN_PIXELS: Final = 220
_MARGIN: Final = 6
"""Pixels left free around a group."""
_MANY: Final = 200
"""A group of more points is drawn with smaller dots."""
_DOT, _BLOCK, _DISC, _CROSS = 2.1, 4.8, 14.0, 26.0
"""Areas of dots and marks in square points: about 2, 3, 5 and 7 pixels wide."""


def new_panel(width: int, height: int) -> Axes:
    """Begin a picture of this size in pixels."""
    figure = new_figure(width / DPI, height / DPI, layout=None)
    panel = figure.add_axes((0, 0, 1, 1))
    panel.set_axis_off()
    return panel


def image_tag(panel: Axes, alt: str) -> str:
    """Write a picture as an <img> with a PNG in it, and clear it for the next one, since a new panel takes 8 ms.

    Without anti-aliasing a picture has few colours: indexed, its PNG is a third of the size.
    """
    from PIL import Image

    canvas = panel.figure.canvas
    width, height = canvas.get_width_height()
    pixels, data = io.BytesIO(), io.BytesIO()
    for drawn in panel.collections:
        drawn.set_antialiased(False)
    canvas.print_figure(pixels, format="rgba")
    for drawn in list(panel.collections):
        drawn.remove()
    image = Image.frombytes("RGBA", (width, height), pixels.getvalue()).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(data, "PNG", compress_level=8)
    source = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(alt)}">'


def view_of(sweep: InspectedSweep, reach_m: float) -> Extent:
    """Return a view with the sensor in the middle of its width and, in height, 98 % of the grouped points in reach."""
    inside = (sweep.label >= 0) & (np.abs(sweep.xyz[:, :2]) <= reach_m).all(axis=1)
    low, high = np.percentile(sweep.xyz[inside, 1], [1, 99]) if inside.any() else (-reach_m, reach_m)
    low, high = min(float(low) - 2, -reach_m / 4), max(float(high) + 2, reach_m / 4)
    return Extent(-reach_m, reach_m, max(low, -reach_m), min(high, reach_m))


def view_panel(view: Extent) -> Axes:
    """Begin a picture of a view from above."""
    panel = new_panel(SWEEP_PIXELS, max(int(SWEEP_PIXELS * view.aspect), 1))
    panel.set(xlim=(view.x_min_m, view.x_max_m), ylim=(view.y_min_m, view.y_max_m))
    return panel


def draw_groups(panel: Axes, sweep: InspectedSweep) -> None:
    """Draw a sweep from above, each group in its own colour; ground dark, points of no group grey."""
    grouped = sweep.label >= 0
    _draw_in_grey(panel, sweep)
    _draw_by_height(panel, sweep.xyz[grouped], distinct_colors(sweep.label[grouped]))


def draw_group_prototypes(panel: Axes, sweep: InspectedSweep, palette: NDArray[np.float64]) -> None:
    """Draw a sweep from above, each group in the colour [C, 3] of its nearest prototype; all else grey."""
    inside = np.isin(sweep.label, sweep.group)
    nearest = sweep.prototype[np.searchsorted(sweep.group, sweep.label[inside])]
    _draw_in_grey(panel, sweep)
    _draw_by_height(panel, sweep.xyz[inside], palette[nearest])


def draw_point_prototypes(panel: Axes, sweep: InspectedSweep, palette: NDArray[np.float64]) -> None:
    """Draw a sweep from above, every point in the colour [C, 3] of its own voxel's nearest prototype."""
    _draw_by_height(panel, sweep.xyz, palette[sweep.point_prototype])


def draw_answers(panel: Axes, sweep: InspectedSweep, answers: MaskedPredictions) -> None:
    """Draw a sweep from above in grey, and the network's predictions; see mark_answers."""
    _draw_in_grey(panel, sweep)
    mark_answers(panel, answers.xyz, answers.occupied, answers.predicted)


def draw_hidden_crop(panel: Axes, sweep: InspectedSweep, answers: MaskedPredictions, crop: int) -> None:
    """Draw a masked ball from the side, sensor to the left, z up: visible points grey, masked ones light."""
    crops = answers.balls
    centre = crops.centre[crop]
    reach = float(crops.radius[crop]) * 1.5
    ahead = centre[:2] / max(float(np.linalg.norm(centre[:2])), 1e-6)

    def from_side(xyz: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([(xyz - centre)[:, :2] @ ahead, xyz[:, 2] - centre[2]], axis=1)

    panel.set(xlim=(-reach, reach), ylim=(-reach, reach))
    # Only a slice as thick as the ball: what lies next to it would cover it.
    near = (np.abs(sweep.xyz - centre) <= reach).all(axis=1)
    dots(panel, from_side(sweep.xyz[near & crops.visible]), MID_GREY, _DOT, "s")
    dots(panel, from_side(sweep.xyz[near & ~crops.visible]), LIGHT_GREY, _DOT, "s")
    mine = answers.ball == crop
    mark_answers(panel, from_side(answers.xyz[mine]), answers.occupied[mine], answers.predicted[mine])


def mark_answers(
    panel: Axes, places: NDArray[np.float32], occupied: NDArray[np.bool_], answer: NDArray[np.bool_]
) -> None:
    """Mark queries [Q, 2 or 3]: occupied orange, free blue; a disc where the prediction is right, a cross if wrong."""
    for truth, color in ((True, OCCUPIED), (False, FREE)):
        right, wrong = (places[(occupied == truth) & ((answer == occupied) == good)] for good in (True, False))
        dots(panel, right, color, _DISC)
        panel.scatter(wrong[:, 0], wrong[:, 1], _CROSS, color, marker="x", linewidths=1.4, zorder=2)


def draw_side_view(panel: Axes, sweep: InspectedSweep, group: int, color: NDArray[np.float64]) -> None:
    """Draw the group at position ``group`` along its length, z up, filling the picture; nearer points are brighter.

    Small groups are not drawn larger than if they were 2 m long and 1.3 m high.
    """
    xyz = sweep.xyz[sweep.label == sweep.group[group]]
    along, across = side_axes(xyz)
    flat = xyz[:, :2] - xyz[:, :2].mean(axis=0)
    u, depth, z = flat @ along, flat @ across, xyz[:, 2] - xyz[:, 2].min()
    height, width = CROP_PIXELS
    wide, high = width - 2 * _MARGIN, height - 2 * _MARGIN
    pixel_m = max(max(float(np.ptp(u)), 2.0) / wide, max(float(z.max()), 1.3) / high)
    middle = float(u.max() + u.min()) / 2
    panel.set(xlim=(middle - width / 2 * pixel_m, middle + width / 2 * pixel_m))
    panel.set(ylim=(-_MARGIN * pixel_m, (height - _MARGIN) * pixel_m))
    near = 1 - (depth - depth.min()) / max(float(np.ptp(depth)), 1e-6)
    shade = (0.55 + 0.15 * np.rint(near * 3))[:, None]
    order = np.argsort(near, kind="stable")
    dots(panel, np.stack([u, z], axis=1)[order], (color * shade)[order], _DOT if len(xyz) > _MANY else _BLOCK, "s")


def side_axes(xyz: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return horizontal unit vectors along and across points [n, 3], as seen from the sensor at the origin.

    ``along`` is the first principal axis and points to the sensor's right, ``across`` away from the sensor.
    """
    flat = xyz[:, :2].astype(np.float64)
    middle = flat.mean(axis=0)
    along = np.linalg.eigh(np.cov((flat - middle).T, bias=True))[1][:, 1]
    across = np.array([-along[1], along[0]])
    if across @ middle < 0:
        across = -across
    return np.array([across[1], -across[0]]), across


def group_size(sweep: InspectedSweep, group: int) -> tuple[float, float, int]:
    """Return length along ``side_axes`` and height of a group, metres, and its number of points."""
    xyz = sweep.xyz[sweep.label == sweep.group[group]]
    return float(np.ptp(xyz[:, :2] @ side_axes(xyz)[0])), float(np.ptp(xyz[:, 2])), len(xyz)


def _draw_in_grey(panel: Axes, sweep: InspectedSweep) -> None:
    ground = sweep.label == GROUND
    dots(panel, sweep.xyz[ground], DARK_GREY, _DOT, "s")
    dots(panel, sweep.xyz[~ground], MID_GREY, _DOT, "s")


def _draw_by_height(panel: Axes, xyz: NDArray[np.float32], colors: NDArray[np.float64]) -> None:
    """Draw points [n, 3] from above, each in its colour [n, 3], the higher over the lower."""
    order = np.argsort(xyz[:, 2], kind="stable")
    dots(panel, xyz[order], colors[order], _DOT, "s")
