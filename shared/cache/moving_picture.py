"""A moving picture of a sequence: its groups from behind the car and from above, boxes, trails of what moves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.data_schemas.boxes import box_corners
from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.shared.base.confidence import LEAST_CONFIDENCE
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.base.indexed import (
    MARK,
    Picture,
    View,
    caption,
    draw_lines,
    draw_points,
    from_above,
    from_behind,
    gif,
)
from iscc_lidar.shared.base.own import refuse_foreign_file, write_own_file
from iscc_lidar.shared.base.palettes import (
    BACKGROUND,
    BOXED_POINTS,
    MID_GREY,
    TEXT,
    few_distinct,
    few_distinct_colors,
    ramp,
    rgb,
)
from iscc_lidar.shared.cache.reader import Cache

MOST_SWEEPS: Final = 200
"""Frames are kept until all are drawn: 60 MB."""

_WIDTHS: Final = (500, 340)
_HEIGHT: Final = 340
_GAP: Final = 8
_CAPTION: Final = 24
_POINT_M: Final = 0.11
_TRAIL: Final = 12
"""Sweeps over which the way of a moving group is shown."""
_CAR_M: Final = np.array([(2.2, 0, -1), (-2.0, 0.9, -1), (-1.2, 0, -1), (-2.0, -0.9, -1), (2.2, 0, -1)])
"""An arrow below the sensor, along x."""
_EDGES: Final = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)

_BEHIND: Final = "Groups, found without labels: each keeps its colour. Ground: grey"
_ABOVE: Final = "Boxes are tracked. White, with a trail: moving"

_LEVELS: Final = 8
_WHITE: Final = _LEVELS - 1
_GROUND, _RESTING = _LEVELS, _LEVELS + 1
_GROUPS: Final = _LEVELS + 2


@dataclass(frozen=True)
class _Moment:
    """What one frame shows, sensor frame: points, lines as corners [K, 3], each with the number of its colour."""

    xyz: NDArray[np.float32]
    color: NDArray[np.uint8]
    boxes: list[tuple[NDArray[np.float64], int]]
    trails: list[tuple[NDArray[np.float64], int]]


def draw_moving_picture(
    cache: Cache, sequence: str, start: int, sweeps: int, path: Path, reach_m: float = 30.0, show_progress: bool = False
) -> None:
    """Write a GIF of at most ``sweeps`` sweeps of a sequence, from ``start`` on; the same bytes for the same cache.

    Args:
        cache: with the sequence.
        sequence: its name.
        start: index of the first sweep.
        sweeps: number of sweeps, 1 to ``MOST_SWEEPS``.
        path: GIF to write.
        reach_m: half the width of the area seen from above, metres.
        show_progress: whether to show a bar.

    Raises:
        UserError: no such sweep, a damaged cache, a foreign file at ``path``, or no matplotlib.
    """
    if not 1 <= sweeps <= MOST_SWEEPS:
        raise ValueError(f"a moving picture has 1 to {MOST_SWEEPS} sweeps, not {sweeps}")
    refuse_foreign_file(path, MARK)
    stop = min(start + sweeps, cache.sequence(sequence).sweeps)
    cache.block(sequence, start)  # whether there is such a sweep
    behind, above = (
        from_behind(13.0, 7.5, np.radians(21.0), np.radians(64.0), _WIDTHS[0], _HEIGHT),
        from_above(reach_m, _WIDTHS[1], _HEIGHT),
    )
    head = np.concatenate([_caption(_WIDTHS[0], _BEHIND), _caption(_WIDTHS[1] + _GAP, _ABOVE)], axis=1)
    gap = np.zeros((_HEIGHT, _GAP), np.uint8)
    frames: list[Picture] = []
    past: deque[dict[int, NDArray[np.float64]]] = deque(maxlen=_TRAIL)
    before = max(0, start - _TRAIL + 1)  # trails begin before the picture
    for index in tqdm(range(before, stop), desc="show", unit="sweep", leave=False, disable=not show_progress):
        moment = _moment(cache, sequence, index, past)
        if index < start:
            continue
        below = np.concatenate([_draw(behind, moment), gap, _draw(above, moment)], axis=1)
        frames.append(np.concatenate([head, below]))
    fixed = np.array([*ramp(BACKGROUND, TEXT, _LEVELS), rgb(MID_GREY[1:]), rgb(BOXED_POINTS[1:])])
    palette = np.concatenate([fixed, few_distinct_colors()])
    write_own_file(path, gif(frames, palette, frame_s=0.1, last_s=1.0), MARK)


def _caption(width: int, text: str) -> Picture:
    return caption(text, width, _CAPTION, _LEVELS)


def _moment(cache: Cache, sequence: str, index: int, past: deque[dict[int, NDArray[np.float64]]]) -> _Moment:
    sweep = cache.sweep(sequence, index, without=("semantic", "queries", "pixel"))
    groups, boxes = cache.groups(sequence, index), cache.group_boxes(sequence, index)
    seen = sweep.label != NOT_CONSIDERED
    label = sweep.label[seen]
    color = np.where(label >= 0, few_distinct(label) + _GROUPS, _GROUND).astype(np.uint8)
    centre = groups.centroid if boxes is None else transform(sweep.world_SE3_sensor, boxes.centre)
    moving = groups.group[groups.moving]
    past.append(dict(zip(moving.tolist(), centre[groups.moving], strict=True)))
    outlines: list[tuple[NDArray[np.float64], int]] = []
    if boxes is not None:
        sure = boxes.confidence >= LEAST_CONFIDENCE
        corners = box_corners(boxes.centre, boxes.size, boxes.heading)[sure]
        outlines = list(zip(corners, np.where(groups.moving[sure], _WHITE, _RESTING).tolist(), strict=True))
    sensor_SE3_world = inverse(sweep.world_SE3_sensor)
    trails = []
    for group, number in zip(moving.tolist(), (few_distinct(moving) + _GROUPS).tolist(), strict=True):
        way = np.array([places[group] for places in past if group in places])
        if len(way) > 1:
            trails.append((transform(sensor_SE3_world, way), number))
    return _Moment(sweep.xyz[seen], color, outlines, trails)


def _draw(view: View, moment: _Moment) -> Picture:
    picture = view.blank()
    ground = moment.color == _GROUND
    draw_points(picture, view, moment.xyz[ground], moment.color[ground], _POINT_M / 2)
    draw_points(picture, view, moment.xyz[~ground], moment.color[~ground], _POINT_M, least_px=2)
    draw_lines(picture, view, [line for line, _ in moment.trails], [number for _, number in moment.trails], width=2)
    edges = [(corners[pair], number) for corners, number in moment.boxes for pair in _EDGES]
    draw_lines(picture, view, [line for line, _ in edges], [number for _, number in edges])
    draw_lines(picture, view, [_CAR_M], [_WHITE])
    return picture
