"""Write and read labels without points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.data_schemas.labels_only import CHECKED, GROUP, LABELS_FILE, ROWS, LabelsPart, from_json
from iscc_lidar.data_schemas.manifest import BlockEntry, SequenceEntry
from iscc_lidar.data_schemas.names import is_plain_name
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.parquet import lacks_values, read_checked
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.reader import Cache, read_document, read_part
from iscc_lidar.shared.cache.sweep import GroupBoxes
from iscc_lidar.shared.cache.table_checks import FARTHEST, MAX_GROUP, MAX_ROWS, check_poses, list_column
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.store import Store

_LEVEL: Final = 18
_PAGE: Final = 2**24
"""Bytes: ids come back from sweep to sweep, so that large pages compress to two thirds of small ones."""
_SPLIT: Final = ["groups.list.element.group", "groups.list.element.centre.list.element"]
"""Columns whose bytes compress better by place: ascending, or multiples of a quantum."""


@dataclass(frozen=True)
class LabelledSweep:
    """A sweep without its points.

    Attributes:
        name: the dataset's own.
        timestamp_ns: time of the sweep.
        world_SE3_sensor: float64 [4, 4].
        label: int32 [N], group id or a code of data_schemas.labels, in the raw file's order.
        moving: bool [G], whether each group moves.
        boxes: of its groups.
        checksums: CRC-32 of the rows of each array in CHECKED, as in a cache's table of sweeps.
    """

    name: str
    timestamp_ns: int
    world_SE3_sensor: NDArray[np.float64]
    label: NDArray[np.int32]
    moving: NDArray[np.bool_]
    boxes: GroupBoxes
    checksums: dict[str, int]


class LabelsOnly:
    """Labels without points, local or at a URL; safe to pickle to worker processes."""

    def __init__(self, where: Path | str) -> None:
        """Open a folder. Raises UserError if it has no such labels, or they are unreadable."""
        self.store = open_store(where)
        missing = (
            f"no labels without points here ({LABELS_FILE} is missing); make some with: iscc-cache export CACHE "
            f"{self.store.url} --to labels-only"
        )
        self.manifest, self.digest = read_document(self.store, LABELS_FILE, from_json, missing)
        blocks = [(sequence.name, block) for sequence in self.manifest.cache.sequences for block in sequence.blocks]
        self._parts = dict(zip(blocks, self.manifest.parts, strict=True))

    @property
    def path(self) -> str:
        """Path or URL of its folder."""
        return self.store.url

    def sequence(self, name: str) -> SequenceEntry:
        """Return the entry of a sequence in the manifest of the cache. Raises UserError for an unknown name."""
        for entry in self.manifest.cache.sequences:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.manifest.cache.sequences)
        raise UserError(f"{self.path}: no sequence {one_line(name)!r:.80}; there are {one_line(known) or 'none'}")

    def sweep_names(self, sequence: str) -> list[str]:
        """Read the names of a sequence's sweeps."""
        return [
            name
            for block in self.sequence(sequence).blocks
            for name in self._table(sequence, block)["name"].to_pylist()
        ]

    def key(self, sequence: str, block: BlockEntry) -> str:
        """Return what a block of the cache was made of."""
        return self._parts[sequence, block].key

    def sweep(self, sequence: str, index: int) -> LabelledSweep:
        """Read a sweep. Raises UserError for an unknown one, or a damaged file."""
        for block in self.sequence(sequence).blocks:
            if block.start <= index < block.stop:
                return _sweep(self._table(sequence, block).slice(index - block.start, 1))
        raise UserError(f"{self.path}: has no labels for sweep {index} of sequence {sequence}")

    def _table(self, sequence: str, block: BlockEntry) -> pa.Table:
        return _read_part(self.store, self._parts[sequence, block], block)


def encode(cache: Cache, sequence: str, block: BlockEntry) -> bytes:
    """Encode the labels of a block of a cache. Raises UserError where its groups have no boxes."""
    rows: dict[str, list[Any]] = {name: [] for name in ROWS.names}
    table = cache.block(sequence, block.start).sweeps
    for name in ("sweep", "name", "timestamp_ns", "points", "world_SE3_sensor"):
        rows[name] = table[name].to_pylist()
    for name in CHECKED:
        rows[f"crc32_{name}"] = [found[name] for found in table["crc32"].to_pylist()]
    for index in range(block.start, block.stop):
        rows["label"].append(cache.label(sequence, index).astype("<i4").tobytes())
        boxes = cache.require_group_boxes(sequence, index)
        rows["groups"].append(_group_rows(cache.groups(sequence, index).moving, boxes))
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "compression_level": _LEVEL, "data_page_size": _PAGE, "write_batch_size": 1}
    split = {"use_dictionary": False, "use_byte_stream_split": _SPLIT}
    pq.write_table(pa.table(rows, ROWS), sink, write_page_checksum=True, **split, **options)
    return bytes(sink.getvalue())


