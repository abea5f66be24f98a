"""A cached sweep as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import in_axes_of

SweepField = Literal["semantic", "queries", "pixel"]
"""Fields of a sweep that need not be read."""
OUTSIDE_M: Final = 0.1
OUTSIDE: Final = 0.8
"""Confidence of a point so far beyond its group's box relative to those in it; on PandaSet 002 0.81 are right."""


@dataclass(frozen=True)
class Queries:
    """Occupancy queries of a sweep, sorted by group.

    Attributes:
        xyz: float32 [M, 3], metres, sensor frame of the sweep.
        kind: uint8 [M], data_schemas.arrays.OCCUPIED, FREE_NEAR or FREE_FAR.
        group: int32 [M], the group near whose surface it is.
        source: int32 [M], index within the sequence of the sweep whose ray observed it.
    """

    xyz: NDArray[np.float32]
    kind: NDArray[np.uint8]
    group: NDArray[np.int32]
    source: NDArray[np.int32]


NO_QUERIES = Queries(*(np.zeros(shape, dtype) for shape, dtype in zip(((0, 3), 0, 0, 0), "fBii", strict=True)))


@dataclass(frozen=True)
class Groups:
    """The groups with points in a sweep, ascending by id.

    Attributes:
        group: int32 [G], id, the same through the sequence.
        points: int32 [G], its number of points in this sweep.
        moving: bool [G], whether it moves during the window that labelled this sweep.
        centroid: float64 [G, 3], metres, world frame, mean of its points in this sweep.
        box_min: float64 [G, 3], metres, world frame, lower corner of its axis-aligned box.
        box_max: float64 [G, 3], upper corner.
    """

    group: NDArray[np.int32]
    points: NDArray[np.int32]
    moving: NDArray[np.bool_]
    centroid: NDArray[np.float64]
    box_min: NDArray[np.float64]
    box_max: NDArray[np.float64]


@dataclass(frozen=True)
class GroupBoxes:
    """Upright boxes around the groups with points in a sweep, found without labels, ascending by id; sensor frame.

    Attributes:
        group: int32 [G], id, the same through the sequence.
        centre: float64 [G, 3], metres.
        size: float64 [G, 3], length along the heading, width, height, metres; the same in all sweeps of a group.
        heading: float64 [G], radians about z, from x to y: where a moving group goes, else along its longer side.
        confidence: float32 [G], 0..1, how sure it is that the group is one object, and this its box.
    """

    group: NDArray[np.int32]
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: NDArray[np.float64]
    confidence: NDArray[np.float32]

    def sure(self, least: float) -> Self:
        """Select the boxes of at least some confidence."""
        enough = self.confidence >= least
        return type(self)(*(getattr(self, field.name)[enough] for field in fields(self)))


def point_confidence(xyz: NDArray[np.float32], label: NDArray[np.int32], boxes: GroupBoxes) -> NDArray[np.float32]:
    """Return how sure it is that each point is of one object with the rest of its group: float32 [N], 0..1.

    Its group's confidence; times ``OUTSIDE`` for a point more than ``OUTSIDE_M`` beyond the box. 0 in no group.

    Args:
        xyz: float32 [N, 3], metres, sensor frame.
        label: int32 [N], groups or codes.
        boxes: of all groups of the sweep.
    """
    confidence = np.zeros(len(label), dtype=np.float32)
    inside = np.flatnonzero(label >= 0)
    of = np.searchsorted(boxes.group, label[inside])
    away = in_axes_of(xyz[inside] - boxes.centre[of], boxes.heading[of])
    beyond = (np.abs(away) - boxes.size[of] / 2).max(axis=1, initial=-np.inf)
    confidence[inside] = boxes.confidence[of] * np.where(beyond > OUTSIDE_M, np.float32(OUTSIDE), np.float32(1))
    return confidence


@dataclass(frozen=True)
class CachedSweep:
    """A sweep as cached, in the raw file's point order.

    Attributes:
        sequence: name of the sequence.
        index: position of the sweep within the sequence, from 0.
        name: the dataset's own name of the sweep.
        xyz: float32 [N, 3], metres, sensor frame, exact to 2 mm.
        intensity: float32 [N], 0..1.
        label: int32 [N], group id or a code of data_schemas.labels.
        semantic: uint8 [N] or None, class index into the manifest's class names.
        world_SE3_sensor: float64 [4, 4].
        queries: occupancy queries near this sweep's groups.
        pixel: uint16 [N, 4] or None: laser, return, row and column in the range image, as the dataset counts them.
    """

    sequence: str
    index: int
    name: str
    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    label: NDArray[np.int32]
    semantic: NDArray[np.uint8] | None
    world_SE3_sensor: NDArray[np.float64]
    queries: Queries
    pixel: NDArray[np.uint16] | None = None
