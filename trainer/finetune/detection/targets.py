"""Targets of the detection head: a heat map of centres for each class, and the box at each centre.

After CenterPoint (Yin et al., CVPR 2021), with boxes predicted at the centre's cell and its four neighbours, which
gives more targets per label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes
from iscc_lidar.trainer.finetune.detection.grid import GridConfig

CODE: Final = 9
"""Numbers per box: centre relative to the cell's, in cells (x, y); z of the bottom, metres; logarithms of length, width
and height; sine and cosine of twice the heading; 1 or -1 for which of the two headings it is. Front and back look
alike, and the mean of two opposite headings is neither."""
Z: Final = 2
SIZE: Final = slice(3, 6)
FORWARD: Final = 8
"""Columns of the bottom, the size, and which heading it is."""
_NEIGHBOURS: Final = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
_MIN_RADIUS: Final = 2  # cells


@dataclass(frozen=True)
class Targets:
    """Targets of one scene, on a grid of [X, Y] cells.

    Attributes:
        heat: float32 [C, X, Y], 1 at the centres of boxes, falling around them.
        ignored: bool [X, Y], cells in ignored boxes.
        at: int64 [R], (class * X + x) * Y + y of the places where a box is predicted.
        code: float32 [R, CODE], the boxes.
    """

    heat: NDArray[np.float32]
    ignored: NDArray[np.bool_]
    at: NDArray[np.int64]
    code: NDArray[np.float32]


def make_targets(boxes: Boxes, used: NDArray[np.bool_], names: Sequence[str], grid: GridConfig) -> Targets:
    """Make the targets of boxes [N]; of those not ``used`` [N] the cells are ignored, the others are of ``names``."""
    shape = grid.shape
    heat = np.zeros((len(names), *shape), dtype=np.float32)
    ignored = np.zeros(shape, dtype=np.bool_)
    places: list[int] = []
    codes: list[NDArray[np.float64]] = []
    place = (boxes.centre[:, :2] - grid.corner) / grid.cell_m
    for k in range(len(boxes)):
        length, width = boxes.size[k, :2] / grid.cell_m
        if not used[k]:
            ignored |= _covered(shape, place[k], (length + 1, width + 1), float(boxes.heading[k]))
            continue
        middle = np.floor(place[k]).astype(np.int64)
        if not ((middle >= 0) & (middle < shape)).all():
            continue
        label = names.index(str(boxes.kind[k]))
        _add_peak(heat[label], middle, max(_MIN_RADIUS, int(min(length, width) / 2)))
        for at in middle + _NEIGHBOURS:
            if ((at >= 0) & (at < shape)).all():
                places.append(int((label * shape[0] + at[0]) * shape[1] + at[1]))
                codes.append(encode(boxes, k, place[k] - (at + 0.5)))
    code = np.array(codes, dtype=np.float32).reshape(-1, CODE)
    return Targets(heat, ignored, np.array(places, dtype=np.int64), code)


def _add_peak(heat: NDArray[np.float32], middle: NDArray[np.int64], radius: int) -> None:
    """Raise a map [X, Y] to a Gaussian of height 1 around a cell."""
    low, high = np.maximum(middle - radius, 0), np.minimum(middle + radius + 1, heat.shape)
    x, y = (np.arange(a, b) - m for a, b, m in zip(low, high, middle, strict=True))
    gaussian = np.exp(-(x[:, None] ** 2 + y[None] ** 2) / (2 * ((2 * radius + 1) / 6) ** 2))
    part = heat[low[0] : high[0], low[1] : high[1]]
    np.maximum(part, gaussian.astype(np.float32), out=part)


def _covered(
    shape: tuple[int, int], middle: NDArray[np.float64], size: tuple[float, float], heading: float
) -> NDArray[np.bool_]:
    """Test which cells have their middle in a rectangle given in cells, bool [X, Y]."""
    x, y = np.arange(shape[0])[:, None] + 0.5 - middle[0], np.arange(shape[1])[None] + 0.5 - middle[1]
    along = np.cos(heading) * x + np.sin(heading) * y
    across = -np.sin(heading) * x + np.cos(heading) * y
    covered: NDArray[np.bool_] = (np.abs(along) <= size[0] / 2) & (np.abs(across) <= size[1] / 2)
    return covered


def encode(boxes: Boxes, k: int, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Encode the k-th box, whose centre lies ``offset`` [2] cells from a cell's middle: float64 [CODE]."""
    heading = boxes.heading[k]
    axis = [np.sin(2 * heading), np.cos(2 * heading)]
    forward = 1.0 if np.cos(heading - np.arctan2(*axis) / 2) > 0 else -1.0
    bottom = boxes.bottom[k : k + 1]  # the ground is easier to see than the centre
    return np.concatenate([offset, bottom, np.log(boxes.size[k]), axis, [forward]])


def typical_codes(boxes: Boxes, names: Sequence[str]) -> NDArray[np.float32]:
    """Encode a box of mean size for each class, its bottom at 0: float32 [C, CODE]."""
    code = np.zeros((len(names), CODE), dtype=np.float32)
    for k, name in enumerate(names):
        size = boxes.size[boxes.kind == name]
        if len(size):
            code[k, SIZE] = np.log(size).mean(axis=0)
    return code


def decode(
    code: NDArray[np.floating], cell: NDArray[np.int64], grid: GridConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return centres [R, 3], sizes [R, 3] and headings [R] of codes [R, CODE] at cells x * Y + y [R]."""
    code = code.astype(np.float64)
    at = np.stack(np.divmod(cell, grid.shape[1]), axis=1) + 0.5
    size = np.exp(code[:, SIZE])
    centre = np.column_stack([grid.corner + (at + code[:, :2]) * grid.cell_m, code[:, Z] + size[:, 2] / 2])
    heading = np.arctan2(code[:, 6], code[:, 7]) / 2 + np.where(code[:, FORWARD] > 0, 0.0, np.pi)
    return centre, size, np.angle(np.exp(1j * heading))
