"""Labelled and detected objects of many frames, flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes


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
        """Some of the boxes."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Labels:
    """Labelled objects, those of one frame behind one another in the order of its file.

    Attributes:
        frame: int64 [N], number of the frame.
        kind: str [N], "Car", "Van", ..., "DontCare".
        boxes: in space; of "DontCare" without meaning.
        image_box: float64 [N, 4], left, top, right, bottom, pixels.
        truncation: float64 [N], share of it beyond the image.
        occlusion: int64 [N], 0 to 3.
    """

    frame: NDArray[np.int64]
    kind: NDArray[np.str_]
    boxes: UprightBoxes
    image_box: NDArray[np.float64]
    truncation: NDArray[np.float64]
    occlusion: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Detections:
    """Detected objects, those of one frame behind one another; see ``Labels``. ``score`` float64 [N]."""

    frame: NDArray[np.int64]
    kind: NDArray[np.str_]
    boxes: UprightBoxes
    image_box: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)


T = TypeVar("T", Labels, Detections, Boxes, UprightBoxes)


def join(parts: Sequence[T]) -> T:
    """Objects of several sets, one set behind the other."""
    joined: T = _joined(parts)
    return joined


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    return type(first)(*(_joined([getattr(part, field.name) for part in parts]) for field in fields(first)))
