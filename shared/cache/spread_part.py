"""The file of a stretch of sweeps: its content, and what it was made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iscc_lidar.data_schemas.spread import (
    BOX_FIELDS,
    ROWS,
    SOURCES,
    SpreadBoxes,
    SpreadPart,
    SpreadPoints,
    source_of_class,
)
from iscc_lidar.shared.base.parquet import read_table
from iscc_lidar.shared.cache.spread_labels import read_rows
from iscc_lidar.shared.store.store import Store

_KEY: Final = b"iscc_key"


@dataclass(frozen=True)
class SpreadSweep:
    """What is written of a sweep: its index in the sequence, its points, and its boxes, None where no sweep has any."""

    index: int
    points: SpreadPoints
    boxes: SpreadBoxes | None


def encode(sweeps: Iterable[SpreadSweep], key: str) -> bytes:
    """Encode consecutive sweeps; ``key`` is the digest of all that they depend on."""
    rows: dict[str, list[Any]] = {name: [] for name in ROWS.names}
    for sweep in sweeps:
        found = sweep.points
        sure = np.rint(255 * found.confidence).astype(np.uint8)
        rows["sweep"].append(sweep.index)
        rows["points"].append(len(found.classes))
        for name, values in (("classes", found.classes), ("confidence", sure), ("source", found.source)):
            rows[name].append(values.tobytes())
        if sweep.boxes is not None:
            rows["boxes"].append(_box_rows(sweep.boxes))
    schema = pa.schema([field for field in ROWS if rows[field.name]])
    table = pa.table({name: rows[name] for name in schema.names}, schema=schema.with_metadata({_KEY: key.encode()}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_page_checksum=True)
    return bytes(sink.getvalue())


def _box_rows(found: SpreadBoxes) -> list[dict[str, Any]]:
    boxes = found.boxes
    numbers = np.concatenate([boxes.centre, boxes.size, boxes.heading[:, None]], axis=1).tolist()
    return [
        {"kind": kind, "source": source, **dict(zip(BOX_FIELDS, row, strict=True))}
        for kind, source, row in zip(boxes.kind.tolist(), found.source.tolist(), numbers, strict=True)
    ]


def find_part(store: Store, path: str, stretch: tuple[int, int], classes: int, key: str) -> bytes | None:
    """Read a part that is there, undamaged and made of the same; None without one."""
    try:
        content = store.read(path)
    except FileNotFoundError:
        return None
    try:
        if _key_of(content) != key:
            return None
        read_rows(content, *stretch, classes)
    except (ValueError, OSError, pa.ArrowException):  # the second for a wrong checksum
        return None
    return content


def _key_of(content: bytes) -> str:
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True, pre_buffer=False) as file:
        file.read(use_threads=False)
        key: bytes = (file.schema_arrow.metadata or {}).get(_KEY, b"")
        return key.decode("ascii", "replace")


def describe_part(path: str, stretch: tuple[int, int], content: bytes) -> SpreadPart:
    """Describe a part for the table of contents."""
    table = read_table(pa.BufferReader(content))
    classes, source = (np.frombuffer(b"".join(table[name].to_pylist()), np.uint8) for name in ("classes", "source"))
    points = source_of_class(classes, source)
    rows = table["boxes"].to_pylist() if "boxes" in table.column_names else []
    boxes = np.array([box["source"] for row in rows for box in row], np.uint8)
    counts = (tuple(np.bincount(sources, minlength=len(SOURCES)).tolist()) for sources in (points, boxes))
    return SpreadPart(path, *stretch, hashlib.sha256(content).hexdigest(), *counts)
