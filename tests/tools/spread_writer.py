"""Write spread labels without preprocessing: the classes of a cache, with one confidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iscc_lidar.data_schemas import spread as schema
from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_NOTHING, FROM_POSITION
from iscc_lidar.shared.cache.reader import Cache


def write_spread(
    out: Path,
    cache: Cache,
    labelled: Mapping[str, Sequence[int]],
    confidence: float = 1.0,
    hidden: int = 0,
    hidden_source: int = FROM_NOTHING,
) -> Path:
    """Write a folder; sweeps that are not ``labelled`` have no point of class ``hidden``, because of ``hidden_source``.

    Where the cache has boxes, each sweep has its own, which are those of a labelled sweep, or stand.
    """
    sequences = []
    for sequence, own in labelled.items():
        rows, points, boxes = [], np.zeros(5, np.int64), np.zeros(5, np.int64)
        for index in range(cache.sequence(sequence).sweeps):
            classes = cache.classes(sequence, index).copy()
            hides = (classes == hidden) & (index not in own)
            classes[hides] = 0
            told = classes > 0
            source = np.where(told, FROM_LABEL if index in own else FROM_POSITION, FROM_NOTHING).astype(np.uint8)
            sure = np.where(told, round(255 * (1.0 if index in own else confidence)), 0).astype(np.uint8)
            points += np.bincount(source, minlength=5)
            source[hides] = hidden_source
            row: list[Any] = [index, len(classes), classes.tobytes(), sure.tobytes(), source.tobytes()]
            if index in cache.boxed_sweeps(sequence):
                found = box_rows(cache, sequence, index, FROM_LABEL if index in own else FROM_POSITION)
                row.append(found)
                boxes += np.bincount([box["source"] for box in found], minlength=5)
            rows.append(row)
        path = f"sequences/{sequence}/part_000000.parquet"
        (out / path).parent.mkdir(parents=True)
        fields = pa.schema(list(schema.ROWS)[: len(rows[0])])
        columns = dict(zip(fields.names, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns, schema=fields), out / path)
        digest = hashlib.sha256((out / path).read_bytes()).hexdigest()
        part = schema.SpreadPart(path, 0, len(rows), digest, tuple(points.tolist()), tuple(boxes.tolist()))
        sequences.append(schema.SpreadSequence(sequence, len(rows), tuple(own), (part,)))
    manifest = schema.SpreadManifest(cache.digest, cache.manifest.class_names, tuple(sequences), {})
    (out / schema.SPREAD_FILE).write_text(schema.to_json(manifest))
    return out


def box_rows(cache: Cache, sequence: str, index: int, source: int) -> list[dict[str, Any]]:
    """Return the boxes of a sweep as rows of a part, and an area of which nothing is known."""
    boxes = cache.boxes(sequence, index)
    assert boxes is not None
    numbers = np.concatenate([boxes.centre, boxes.size, boxes.heading[:, None]], axis=1).tolist()
    rows = [
        {"kind": kind, "source": source, **dict(zip(schema.BOX_FIELDS, row, strict=True))}
        for kind, row in zip(boxes.kind.tolist(), numbers, strict=True)
    ]
    area = dict(zip(schema.BOX_FIELDS, (10.0, 5.0, 0.0, 2.0, 2.0, 2.0, 0.0), strict=True))
    return [*rows, {"kind": schema.UNKNOWN_KIND, "source": FROM_NOTHING, **area}]
