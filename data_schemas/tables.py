"""The Parquet tables: one row per sweep, per group of a sweep, per labelled box of a sweep, per box of a group.

Each column's meaning, unit and frame are stored in the files.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS

BOX_QUANTUM_M: Final = 2.0**-10
"""Positions and sizes of groups are multiples of this, in metres: an error of at most half a millimetre."""


def _field(
    name: str, data_type: pa.DataType, meaning: str, unit: str = "", frame: str = "", nullable: bool = False
) -> pa.Field:
    stated = {"meaning": meaning, "unit": unit, "frame": frame}
    return pa.field(name, data_type, nullable=nullable, metadata={key: text for key, text in stated.items() if text})


CHECKSUMS: Final = pa.struct(
    [pa.field(spec.name, pa.uint32(), nullable=spec.optional) for spec in BLOCK_ARRAYS if spec.by_sweep]
)

CAMERA: Final = pa.struct(
    [  # of 12 and 16 numbers, but not fixed-size lists, which cannot be read from Parquet where the struct is null
        pa.field("image_P_camera", pa.list_(pa.float64()), nullable=False),
        pa.field("camera_SE3_sensor", pa.list_(pa.float64()), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
    ]
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
        _field(
            "camera",
            CAMERA,
            "the camera that boxes were labelled in: projection, row-major 3 x 4, of its frame (x right, y down, "
            "z forward) to pixels; its pose, row-major 4 x 4; size of its image, pixels. Null without one",
            nullable=True,
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

BOXES: Final = pa.schema(
    [
        _field("sweep", pa.int32(), "index within the sequence"),
        _field("kind", pa.string(), "class, as the data set names it; an area of the image alone too"),
        _field("centre", pa.list_(pa.float64(), 3), "middle of the box; NaN without a place in space", "m", "sensor"),
        _field("size", pa.list_(pa.float64(), 3), "length along the heading, width, height; NaN likewise", "m"),
        _field("heading", pa.float64(), "about up, from x to y; NaN likewise", "rad", "sensor"),
        _field("truncation", pa.float64(), "share of it beyond the image; NaN where nobody says"),
        _field("occlusion", pa.int32(), "0 none, 1 some, 2 much, 3 not known; -1 where nobody says"),
        _field("image_box", pa.list_(pa.float64(), 4), "left, top, right, bottom; NaN without an image", "pixels"),
    ]
)
"""Rows in order of ``sweep``, then in the order of the dataset's file. A block MAY lack this table."""

TRACKS: Final = pa.schema(
    [
        _field("sweep", pa.int32(), "index within the sequence"),
        _field("group", pa.int32(), "group id"),
        _field("centre", pa.list_(pa.float64(), 3), "middle of its box, to 1/1024 m", "m", "sensor"),
        _field(
            "size",
            pa.list_(pa.float64(), 3),
            "length along the heading, width, height, to 1/1024 m; the same in all sweeps of a group",
            "m",
        ),
        _field(
            "heading",
            pa.float64(),
            "about up, from x to y: where a moving group goes, else along its longer side, either way",
            "rad",
            "sensor",
        ),
        _field("confidence", pa.float32(), "0 to 1: how sure it is that the group is one object, and this its box"),
    ]
)
"""Rows as those of ``GROUPS`` for the same sweeps."""
