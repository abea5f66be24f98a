"""The Parquet tables of a block: one row a sweep, and one row a group in a sweep."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS

BOX_QUANTUM_M: Final = 2.0**-10
"""Positions of groups are whole multiples of this, in metres: half a millimetre of error at most."""


def _field(
    name: str, kind: pa.DataType, meaning: str, unit: str = "", frame: str = "", nullable: bool = False
) -> pa.Field:
    stated = {"meaning": meaning, "unit": unit, "frame": frame}
    return pa.field(name, kind, nullable=nullable, metadata={key: text for key, text in stated.items() if text})


CHECKSUMS: Final = pa.struct(
    [pa.field(spec.name, pa.uint32(), nullable=spec.optional) for spec in BLOCK_ARRAYS if spec.by_sweep]
)

SWEEPS: Final = pa.schema(
    [
        _field("sweep", pa.int32(), "index within the sequence, from 0"),
        _field("name", pa.string(), "the data set's own name of the sweep"),
        _field("timestamp_ns", pa.int64(), "time of the sweep; differences within a sequence count", "ns"),
        _field("points", pa.int32(), "points in the raw file"),
        _field("grouped", pa.int32(), "points in groups"),
        _field("noise", pa.int32(), "points with label -1"),
        _field("ground", pa.int32(), "points with label -2"),
        _field("not_considered", pa.int32(), "points with label -3"),
        _field("labelled", pa.int32(), "points with a semantic class; 0 in all sweeps of data without labels"),
        _field("queries", pa.int32(), "occupancy queries of this sweep"),
        _field(
            "world_SE3_sensor",
            pa.list_(pa.float64(), 16),
            "pose, row-major 4 x 4: takes the sensor frame of the sweep to the world's, which is fixed in a sequence",
            "m",
        ),
        _field(
            "crc32",
            CHECKSUMS,
            "CRC-32 (zlib, PNG) of the sweep's rows of each array: little-endian, C order, planes before rows",
        ),
    ]
)
"""Rows in order of ``sweep``."""

GROUPS: Final = pa.schema(
    [
        _field("sweep", pa.int32(), "index within the sequence"),
        _field("group", pa.int32(), "group id"),
        _field("points", pa.int32(), "points of the group in this sweep, at least 1"),
        _field("moving", pa.bool_(), "whether the group moves during the window that labelled this sweep"),
        _field("centroid", pa.list_(pa.float64(), 3), "mean of its points, to 1/1024 m", "m", "world"),
        _field("box_min", pa.list_(pa.float64(), 3), "lower corner of its axis-aligned box, to 1/1024 m", "m", "world"),
        _field("box_max", pa.list_(pa.float64(), 3), "upper corner of its axis-aligned box, to 1/1024 m", "m", "world"),
    ]
)
"""Rows in order of (``sweep``, ``group``)."""
