"""A cached sweep as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SweepField = Literal["semantic", "queries", "pixel"]
"""Fields of a sweep that need not be read."""


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
