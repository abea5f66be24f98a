"""Labelled boxes of a sweep, and the camera whose image they were labelled in, if any."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Boxes:
    """N labelled boxes of one sweep, in the order of the dataset's file; upright in the sensor frame.

    Attributes:
        kind: str [N], the dataset's name of the class, also "DontCare" for areas of the image without a 3-D box.
        centre: float64 [N, 3], metres, sensor frame; NaN without a 3-D box.
        size: float64 [N, 3], length along the heading, width, height, metres; NaN without a 3-D box.
        heading: float64 [N], radians about z, from x to y; NaN without a 3-D box.
        truncation: float64 [N], share of the box outside the image; NaN where not annotated.
        occlusion: int32 [N], 0 none, 1 partly, 2 largely, 3 unknown; -1 where not annotated.
        image_box: float64 [N, 4], left, top, right, bottom in the image, pixels; NaN without an image.
    """

    kind: NDArray[np.str_]
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: NDArray[np.float64]
    truncation: NDArray[np.float64]
    occlusion: NDArray[np.int32]
    image_box: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check shapes and sizes. Raises ValueError."""
        n = len(self.kind)
        for name, shape in (("centre", (n, 3)), ("size", (n, 3)), ("heading", (n,)), ("image_box", (n, 4))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"boxes: {name} must be {list(shape)}, not {list(getattr(self, name).shape)}")
        if (self.size <= 0).any():
            raise ValueError("boxes: every size must be positive")

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def bottom(self) -> NDArray[np.float64]:
        """Z of the lower faces, metres: float64 [N]."""
        lower: NDArray[np.float64] = self.centre[:, 2] - self.size[:, 2] / 2
        return lower

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Select boxes by index or mask."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Camera:
    """A camera in whose image boxes were labelled.

    Attributes:
        image_P_camera: float64 [3, 4], projects homogeneous camera coordinates (x right, y down, z forward) to pixels.
        camera_SE3_sensor: float64 [4, 4].
        width: of the image, pixels.
        height: of the image, pixels.
    """

    image_P_camera: NDArray[np.float64]
    camera_SE3_sensor: NDArray[np.float64]
    width: int
    height: int

    def project(self, xyz: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project points [N, 3], sensor frame, to pixels [N, 2] and depth [N] in metres; pixels need depth > 0."""
        homogeneous = np.concatenate([xyz.astype(np.float64), np.ones((len(xyz), 1))], axis=1)
        image = homogeneous @ (self.image_P_camera @ self.camera_SE3_sensor).T
        depth = image[:, 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        return image[:, :2] / safe[:, None], depth

    def sees(self, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which points [N, 3], sensor frame, lie within the image: bool [N]."""
        pixel, depth = self.project(xyz)
        inside: NDArray[np.bool_] = (
            (depth > 0) & (pixel >= 0).all(axis=1) & (pixel[:, 0] < self.width) & (pixel[:, 1] < self.height)
        )
        return inside


def boxes_in_space(
    kind: NDArray[np.str_], centre: NDArray[np.float64], size: NDArray[np.float64], heading: NDArray[np.float64]
) -> Boxes:
    """Make boxes without truncation, occlusion and image box."""
    n = len(kind)
    return Boxes(kind, centre, size, heading, np.full(n, np.nan), np.full(n, -1, np.int32), np.full((n, 4), np.nan))


def no_boxes() -> Boxes:
    """Make an empty set of boxes."""
    return boxes_in_space(np.zeros(0, dtype="U1"), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


def footprints(
    centre: NDArray[np.float64], size: NDArray[np.float64], heading: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the corners, counter-clockwise, of boxes seen from above, centre and size [N, 2]: float64 [N, 4, 2]."""
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) / 2
    x, y = np.moveaxis(signs[None] * size[:, None], -1, 0)
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    corners: NDArray[np.float64] = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1) + centre[:, None]
    return corners


def box_corners(
    centre: NDArray[np.float64], size: NDArray[np.float64], heading: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the eight corners of boxes, the lower four first: float64 [N, 8, 3], in the frame of the boxes."""
    around = np.tile(footprints(centre[:, :2], size[:, :2], heading), (1, 2, 1))
    height = centre[:, 2:] + np.repeat(size[:, 2:] * [-0.5, 0.5], 4, axis=1)
    return np.concatenate([around, height[..., None]], axis=-1)


def image_area(image_box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the area of boxes in the image [N, 4], square pixels: float64 [N]."""
    area: NDArray[np.float64] = (image_box[:, 2:] - image_box[:, :2]).prod(axis=1)
    return area


def points_in_box(
    xyz: NDArray[np.floating], centre: NDArray[np.float64], size: NDArray[np.float64], heading: float
) -> NDArray[np.bool_]:
    """Return which points [N, 3] lie in one box: bool [N]."""
    reach = np.hypot(size[0], size[1]) / 2 + 1e-6  # most points are beyond the corners, and need not be rotated
    near = np.flatnonzero((np.abs(xyz[:, 0] - centre[0]) <= reach) & (np.abs(xyz[:, 1] - centre[1]) <= reach))
    inside = np.zeros(len(xyz), dtype=np.bool_)
    inside[near] = (np.abs(in_axes_of(xyz[near] - centre, heading)) <= size / 2).all(axis=1)
    return inside


def in_axes_of(away: NDArray[np.floating], heading: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn offsets [N, 3] into the axes of upright boxes, along, across and up: float64 [N, 3].

    Args:
        away: from the centre of each one's box.
        heading: radians, of one box or [N].
    """
    cos, sin = np.cos(heading), np.sin(heading)
    return np.column_stack([cos * away[:, 0] + sin * away[:, 1], -sin * away[:, 0] + cos * away[:, 1], away[:, 2]])
