"""Read spread labels: of a sweep's points the class, its confidence, and where it comes from."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas import spread
from iscc_lidar.data_schemas.boxes import boxes_in_space
from iscc_lidar.data_schemas.spread import (
    BOX_FIELDS,
    ROWS,
    SOURCES,
    SpreadBoxes,
    SpreadManifest,
    SpreadPart,
    SpreadPoints,
)
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.parquet import lacks_values, read_checked
from iscc_lidar.shared.cache.reader import Cache, read_document, read_part
from iscc_lidar.shared.cache.table_checks import FARTHEST
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.store import Store

_OPEN_PARTS: Final = 8
_MAX_TEXT: Final = 1000


class SpreadLabels:
    """Spread labels of a cache, local or at a URL; safe to pickle to worker processes."""

    def __init__(self, where: Path | str, cache: Cache) -> None:
        """Open spread labels. Raises UserError if they are missing, unreadable, or of another cache than ``cache``."""
        self.cache = cache
        self.store = open_store(where)
        self.manifest, self.digest = read_spread(self.store)
        if self.manifest.cache_digest != cache.digest:
            raise UserError(
                f"{self.path}: labels of another cache than {cache.path}, or of an earlier state of it; make them "
                f"again: iscc-cache spread {cache.path} {self.path} --labelled LIST"
            )
        self._sequences = {entry.name: entry for entry in self.manifest.sequences}

    @property
    def path(self) -> str:
        """Path or URL of its folder."""
        return self.store.url

    @property
    def sequence_names(self) -> tuple[str, ...]:
        """Names of the sequences with spread labels."""
        return tuple(self._sequences)

    def points(self) -> dict[str, int]:
        """Return the number of points of all sweeps by the source of their class."""
        return _totals([part.points for entry in self.manifest.sequences for part in entry.parts])

    def box_counts(self) -> dict[str, int]:
        """Return the number of boxes of all sweeps by source; of nothing: areas that may have an object."""
        return _totals([part.boxes for entry in self.manifest.sequences for part in entry.parts])

    def labelled(self, sequence: str) -> tuple[int, ...]:
        """Return the indices of a sequence's labelled sweeps; none of a sequence without spread labels."""
        return self._sequences[sequence].labelled if sequence in self._sequences else ()

    def sweep(self, sequence: str, index: int) -> SpreadPoints:
        """Read the spread labels of a sweep. Raises UserError for an unknown sweep or a damaged file."""
        return _points(*self._row(sequence, index))

    def boxes(self, sequence: str, index: int) -> SpreadBoxes:
        """Read the spread boxes of a sweep, in its sensor's frame; none where the sequence has none.

        Raises UserError for an unknown sweep or a damaged file.
        """
        return _boxes(*self._row(sequence, index))

    def _row(self, sequence: str, index: int) -> tuple[pa.Table, int]:
        for part in self._sequences[sequence].parts if sequence in self._sequences else ():
            if part.start <= index < part.stop:
                return _read_part(self.store, part, len(self.manifest.class_names)), index - part.start
        raise UserError(f"{self.path}: has no labels for sweep {index} of sequence {sequence}")


def _totals(counts: Sequence[tuple[int, ...]]) -> dict[str, int]:
    return dict(zip(SOURCES, map(sum, zip(*counts, strict=True)), strict=True)) if counts else {}


def read_spread(store: Store) -> tuple[SpreadManifest, str]:
    """Read the table of contents, and its SHA-256. Raises UserError if it is missing or unreadable."""
    missing = (
        f"no spread labels here ({spread.SPREAD_FILE} is missing); make them with: iscc-cache spread "
        f"CACHE {store.url} --labelled LIST"
    )
    return read_document(store, spread.SPREAD_FILE, spread.from_json, missing)


def read_rows(content: bytes, start: int, stop: int, classes: int) -> pa.Table:
    """Read the rows of consecutive sweeps. Raises ValueError or ArrowException where they are others, or damaged."""
    table = read_checked(content, ROWS)
    if table["sweep"].to_pylist() != list(range(start, stop)):
        raise ValueError("its rows are not the sweeps of this file")
    for row, size in enumerate(table["points"].to_pylist()):
        for name, limit in (("classes", classes), ("confidence", 256), ("source", len(SOURCES))):
            values = _values(table, name, row)
            if len(values) != size or values.max(initial=0) >= limit:
                raise ValueError(f"column {name} of row {row} has other values than {size} below {limit}")
    if "boxes" in table.column_names:
        if lacks_values(table["boxes"].combine_chunks(), ROWS.field("boxes").type):
            raise ValueError("column boxes lacks values")
        for row in table["boxes"].to_pylist():
            _check_boxes(row)
    return table


def _check_boxes(boxes: list[dict[str, Any]]) -> None:
    """Raise ValueError for boxes that are none."""
    numbers = _box_numbers(boxes)
    if not (np.abs(numbers) < FARTHEST).all() or (numbers[:, 3:6] <= 0).any():  # also NaN
        raise ValueError("a box has no place in space, or a size that is not positive")
    if any(len(box["kind"]) > _MAX_TEXT or box["source"] >= len(SOURCES) for box in boxes):
        raise ValueError(f"a box has a class of more than {_MAX_TEXT} characters, or an unknown source")


def _box_numbers(boxes: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([[box[name] for name in BOX_FIELDS] for box in boxes], np.float64).reshape(-1, len(BOX_FIELDS))


@functools.lru_cache(maxsize=_OPEN_PARTS)
def _read_part(store: Store, part: SpreadPart, classes: int) -> pa.Table:
    """Read and check a file. Raises UserError where it is missing or damaged."""
    again = "run iscc-cache spread again"
    parse = functools.partial(read_rows, start=part.start, stop=part.stop, classes=classes)
    return read_part(store, part.path, part.digest, parse, again, f"remove it and {again}")


def _points(table: pa.Table, row: int) -> SpreadPoints:
    classes, confidence, source = (_values(table, name, row).copy() for name in ("classes", "confidence", "source"))
    return SpreadPoints(classes, confidence.astype(np.float32) / np.float32(255), source)


def _boxes(table: pa.Table, row: int) -> SpreadBoxes:
    found = table["boxes"][row].as_py() if "boxes" in table.column_names else []
    numbers = _box_numbers(found)
    kind = np.array([box["kind"] for box in found], np.str_)
    boxes = boxes_in_space(kind, numbers[:, :3], numbers[:, 3:6], numbers[:, 6])
    return SpreadBoxes(boxes, np.array([box["source"] for box in found], np.uint8))


def _values(table: pa.Table, name: str, row: int) -> NDArray[np.uint8]:
    return np.frombuffer(table[name][row].as_buffer(), np.uint8)
