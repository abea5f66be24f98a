"""The Parquet tables of a block: one row a sweep, and one row a group in a sweep."""

from __future__ import annotations

from typing import Final

import pyarrow as pa


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"meaning": meaning})


SWEEPS: Final = pa.schema(
    [
        _field("sweep", pa.int32(), "index within the sequence, from 0"),
        _field("name", pa.string(), "the data set's own name of the sweep"),
        _field("timestamp_ns", pa.int64(), "time of the sweep, nanoseconds"),
        _field("points", pa.int32(), "points in the raw file"),
        _field("grouped", pa.int32(), "points in groups"),
        _field("noise", pa.int32(), "points above ground in no group"),
        _field("ground", pa.int32(), "ground points"),
        _field("not_considered", pa.int32(), "points out of range or invalid"),
        _field("labelled", pa.int32(), "points with a semantic class; 0 for all sweeps of data without labels"),
        _field("queries", pa.int32(), "occupancy queries of this sweep"),
        _field("world_SE3_sensor", pa.list_(pa.float64(), 16), "pose, row-major 4 x 4, metres"),
    ]
)
"""Rows in order of ``sweep``."""

GROUPS: Final = pa.schema(
    [
        _field("sweep", pa.int32(), "index within the sequence"),
        _field("group", pa.int32(), "group id, stable within the sequence"),
        _field("points", pa.int32(), "points of the group in this sweep"),
        _field("moving", pa.bool_(), "whether the group moves within the window that labelled this sweep"),
        _field("centroid", pa.list_(pa.float64(), 3), "mean of its points, metres, world frame"),
        _field("box_min", pa.list_(pa.float64(), 3), "lower corner of its axis-aligned box, metres, world frame"),
        _field("box_max", pa.list_(pa.float64(), 3), "upper corner, metres, world frame"),
    ]
)
"""Rows in order of (``sweep``, ``group``)."""
