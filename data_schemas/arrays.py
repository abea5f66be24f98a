"""The Zarr arrays of a block: names, axes, dtypes, units, frames, meanings.

A block holds successive sweeps of one sequence. Points of all its sweeps lie behind one another in
the raw files' order; ``point_start`` says where each sweep begins. Queries likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iscc_lidar.data_schemas.labels import FILL

POSITION_QUANTUM_M: Final = 0.004
"""Metres per step of the int16 positions: 2 mm error at most, and a reach of 131 m."""

CHUNK_ROWS: Final = 65_536
"""Rows of a chunk: about half a 64-beam sweep. Readers must take the value from the array itself."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of a block. The last axis runs over ``rows``; the first of two over ``planes`` (x, y, z)."""

    name: str
    dtype: str
    rows: str
    meaning: str
    unit: str = ""
    frame: str = ""
    fill: int = 0
    planes: int = 0
    optional: bool = False


BLOCK_ARRAYS: Final = (
    ArraySpec(
        "xyz",
        "int16",
        "points",
        "position of the return; 0 where it does not exist",
        unit=f"{POSITION_QUANTUM_M} m",
        frame="sensor frame of its sweep",
        planes=3,
    ),
    ArraySpec("intensity", "uint8", "points", "intensity, normalised by the data set's rule", unit="1/255"),
    ArraySpec("label", "int32", "points", "group id (>= 0, stable within the sequence) or a negative code", fill=FILL),
    ArraySpec(
        "semantic", "uint8", "points", "class index into the manifest's class names, 0 unlabelled", optional=True
    ),
    ArraySpec(
        "pixel",
        "uint16",
        "points",
        "laser, return, row, column of the point in its range image, as the data set counts them",
        planes=4,
        optional=True,
    ),
    ArraySpec("point_start", "int64", "sweeps + 1", "row of each sweep's first point, then the row count"),
    ArraySpec(
        "query_xyz",
        "int16",
        "queries",
        "position of the occupancy query",
        unit=f"{POSITION_QUANTUM_M} m",
        frame="sensor frame of the sweep that it belongs to",
        planes=3,
    ),
    ArraySpec("query_kind", "uint8", "queries", "0 occupied (behind a surface), 1 free near, 2 free far", fill=255),
    ArraySpec("query_group", "int32", "queries", "group whose surface the query probes", fill=FILL),
    ArraySpec("query_source", "int32", "queries", "index within the sequence of the sweep whose ray saw it", fill=-1),
    ArraySpec("query_start", "int64", "sweeps + 1", "row of each sweep's first query, then the row count"),
)

OCCUPIED: Final = 0
FREE_NEAR: Final = 1
FREE_FAR: Final = 2
