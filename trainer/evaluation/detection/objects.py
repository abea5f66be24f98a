"""Labelled and detected objects of many frames as flat arrays, from boxes of a cache.

They are scored in the camera's frame, as KITTI's evaluation does, or in the sensor's frame without a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.shared.layouts.formats.kitti_objects import KittiObjects, to_camera


@dataclass(frozen=True)
class UprightBoxes:
    """Boxes that stand upright in a frame with two axes on the ground and one up; N rows, metres and radians.

    Attributes:
        centre: float64 [N, 2], on the ground.
        size: float64 [N, 2], length along the heading, and width.
        heading: float64 [N], from the first ground axis to the second.
        low: float64 [N], height of the lower face.
        high: float64 [N], height of the upper face.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.heading)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Select boxes."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class _Objects:
    """Objects of many frames; those of one frame are consecutive, in the order of its file.

    Attributes:
        frame: int64 [N], number of the frame.
        kind: str [N], the class: "Car", "Van", ..., "DontCare".
        boxes: in space; undefined for "DontCare".
        image_box: float64 [N, 4], left, top, right, bottom, pixels.
    """

    frame: NDArray[np.int64]
    kind: NDArray[np.str_]
    boxes: UprightBoxes
    image_box: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Labels(_Objects):
    """Labelled objects: ``truncation`` float64 [N], share outside the image; ``occlusion`` int64 [N], 0 to 3."""

    truncation: NDArray[np.float64]
    occlusion: NDArray[np.int64]


@dataclass(frozen=True)
class Detections(_Objects):
    """Detected objects: ``score`` float64 [N]."""

    score: NDArray[np.float64]


_WHOLE_IMAGE: Final = np.array([0.0, 0.0, 1e4, 1e4])

T = TypeVar("T", Labels, Detections, Boxes, UprightBoxes)


def join(parts: Sequence[T]) -> T:
    """Concatenate sets of objects."""
    joined: T = _joined(parts)
    return joined


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    return type(first)(*(_joined([getattr(part, field.name) for part in parts]) for field in fields(first)))


def labels_of(boxes: Boxes, camera: Camera | None, frame: int) -> Labels:
    """Convert the labelled boxes of a sweep. Without a camera none is too low in the image, truncated or occluded."""
    number = np.full(len(boxes), frame, np.int64)
    if camera is None:
        zero = np.zeros(len(boxes))
        image = np.tile(_WHOLE_IMAGE, (len(boxes), 1))
        return Labels(number, boxes.kind, upright(boxes), image, zero, zero.astype(np.int64))
    found = to_camera(boxes, camera)
    return Labels(
        number, boxes.kind, _in_camera(found), found.image_box, found.truncation, found.occlusion.astype(np.int64)
    )


def detections_of(boxes: Boxes, score: NDArray[np.float64], camera: Camera | None, frame: int) -> Detections:
    """Convert the detected boxes of a sweep."""
    placed = labels_of(boxes, camera, frame)
    return Detections(placed.frame, placed.kind, placed.boxes, placed.image_box, score)


def _in_camera(objects: KittiObjects) -> UprightBoxes:
    # Right and forward span the ground, up is -y; rotation_y turns from right to backward.
    low = -objects.location[:, 1]
    return UprightBoxes(
        objects.location[:, [0, 2]], objects.size[:, [2, 1]], -objects.rotation_y, low, low + objects.size[:, 0]
    )


def upright(boxes: Boxes) -> UprightBoxes:
    """Convert boxes, in the frame of the sensor."""
    half = boxes.size[:, 2] / 2
    return UprightBoxes(
        boxes.centre[:, :2], boxes.size[:, :2], boxes.heading, boxes.centre[:, 2] - half, boxes.centre[:, 2] + half
    )
