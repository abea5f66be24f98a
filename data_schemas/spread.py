"""Spread labels: for every point of a cache a class, where it comes from, and how sure it is.

A folder with ``spread.json``, which is written last, and Parquet files of consecutive sweeps, one row per sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes
from iscc_lidar.data_schemas.described import described
from iscc_lidar.data_schemas.document import SHA256, DocumentError, Format, from_text, to_text
from iscc_lidar.data_schemas.manifest import PATH
from iscc_lidar.data_schemas.names import PLAIN

SPREAD_FILE: Final = "spread.json"
_FORMAT: Final = Format("iscc-lidar-spread", 1, 0, redo="run iscc-cache spread again")

FROM_NOTHING: Final = 0
"""No class."""
FROM_LABEL: Final = 1
"""The sweep is labelled."""
FROM_POSITION: Final = 2
"""A labelled point stands there."""
FROM_GROUP: Final = 3
"""Labelled points are of the same group."""
FROM_NETWORK: Final = 4
"""A network predicts it."""
SOURCES: Final = ("nothing", "label", "position", "group", "network")

UNKNOWN_KIND: Final = "unknown"
"""Class of areas where an object may be that no labelled sweep shows."""

BOX_FIELDS: Final = ("x", "y", "z", "length", "width", "height", "heading")
BOX: Final = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in BOX_FIELDS),
        pa.field("source", pa.uint8(), nullable=False),
    ]
)
"""Class, middle, size, metres, and heading, radians, in the sensor's frame as in the cache; where it comes from."""

ROWS: Final = pa.schema(
    [
        pa.field("sweep", pa.int32(), nullable=False),
        pa.field("points", pa.int32(), nullable=False),
        pa.field("classes", pa.binary(), nullable=False),
        pa.field("confidence", pa.binary(), nullable=False),
        pa.field("source", pa.binary(), nullable=False),
        pa.field("boxes", pa.list_(BOX), nullable=True),
    ]
)
"""Index of the sweep in its sequence, number of its points; of each point a byte: class, 255 x confidence, source.

Its boxes; the column is missing where the cache has none.
"""


@dataclass(frozen=True)
class SpreadPoints:
    """Spread labels of a sweep's points.

    Attributes:
        classes: uint8 [N], class index, 0 for none.
        confidence: float32 [N], estimated probability that it is right; 0 where there is none.
        source: uint8 [N], FROM_NOTHING, FROM_LABEL, FROM_POSITION, FROM_GROUP or FROM_NETWORK. With class 0, any but
            FROM_NOTHING says that people left it unlabelled.
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    source: NDArray[np.uint8]


def own_labels(classes: NDArray[np.uint8]) -> SpreadPoints:
    """Return the labels of a sweep that is labelled itself; class 0 is what people left unlabelled."""
    return SpreadPoints(classes, (classes > 0).astype(np.float32), np.full(len(classes), FROM_LABEL, np.uint8))


def source_of_class(classes: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the source of each point that has a class, FROM_NOTHING for others, uint8 [N]."""
    return np.where(classes > 0, source, np.uint8(FROM_NOTHING))


@dataclass(frozen=True)
class SpreadBoxes:
    """Spread boxes of a sweep.

    Attributes:
        boxes: those of objects, and of class UNKNOWN_KIND areas of which nothing is known.
        source: uint8 [N]; FROM_LABEL, FROM_POSITION, FROM_GROUP, and FROM_NOTHING for areas.
    """

    boxes: Boxes
    source: NDArray[np.uint8]


@dataclass(frozen=True)
class SpreadPart:
    """Consecutive sweeps of a sequence, in one file."""

    path: str = described("the file, relative to the folder", PATH)
    start: int = described("index of its first sweep")
    stop: int = described("index of its last sweep + 1")
    digest: str = described("SHA-256 of the file", SHA256)
    points: tuple[int, ...] = described(
        "number of points by the source of their class: nothing where they have none, label, position, group, network"
    )
    boxes: tuple[int, ...] = described("number of boxes by source; nothing: areas that may have an object")


@dataclass(frozen=True)
class SpreadSequence:
    """A sequence with spread labels."""

    name: str = described("the cache's name of the sequence", PLAIN)
    sweeps: int = described("number of its sweeps")
    labelled: tuple[int, ...] = described("indices of its labelled sweeps, ascending")
    parts: tuple[SpreadPart, ...] = described("files in order; every sweep is in one")


@dataclass(frozen=True)
class SpreadManifest:
    """Table of contents of spread labels."""

    cache_digest: str = described("SHA-256 of the manifest of the cache", SHA256)
    class_names: tuple[str, ...] = described('names of the classes, first "unlabelled"')
    sequences: tuple[SpreadSequence, ...] = described("sequences with a labelled sweep")
    made_by: dict[str, Any] = described("options and versions of the program that wrote it, for information only")


def to_json(manifest: SpreadManifest) -> str:
    """Convert a table of contents to JSON text, its digest last."""
    return to_text(manifest, _FORMAT)


def from_json(text: str) -> SpreadManifest:
    """Parse a table of contents.

    Raises DocumentError if it is none, of another major version, damaged, or inconsistent.
    """
    manifest = from_text(text, SpreadManifest, _FORMAT, "spread")
    for sequence in manifest.sequences:
        if any(len(counts) != len(SOURCES) for part in sequence.parts for counts in (part.points, part.boxes)):
            raise DocumentError(f"a file of sequence {sequence.name} lacks the number of its points or boxes by source")
        borders = [0, *(stop for part in sequence.parts for stop in (part.start, part.stop)), sequence.sweeps]
        if any(a != b for a, b in zip(borders[::2], borders[1::2], strict=True)):
            raise DocumentError(f"the files of sequence {sequence.name} do not contain its sweeps one after the other")
        labelled = list(sequence.labelled)
        if labelled != sorted(set(labelled)) or max(labelled, default=0) >= sequence.sweeps:
            raise DocumentError(f"the labelled sweeps of sequence {sequence.name} are not indices of its sweeps")
    names = [sequence.name for sequence in manifest.sequences]
    if len(set(names)) < len(names):
        raise DocumentError("it contains a sequence twice")
    return manifest
