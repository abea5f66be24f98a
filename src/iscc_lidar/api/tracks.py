"""The groups of a sequence as a table, one row per group: its class, its box, where it is on each sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.api.checks import check_path
from iscc_lidar.shared.base.geometry import transform
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.layouts.formats.label_files import LabelSource, open_label_files

TRACKS: Final = pa.schema(
    [
        pa.field("group", pa.int32()),
        pa.field("class", pa.string()),
        pa.field("moving", pa.bool_()),
        pa.field("points", pa.int64()),
        pa.field("confidence", pa.float32()),
        pa.field("size", pa.list_(pa.float64(), 3)),
        pa.field("sweeps", pa.list_(pa.int32())),
        pa.field("centre", pa.list_(pa.list_(pa.float64(), 3))),
        pa.field("heading", pa.list_(pa.float64())),
    ]
)


def track_table(cache: Cache, sequence: str, labels: str | Path | None) -> pa.Table:
    """Describe each group of a sequence in a row; see ``CachedSequence.tracks``."""
    source = None
    if labels is not None:
        files = open_label_files(check_path(labels, "labels"), cache.manifest.class_names)
        source = LabelSource(cache, files)
    rows = _rows(cache, sequence)
    order = np.lexsort((rows["sweep"], rows["group"]))
    rows = {name: values[order] for name, values in rows.items()}
    group, start = np.unique(rows["group"], return_index=True)
    ends = np.concatenate([start, [len(order)]]).astype(np.int32)
    columns: dict[str, Any] = {
        "group": group,
        "class": [None] * len(group) if source is None else _classes(source, sequence, group),
        "moving": np.logical_or.reduceat(rows["moving"], start) if len(group) else np.zeros(0, np.bool_),
        "points": np.add.reduceat(rows["points"].astype(np.int64), start) if len(group) else np.zeros(0, np.int64),
        "sweeps": pa.ListArray.from_arrays(pa.array(ends), pa.array(rows["sweep"])),
    }
    boxed = "centre" in rows
    columns["confidence"] = rows["confidence"][start] if boxed else pa.nulls(len(group), pa.float32())
    for name in ("size", "centre", "heading"):
        of = TRACKS.field(name).type
        if not boxed:
            columns[name] = pa.nulls(len(group), of)
        elif name == "size":
            columns[name] = pa.FixedSizeListArray.from_arrays(rows["size"][start].ravel(), 3)
        else:
            flat = pa.array(rows[name].ravel())
            values = pa.FixedSizeListArray.from_arrays(flat, 3) if name == "centre" else flat
            columns[name] = pa.ListArray.from_arrays(pa.array(ends), values)
    return pa.table(columns, TRACKS)


def _rows(cache: Cache, sequence: str) -> dict[str, NDArray[Any]]:
    """Return a row for each group and sweep; boxes in the world frame, if there are any."""
    tables = [block.group_rows for block in cache.blocks(sequence)]
    table = pa.concat_tables([found.select(["sweep", "group", "points", "moving"]) for found in tables])
    rows = {name: table[name].to_numpy() for name in table.column_names}
    if not cache.sequence(sequence).tracks:
        return rows
    boxes: dict[str, list[NDArray[Any]]] = {name: [] for name in ("centre", "size", "heading", "confidence")}
    for block in cache.blocks(sequence):
        for index, pose in enumerate(block.poses, start=block.entry.start):
            found = cache.group_boxes(sequence, index)
            assert found is not None
            turn = np.arctan2(pose[1, 0], pose[0, 0])
            heading = (found.heading + turn + np.pi) % (2 * np.pi) - np.pi
            values = (transform(pose, found.centre), found.size, heading, found.confidence)
            for name, part in zip(boxes, values, strict=True):
                boxes[name].append(part)
    return rows | {name: np.concatenate(parts) for name, parts in boxes.items()}


def _classes(source: LabelSource, sequence: str, groups: NDArray[np.int32]) -> list[str | None]:
    """Return the class of most of each group's labelled points; None where none has a class."""
    names = source.class_names
    pairs, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for index in source.sweeps(sequence):
        label, classes = source.cache.label(sequence, index), source.read(sequence, index)
        named = (label >= 0) & (classes > 0)
        key = np.searchsorted(groups, label[named]).astype(np.int64) * len(names) + classes[named]
        found, number = np.unique(key, return_counts=True)
        pairs.append(found)
        counts.append(number)
    found, at = np.unique(np.concatenate(pairs), return_inverse=True)
    total = np.bincount(at, weights=np.concatenate(counts), minlength=len(found))
    order = np.lexsort((-(found % len(names)), total))  # the last of a group is the one of most points
    best = dict(zip((found[order] // len(names)).tolist(), (found[order] % len(names)).tolist(), strict=True))
    return [names[best[row]] if row in best else None for row in range(len(groups))]
