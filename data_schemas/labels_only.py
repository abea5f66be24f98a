"""Labels without points: what is published of a cache whose data may not be, and joined to the raw files again.

A folder with ``labels.json``, which is written last, and a Parquet file for each block of the cache, one row per sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from iscc_lidar.data_schemas.described import described
from iscc_lidar.data_schemas.document import SHA256, DocumentError, Format, from_text, to_text
from iscc_lidar.data_schemas.manifest import BLOCK_FILE, PATH, Manifest, check_consistent
from iscc_lidar.data_schemas.names import is_cache_file

LABELS_FILE: Final = "labels.json"
_FORMAT: Final = Format("iscc-lidar-labels", 1, 0, redo="export the labels again")

GROUP: Final = pa.struct(
    [
        pa.field("group", pa.int32(), nullable=False),
        pa.field("moving", pa.bool_(), nullable=False),
        pa.field("centre", pa.list_(pa.float64(), 3), nullable=False),
        pa.field("size", pa.list_(pa.float64(), 3), nullable=False),
        pa.field("heading", pa.float64(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),
    ]
)
"""A group on a sweep: whether it moves, and its box, as in a cache's table of the boxes of groups."""
CHECKED: Final = ("xyz", "intensity")
"""Arrays of a cache whose checksums prove that raw points are those that were labelled."""

ROWS: Final = pa.schema(
    [
        pa.field("sweep", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("timestamp_ns", pa.int64(), nullable=False),
        pa.field("points", pa.int32(), nullable=False),
        pa.field("world_SE3_sensor", pa.list_(pa.float64(), 16), nullable=False),
        *(pa.field(f"crc32_{name}", pa.uint32(), nullable=False) for name in CHECKED),
        pa.field("label", pa.binary(), nullable=False),
        pa.field("groups", pa.list_(GROUP), nullable=False),
    ]
)
"""Index of the sweep, name, time, number of points and pose as in a cache; checksums of its rows of ``xyz`` and
``intensity`` there; labels, int32 little-endian, of the points in the raw file's order; its groups, ascending by id.
"""


@dataclass(frozen=True)
class LabelsPart:
    """The labels of a block, in one file."""

    path: str = described("the file, relative to the folder", PATH)
    digest: str = described("SHA-256 of the file", SHA256)
    key: str = described("SHA-256 of all that the block was made of", SHA256)


@dataclass(frozen=True)
class LabelsManifest:
    """Table of contents of labels without points."""

    cache: Manifest = described("manifest of the cache that they are of")
    parts: tuple[LabelsPart, ...] = described("files, in the order of the blocks of all sequences")


def to_json(manifest: LabelsManifest) -> str:
    """Convert a table of contents to JSON text, its digest last."""
    return to_text(manifest, _FORMAT)


def from_json(text: str) -> LabelsManifest:
    """Parse a table of contents.

    Raises DocumentError if it is none, of another major version, damaged, or inconsistent.
    """
    manifest = from_text(text, LabelsManifest, _FORMAT, "labels")
    check_consistent(manifest.cache)
    blocks = [block for sequence in manifest.cache.sequences for block in sequence.blocks]
    if len(blocks) != len(manifest.parts) or len({part.path for part in manifest.parts}) < len(blocks):
        raise DocumentError("it does not have one file for each block")
    if wrong := [block.path for block in blocks if not is_cache_file(f"{block.path}/{BLOCK_FILE}")]:
        raise DocumentError(f"{wrong[0]!r:.80} is not the folder of a block")
    return manifest
