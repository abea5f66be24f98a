"""The Zarr arrays of a block: names, axes, dtypes, units, frames, meanings.

A block contains successive sweeps of one sequence. The points of its sweeps are concatenated, in the order of the raw
files; ``point_start`` is the first row of each sweep. Queries are stored in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from iscc_lidar.data_schemas.labels import CODES, FILL

POSITION_QUANTUM_M: Final = 0.004
"""Metres per step of the int16 positions: an error of at most 2 mm, and a range of 131 m."""

CHUNK_ROWS: Final = 65_536
"""Rows of a chunk: about half of a 64-beam sweep. Readers must take the value from the array itself."""

OCCUPIED: Final = 0
FREE_NEAR: Final = 1
FREE_FAR: Final = 2

_MISSING: Final = -(2**15)


@dataclass(frozen=True)
class ArraySpec:
    """One array of a block.

    Attributes:
        name: its name in the block's Zarr group.
        dtype: of its elements, little-endian on disk.
        rows: what its last axis counts. "points" and "queries": those of all sweeps, concatenated.
        meaning: of an element that is not in ``values``. Stored in the array's attributes.
        fill: fill value; not a legal value if the dtype has room for one, so that missing data is noticed.
        unit: of an element.
        frame: coordinate frame of a position.
        values: elements with a special meaning.
        planes: length of the first of two axes, 0 if there is only one axis.
        optional: whether a block may lack it.
    """

    name: str
    dtype: str
    rows: str
    meaning: str
    fill: int
    unit: str = ""
    frame: str = ""
    values: Mapping[int, str] = field(default_factory=dict)
    planes: int = 0
    optional: bool = False

    @property
    def by_sweep(self) -> bool:
        """Whether each sweep has rows of its own, whose checksum is in the sweeps table."""
        return self.rows in ("points", "queries")


BLOCK_ARRAYS: Final = (
    ArraySpec(
        "xyz",
        "int16",
        "points",
        "x, y, z of the return",
        fill=_MISSING,
        unit=f"{POSITION_QUANTUM_M} m",
        frame="sensor frame of its sweep",
        values={0: "all three: invalid point", 2**15 - 1: "or its negative: clipped, at least this far"},
        planes=3,
    ),
    ArraySpec("intensity", "uint8", "points", "intensity, normalised by the data set's rule", fill=0, unit="1/255"),
    ArraySpec(
        "label",
        "int32",
        "points",
        "from 0: id of the point's group, the same through the sequence, without a meaning in another",
        fill=FILL,
        values=CODES,
    ),
    ArraySpec(
        "semantic",
        "uint8",
        "points",
        "class, an index into the manifest's `class_names`",
        fill=255,
        values={0: "unlabelled"},
        optional=True,
    ),
    ArraySpec(
        "pixel",
        "uint16",
        "points",
        "laser, return, row, column of the point in its range image, as the data set counts them",
        fill=2**16 - 1,
        planes=4,
        optional=True,
    ),
    ArraySpec("point_start", "int64", "sweeps + 1", "first row of each sweep's points, then the row count", fill=-1),
    ArraySpec(
        "query_xyz",
        "int16",
        "queries",
        "x, y, z of the occupancy query",
        fill=_MISSING,
        unit=f"{POSITION_QUANTUM_M} m",
        frame="sensor frame of the sweep that it belongs to",
        planes=3,
    ),
    ArraySpec(
        "query_kind",
        "uint8",
        "queries",
        "",
        fill=255,
        values={
            OCCUPIED: "occupied, just behind a surface",
            FREE_NEAR: "free, just before a surface",
            FREE_FAR: "free, anywhere between the sensor and the surface",
        },
    ),
    ArraySpec("query_group", "int32", "queries", "id of the group that it probes, ascending within a sweep", fill=FILL),
    ArraySpec("query_source", "int32", "queries", "index within the sequence of the sweep whose ray saw it", fill=-1),
    ArraySpec("query_start", "int64", "sweeps + 1", "first row of each sweep's queries, then the row count", fill=-1),
)
