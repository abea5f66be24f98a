"""Pictures of sweeps and groups as RGB arrays, drawn by numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.trainer.evaluation.occupancy import MaskedPredictions
from iscc_lidar.trainer.report.color import GROUP_COLORS, group_palette
from iscc_lidar.trainer.report.look import Look

# N points, C prototypes; images are uint8 [height, width, 3]

Image = NDArray[np.uint8]

SWEEP_PIXELS: Final = 800
"""Width of a sweep's picture."""
CROP_PIXELS: Final = (96, 144)
"""Height and width of a group's picture."""
HIDDEN_PIXELS: Final = 220
_MANY: Final = 200
"""A group of more points is drawn with smaller dots."""
BACKGROUND: Final = (16, 20, 24)
_GROUND: Final = (44, 52, 60)
_GREY: Final = (86, 97, 108)
_LIGHT: Final = (150, 160, 170)
OCCUPIED_COLOR: Final = (255, 156, 61)
FREE_COLOR: Final = (78, 163, 255)


def _offsets(pattern: str) -> NDArray[np.int64]:
    rows = pattern.split("/")
    marked = np.argwhere(np.array([list(row) for row in rows]) == "#")
    return marked - len(rows) // 2


_DOT: Final = _offsets("##/##")
_BLOCK: Final = _offsets("###/###/###")
_DISC: Final = _offsets(".###./#####/#####/#####/.###.")
_CROSS: Final = _offsets("##...##/###.###/.#####./..###../.#####./###.###/##...##")


