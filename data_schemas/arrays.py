"""The Zarr arrays of a block: names, axes, dtypes, units, frames, meanings.

A block holds successive sweeps of one sequence. Points of all its sweeps lie behind one another in
the raw files' order; ``point_start`` says where each sweep begins. Queries likewise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from iscc_lidar.data_schemas.labels import CODES, FILL

POSITION_QUANTUM_M: Final = 0.004
"""Metres per step of the int16 positions: 2 mm error at most, and a reach of 131 m."""

CHUNK_ROWS: Final = 65_536
"""Rows of a chunk: about half a 64-beam sweep. Readers must take the value from the array itself."""

OCCUPIED: Final = 0
FREE_NEAR: Final = 1
FREE_FAR: Final = 2

_HOLE: Final = -(2**15)


@dataclass(frozen=True)
class ArraySpec:
    """One array of a block.

    Attributes:
        name: its name in the block's Zarr group.
        dtype: of its elements, little-endian on disk.
        rows: what its last axis runs over. "points" and "queries": the rows of all sweeps behind one another.
        meaning: what an element says, where ``values`` does not.
        fill: fill value; as far as the dtype has room no legal value, so that a hole shows.
        unit: of an element.
        frame: coordinate frame of a position.
        values: elements with a meaning of their own.
        planes: length of the first of two axes, 0 where there is only one.
        optional: whether a block may be without it.
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
        """Whether every sweep has rows of its own, whose checksum the table of sweeps holds."""
        return self.rows in ("points", "queries")


BLOCK_ARRAYS: Final = (
    ArraySpec(
        "xyz",
        "int16",
        "points",
        "x, y, z of the return",
        fill=_HOLE,
        unit=f"{POSITION_QUANTUM_M} m",
        frame="sensor frame of its sweep",
        values={0: "all three: the point does not exist", 2**15 - 1: "or its negative: this far or further"},
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
        fill=_HOLE,
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
            OCCUPIED: "occupied, behind a surface",
            FREE_NEAR: "free, just before a surface",
            FREE_FAR: "free, further off",
        },
    ),
    ArraySpec("query_group", "int32", "queries", "id of the group that it probes, ascending within a sweep", fill=FILL),
    ArraySpec("query_source", "int32", "queries", "index within the sequence of the sweep whose ray saw it", fill=-1),
    ArraySpec("query_start", "int64", "sweeps + 1", "first row of each sweep's queries, then the row count", fill=-1),
)
