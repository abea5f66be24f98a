"""Write spread labels without preprocessing: the classes of a cache, with one confidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iscc_lidar.data_schemas import spread as schema
from iscc_lidar.data_schemas.spread import FROM_LABEL, FROM_NOTHING, FROM_POSITION
from iscc_lidar.shared.cache.reader import Cache


def write_spread(
    out: Path, cache: Cache, labelled: Mapping[str, Sequence[int]], confidence: float = 1.0, hidden: int = 0
) -> Path:
    """Write a folder; sweeps that are not ``labelled`` have no point of class ``hidden``."""
    sequences = []
    for sequence, own in labelled.items():
        rows, points = [], np.zeros(4, np.int64)
        for index in range(cache.sequence(sequence).sweeps):
            classes = cache.classes(sequence, index).copy()
            if index not in own:
                classes[classes == hidden] = 0
            told = classes > 0
            source = np.where(told, FROM_LABEL if index in own else FROM_POSITION, FROM_NOTHING).astype(np.uint8)
            sure = np.where(told, round(255 * (1.0 if index in own else confidence)), 0).astype(np.uint8)
            points += np.bincount(source, minlength=4)
            rows.append((index, len(classes), classes.tobytes(), sure.tobytes(), source.tobytes()))
        path = f"sequences/{sequence}/part_000000.parquet"
        (out / path).parent.mkdir(parents=True)
        columns = dict(zip(schema.ROWS.names, zip(*rows, strict=True), strict=True))
        pq.write_table(pa.table({name: list(c) for name, c in columns.items()}, schema=schema.ROWS), out / path)
        digest = hashlib.sha256((out / path).read_bytes()).hexdigest()
        part = schema.SpreadPart(path, 0, len(rows), digest, tuple(points.tolist()))
        sequences.append(schema.SpreadSequence(sequence, len(rows), tuple(own), (part,)))
    manifest = schema.SpreadManifest(cache.digest, cache.manifest.class_names, tuple(sequences), {})
    (out / schema.SPREAD_FILE).write_text(schema.to_json(manifest))
    return out