@dataclass(frozen=True)
class Frame:
    """What of a sweep is shown from above: x from -reach_m to reach_m, y from low_m to high_m."""

    reach_m: float
    low_m: float
    high_m: float

    @property
    def pixels_per_m(self) -> float:
        """Scale."""
        return SWEEP_PIXELS / (2 * self.reach_m)

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return max(int((self.high_m - self.low_m) * self.pixels_per_m), 1)

    def place(self, xyz: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Row and column of points [n, 3]: x to the right, y up."""
        return (self.high_m - xyz[:, 1]) * self.pixels_per_m, (xyz[:, 0] + self.reach_m) * self.pixels_per_m


def frame_of(look: Look, reach_m: float) -> Frame:
    """Frame with the sensor in the middle of its width and, in height, 98 % of the grouped points within reach."""
    inside = (look.label >= 0) & (np.abs(look.xyz[:, :2]) <= reach_m).all(axis=1)
    low, high = np.percentile(look.xyz[inside, 1], [1, 99]) if inside.any() else (-reach_m, reach_m)
    low, high = min(float(low) - 2, -reach_m / 4), max(float(high) + 2, reach_m / 4)
    return Frame(reach_m, max(low, -reach_m), min(high, reach_m))


def draw_groups(look: Look, frame: Frame) -> Image:
    """From above, x to the right, a colour a group; ground dark, points of no group grey."""
    colors = np.full((len(look.label), 3), _GREY, np.uint8)
    colors[look.label == GROUND] = _GROUND
    grouped = look.label >= 0
    colors[grouped] = group_palette()[look.label[grouped] % GROUP_COLORS]
    return _from_above(look, colors, frame)


def draw_group_prototypes(look: Look, palette: NDArray[np.uint8], frame: Frame) -> Image:
    """From above, each group in the colour [C, 3] of its nearest prototype; all else grey."""
    colors = np.full((len(look.label), 3), _GREY, np.uint8)
    colors[look.label == GROUND] = _GROUND
    inside = np.isin(look.label, look.group)
    colors[inside] = palette[look.prototype[np.searchsorted(look.group, look.label[inside])]]
    return _from_above(look, colors, frame)


def draw_point_prototypes(look: Look, palette: NDArray[np.uint8], frame: Frame) -> Image:
    """From above, every point in the colour [C, 3] of its own voxel's nearest prototype."""
    return _from_above(look, palette[look.point_prototype], frame)


def draw_answers(look: Look, answers: MaskedPredictions, frame: Frame) -> Image:
    """From above: what the network saw in grey, and its answers; see mark_answers."""
    colors = np.full((len(look.label), 3), _GREY, np.uint8)
    colors[look.label == GROUND] = _GROUND
    image = _from_above(look, colors, frame)
    place = frame.place(answers.xyz)
    mark_answers(image, *place, answers.occupied, answers.predicted)
    return image


def draw_hidden_crop(look: Look, answers: MaskedPredictions, crop: int) -> Image:
    """One crop from the side, the sensor to the left, z up: what was seen grey, what was hidden light, the answers."""
    crops = answers.balls
    centre = crops.centre[crop]
    reach = float(crops.radius[crop]) * 1.5
    ahead = centre[:2] / max(float(np.linalg.norm(centre[:2])), 1e-6)
    image = _blank(HIDDEN_PIXELS, HIDDEN_PIXELS)
    scale = HIDDEN_PIXELS / (2 * reach)

    def place(xyz: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        offset = xyz - centre
        return (reach - offset[:, 2]) * scale, (offset[:, :2] @ ahead + reach) * scale

    # Only a slice as thick as the crop: what lies beside it would cover it.
    near = (np.abs(look.xyz - centre) <= reach).all(axis=1)
    _stamp(image, *place(look.xyz[near & crops.visible]), _GREY, _DOT)
    _stamp(image, *place(look.xyz[near & ~crops.visible]), _LIGHT, _DOT)
    mine = answers.ball == crop
    mark_answers(image, *place(answers.xyz[mine]), answers.occupied[mine], answers.predicted[mine])
    return image


def mark_answers(
    image: Image,
    row: NDArray[np.float32],
    column: NDArray[np.float32],
    occupied: NDArray[np.bool_],
    answer: NDArray[np.bool_],
) -> None:
    """Mark queries: occupied ones orange, free ones blue; a disc where the answer is right, a cross where wrong."""
    for right, shape in ((True, _DISC), (False, _CROSS)):
        for truth, color in ((True, OCCUPIED_COLOR), (False, FREE_COLOR)):
            chosen = (occupied == truth) & ((answer == occupied) == right)
            _stamp(image, row[chosen], column[chosen], color, shape)


def draw_side_view(look: Look, group: int, color: NDArray[np.uint8]) -> Image:
    """The group at position ``group`` of the look, along its length, z up, filling the picture; nearer is brighter.

    Small groups are not drawn larger than if they were 2 m long and 1.3 m high.
    """
    xyz = look.xyz[look.label == look.group[group]]
    along, across = side_axes(xyz)
    flat = xyz[:, :2] - xyz[:, :2].mean(axis=0)
    u, depth, z = flat @ along, flat @ across, xyz[:, 2] - xyz[:, 2].min()
    height, width = CROP_PIXELS
    image = _blank(height, width)
    scale = min((width - 12) / max(float(np.ptp(u)), 2.0), (height - 12) / max(float(z.max()), 1.3))
    row, column = height - 6 - z * scale, width / 2 + (u - (u.max() + u.min()) / 2) * scale
    near = 1 - (depth - depth.min()) / max(float(np.ptp(depth)), 1e-6)
    shade = (0.55 + 0.15 * np.rint(near * 3))[:, None]
    order = np.argsort(near, kind="stable")
    _stamp(
        image,
        row[order],
        column[order],
        (color * shade).clip(0, 255).astype(np.uint8)[order],
        _DOT if len(xyz) > _MANY else _BLOCK,
    )
    return image


def side_axes(xyz: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Horizontal unit vectors along and across points [n, 3], as the sensor at the origin sees them.

    ``along`` is the first principal axis and points to the sensor's right, ``across`` away from the sensor.
    """
    flat = xyz[:, :2].astype(np.float64)
    middle = flat.mean(axis=0)
    along = np.linalg.eigh(np.cov((flat - middle).T, bias=True))[1][:, 1]
    across = np.array([-along[1], along[0]])
    if across @ middle < 0:
        across = -across
    return np.array([across[1], -across[0]]), across


def group_size(look: Look, group: int) -> tuple[float, float, int]:
    """Length along ``side_axes`` and height of a group, metres, and its points."""
    xyz = look.xyz[look.label == look.group[group]]
    return float(np.ptp(xyz[:, :2] @ side_axes(xyz)[0])), float(np.ptp(xyz[:, 2])), len(xyz)


def _from_above(look: Look, colors: NDArray[np.uint8], frame: Frame) -> Image:
    image = _blank(frame.height, SWEEP_PIXELS)
    order = np.lexsort((look.xyz[:, 2], look.label >= 0))  # groups over the rest, then the higher over the lower
    _stamp(image, *frame.place(look.xyz[order]), colors[order], _DOT)
    return image


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), BACKGROUND, np.uint8)


def _stamp(
    image: Image,
    row: NDArray[np.floating],
    column: NDArray[np.floating],
    color: tuple[int, int, int] | NDArray[np.uint8],
    shape: NDArray[np.int64],
) -> None:
    """Put a shape, offsets [m, 2] in pixels, at each place; of several at one pixel the last one shows."""
    at = np.stack([np.floor(row), np.floor(column)], axis=1).astype(np.int64)
    pixels = (at[:, None] + shape).reshape(-1, 2)
    fill = np.broadcast_to(np.asarray(color, np.uint8), (len(at), 3)).repeat(len(shape), axis=0)
    inside = ((pixels >= 0) & (pixels < image.shape[:2])).all(axis=1)
    pixels, fill = pixels[inside], fill[inside]
    # numpy leaves open which of several writes to one place wins: keep the last of each.
    flat = pixels[:, 0] * image.shape[1] + pixels[:, 1]
    unique, last = np.unique(flat[::-1], return_index=True)
    image.reshape(-1, 3)[unique] = fill[::-1][last]
