"""Overlap of boxes: on the ground, in space, in the image; and the pairs of two sets that may overlap at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import footprints, image_area
from iscc_lidar.trainer.evaluation.detection.objects import UprightBoxes

_GRID_M: Final = 1e-9

Space = Literal["image", "ground", "space"]
"""Where overlap is measured: 2-D boxes in the image, boxes from above, boxes in space."""


def ground_iou(a: UprightBoxes, b: UprightBoxes) -> NDArray[np.float64]:
    """Compute the IoU of boxes in the same row, seen from above: float64 [N]."""
    shared = _shared_on_ground(a, b)
    return _ratio(shared, a.size.prod(axis=1) + b.size.prod(axis=1) - shared)


def space_iou(a: UprightBoxes, b: UprightBoxes) -> NDArray[np.float64]:
    """Compute the IoU of boxes in the same row: float64 [N]."""
    shared = _shared_on_ground(a, b) * np.maximum(np.minimum(a.high, b.high) - np.maximum(a.low, b.low), 0.0)
    return _ratio(shared, _volume(a) + _volume(b) - shared)


def polygons(boxes: UprightBoxes) -> NDArray[np.object_]:
    """Return the footprints of boxes as shapely polygons, [N]."""
    return np.asarray(shapely.polygons(footprints(boxes.centre, boxes.size, boxes.heading)))


def image_overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the intersection of 2-D boxes (left, top, right, bottom) [N, 4] in the same row: float64 [N], pixels²."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    area: NDArray[np.float64] = np.maximum(sides, 0.0).prod(axis=1)
    return area


def image_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the IoU of 2-D boxes in the same row: float64 [N]."""
    shared = image_overlap(a, b)
    return _ratio(shared, image_area(a) + image_area(b) - shared)


def pairs_in_frames(
    frame_a: NDArray[np.int64],
    frame_b: NDArray[np.int64],
    near: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the pairs of rows of the same frame that ``near`` accepts, in order of (a, b); frames in any order."""
    order = np.argsort(frame_b, kind="stable")
    ordered = frame_b[order]
    first, last = np.searchsorted(ordered, frame_a, "left"), np.searchsorted(ordered, frame_a, "right")
    a = np.repeat(np.arange(len(frame_a)), last - first)
    within = np.arange(len(a)) - np.repeat(np.cumsum(last - first) - (last - first), last - first)
    b = order[np.repeat(first, last - first) + within]
    keep = near(a, b)
    return a[keep], b[keep]


def circles_meet(a: UprightBoxes, b: UprightBoxes) -> NDArray[np.bool_]:
    """Check whether the circles around boxes in the same row meet on the ground: bool [N]."""
    reach = (np.hypot(*a.size.T) + np.hypot(*b.size.T)) / 2
    meet: NDArray[np.bool_] = np.hypot(*(a.centre - b.centre).T) <= reach
    return meet


def _shared_on_ground(a: UprightBoxes, b: UprightBoxes) -> NDArray[np.float64]:
    first, second = polygons(a), polygons(b)
    shared: NDArray[np.float64] = shapely.area(shapely.intersection(first, second))
    # Between edges that nearly coincide GEOS sometimes finds no intersection; on a grid it does.
    lost = np.flatnonzero((shared == 0) & shapely.intersects(first, second))
    shared[lost] = shapely.area(shapely.intersection(first[lost], second[lost], grid_size=_GRID_M))
    return shared


def _volume(boxes: UprightBoxes) -> NDArray[np.float64]:
    volume: NDArray[np.float64] = boxes.size.prod(axis=1) * (boxes.high - boxes.low)
    return volume


def _ratio(part: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = part / np.maximum(total, np.finfo(np.float64).tiny)  # 0 / 0 is 0
    return ratio