def _group_rows(moving: NDArray[np.bool_], boxes: GroupBoxes) -> pa.Array:
    columns = {
        "group": boxes.group,
        "moving": moving,
        "centre": _threes(boxes.centre),
        "size": _threes(boxes.size),
        "heading": boxes.heading,
        "confidence": boxes.confidence,
    }
    return pa.StructArray.from_arrays([pa.array(columns[field.name]) for field in GROUP], fields=list(GROUP))


def _threes(values: NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(values.ravel(), 3)


def _sweep(row: pa.Table) -> LabelledSweep:
    (found,) = row.drop_columns(["label", "groups"]).to_pylist()
    moving, boxes = _groups(row)
    return LabelledSweep(
        name=found["name"],
        timestamp_ns=found["timestamp_ns"],
        world_SE3_sensor=np.array(found["world_SE3_sensor"]).reshape(4, 4),
        label=_labels(row["label"][0]),
        moving=moving,
        boxes=boxes,
        checksums={name: found[f"crc32_{name}"] for name in CHECKED},
    )


def _groups(row: pa.Table) -> tuple[NDArray[np.bool_], GroupBoxes]:
    """Return which groups of a sweep move, and their boxes. Raises ValueError for a middle or size that is none."""
    structs = row["groups"].combine_chunks().flatten()
    group, moving, heading, confidence = (
        structs.field(name).to_numpy(zero_copy_only=False) for name in ("group", "moving", "heading", "confidence")
    )
    centre, size = (list_column(structs.field(name), 3) for name in ("centre", "size"))
    return moving, GroupBoxes(group, centre, size, heading, confidence)


def _labels(found: Any) -> NDArray[np.int32]:
    return np.frombuffer(found.as_buffer(), "<i4").astype(np.int32)


@lru_cache(maxsize=4)
def _read_part(store: Store, part: LabelsPart, block: BlockEntry) -> pa.Table:
    """Read and check a file. Raises UserError where it is missing or damaged."""
    again = "get the folder again"

    def parse(content: bytes) -> pa.Table:
        table = read_checked(content, ROWS)
        _check(table, block)
        return table

    return read_part(store, part.path, part.digest, parse, again, again)


def _check(table: pa.Table, block: BlockEntry) -> None:
    """Raise ValueError where rows are not of the sweeps of a block, or are not what they have to be."""
    if table["sweep"].to_pylist() != list(range(block.start, block.stop)):
        raise ValueError("its rows are not the sweeps of its block")
    names = table["name"].to_pylist()
    if len(set(names)) < len(names) or not all(map(is_plain_name, names)):
        raise ValueError("a name is not that of a sweep, or comes twice")
    check_poses(list_column(table["world_SE3_sensor"], 16))
    if lacks_values(table["groups"].combine_chunks(), ROWS.field("groups").type):
        raise ValueError("column groups lacks values")
    for row, size in enumerate(table["points"].to_pylist()):
        if not 0 <= size <= MAX_ROWS or len(table["label"][row].as_buffer()) != 4 * size:
            raise ValueError(f"row {row} has not one label for each of its points")
        label = _labels(table["label"][row])
        if label.min(initial=0) < NOT_CONSIDERED or label.max(initial=0) > MAX_GROUP:
            raise ValueError(f"row {row} has labels that are none")
        _check_boxes(_groups(table.slice(row, 1))[1], label)


def _check_boxes(boxes: GroupBoxes, label: NDArray[np.int32]) -> None:
    if not np.array_equal(boxes.group, np.unique(label[label >= 0])):
        raise ValueError("its groups are not those of its labels")
    in_space = np.concatenate([boxes.centre, boxes.size, boxes.heading[:, None]], axis=1)
    if not (np.abs(in_space) < FARTHEST).all() or (boxes.size <= 0).any():  # also NaN
        raise ValueError("a box has no place in space, or a size that is not positive")
    if not ((boxes.confidence >= 0) & (boxes.confidence <= 1)).all():
        raise ValueError("a confidence is not from 0 to 1")
