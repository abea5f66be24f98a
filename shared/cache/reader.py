"""Read a cache: labels, points, poses, groups and occupancy queries of a sweep, each on demand."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas import manifest as manifests
from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.document import DocumentError
from iscc_lidar.data_schemas.manifest import BlockEntry, Manifest, SequenceEntry
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.block import Block
from iscc_lidar.shared.cache.sweep import CachedSweep, GroupBoxes, Groups, Queries, SweepField
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.store import Store

_OPEN_BLOCKS = 64
T = TypeVar("T")


class Cache:
    """A finished cache, local or at a URL. Arrays are opened when first read; safe to pickle to worker processes."""

    def __init__(self, where: Path | str) -> None:
        """Open a cache. Raises UserError if it is missing, or this version cannot read it."""
        self.store = open_store(where)
        self.manifest, self.digest = read_manifest(self.store)
        self._classes = max(1, len(self.manifest.class_names))
        self._sequences = {entry.name: entry for entry in self.manifest.sequences}

    @property
    def path(self) -> str:
        """Path or URL of its folder."""
        return self.store.url

    @property
    def sequence_names(self) -> tuple[str, ...]:
        """Names of the sequences, in order."""
        return tuple(self._sequences)

    def sequence(self, name: str) -> SequenceEntry:
        """Return the manifest entry of a sequence. Raises UserError for an unknown name."""
        if name not in self._sequences:
            raise UserError(f"{self.path}: no sequence {name!r}; there are {', '.join(self._sequences) or 'none'}")
        return self._sequences[name]

    def labels_digest(self, sequence: str) -> str:
        """Return a digest that changes whenever points and labels of a sequence are made anew; boxes do not count."""
        blocks = " ".join(block.digest for block in self.sequence(sequence).blocks)
        return hashlib.sha256(blocks.encode()).hexdigest()

    def group_ids(self, sequence: str) -> NDArray[np.int32]:
        """Read the IDs of a sequence's groups, ascending, int32 [G]."""
        found = (block.group_rows["group"].to_numpy() for block in self.blocks(sequence))
        return np.unique(np.concatenate([np.empty(0, np.int32), *found]))

    def sweep_names(self, sequence: str) -> list[str]:
        """Read the dataset's own names of a sequence's sweeps, in order. Raises UserError for an unknown sequence."""
        return [str(name) for block in self.blocks(sequence) for name in block.sweeps["name"].to_pylist()]

    def sweep_name(self, sequence: str, index: int) -> str:
        """Read the dataset's own name of one sweep. Raises UserError for an unknown sweep."""
        return str(self._row_of(sequence, index)["name"])

    def times_ns(self, sequence: str) -> NDArray[np.int64]:
        """Read the times of a sequence's sweeps, int64 [S]; differences count. Raises UserError as ``sequence``."""
        found = (block.sweeps["timestamp_ns"].to_numpy() for block in self.blocks(sequence))
        return np.concatenate([np.zeros(0, np.int64), *found])

    def poses(self, sequence: str) -> NDArray[np.float64]:
        """Read ``world_SE3_sensor`` of a sequence's sweeps, float64 [S, 4, 4]. Raises UserError as ``sequence``."""
        return np.concatenate([np.zeros((0, 4, 4)), *(block.poses for block in self.blocks(sequence))])

    def points(self, sequence: str, index: int) -> int:
        """Read the number of a sweep's points. Raises UserError for an unknown sweep."""
        return int(self._row_of(sequence, index)["points"])

    def moving_groups(self, sequence: str) -> NDArray[np.int32]:
        """Find the IDs of a sequence's groups that move at some time, ascending."""
        tables = (block.group_rows for block in self.blocks(sequence))
        found = (rows["group"].to_numpy()[rows["moving"].to_numpy(zero_copy_only=False)] for rows in tables)
        return np.unique(np.concatenate([np.empty(0, np.int32), *found]))

    def labelled_sweeps(self, sequence: str) -> list[int]:
        """Find a sequence's sweeps with semantic labels, by index. Raises UserError for an unknown sequence."""
        found: list[int] = []
        for block in self.blocks(sequence):
            columns = (block.sweeps[name].to_pylist() for name in ("sweep", "labelled"))
            found += [int(index) for index, points in zip(*columns, strict=True) if points > 0]
        return found

    def sweep(self, sequence: str, index: int, without: Collection[SweepField] = ()) -> CachedSweep:
        """Read one sweep, or all but some fields of it. Raises UserError for an unknown sweep or a damaged block."""
        return self.block(sequence, index).sweep(index, without)

    def label(self, sequence: str, index: int) -> NDArray[np.int32]:
        """Read only the labels of a sweep's points, int32 [N]: group id or a code of data_schemas.labels."""
        return self.block(sequence, index).rows("label", index)

    def classes(self, sequence: str, index: int) -> NDArray[np.uint8]:
        """Read only the semantic classes of a sweep's points, uint8 [N]. Raises UserError where it has none."""
        block = self.block(sequence, index)
        if "semantic" not in block.array_names:
            raise UserError(f"{self.path}: sequence {sequence} has no semantic classes; preprocess with its labels")
        return block.rows("semantic", index)

    def boxed_sweeps(self, sequence: str) -> list[int]:
        """Find a sequence's sweeps with labelled boxes, which may be empty, by index."""
        blocks = (block for block in self.blocks(sequence) if block.has_boxes)
        return [index for block in blocks for index in range(block.entry.start, block.entry.stop)]

    def groups(self, sequence: str, index: int) -> Groups:
        """Read the description of a sweep's groups."""
        return self.block(sequence, index).groups(index)

    def group_boxes(self, sequence: str, index: int) -> GroupBoxes | None:
        """Read the boxes of a sweep's groups, found without labels; None where the cache has none, before 2.1."""
        block = self.block(sequence, index)
        for tracks in self.sequence(sequence).tracks:
            if tracks.start <= index < tracks.stop:
                boxes = _open_block(self.store, sequence, tracks, self._classes).group_boxes(index)
                if not np.array_equal(boxes.group, block.groups(index).group):
                    raise UserError(f"{self.path}/{tracks.path}: its groups are not those of {block.entry.path}")
                return boxes
        return None

    def require_group_boxes(self, sequence: str, index: int) -> GroupBoxes:
        """Read the boxes of a sweep's groups. Raises UserError where the cache has none."""
        boxes = self.group_boxes(sequence, index)
        if boxes is None:
            raise UserError(
                f"{self.path}: the groups of sequence {sequence} have no boxes, which are since version 2.1 of the "
                f"format; add them with: iscc-cache upgrade {self.path}"
            )
        return boxes

    def queries(self, sequence: str, index: int) -> Queries:
        """Read only a sweep's occupancy queries."""
        return self.block(sequence, index).queries(index)

    def boxes(self, sequence: str, index: int) -> Boxes | None:
        """Read a sweep's labelled boxes; None if the dataset has none."""
        return self.block(sequence, index).boxes(index)

    def camera(self, sequence: str, index: int) -> Camera | None:
        """Read the camera in which a sweep's boxes were labelled; None without one."""
        return self.block(sequence, index).camera(index)

    def block(self, sequence: str, index: int) -> Block:
        """Open the block that contains a sweep."""
        entry = self.sequence(sequence)
        for block in entry.blocks:
            if block.start <= index < block.stop:
                return _open_block(self.store, sequence, block, self._classes)
        raise UserError(f"{self.path}: sequence {sequence} has sweeps 0 to {entry.sweeps - 1}, not {index}")

    def _row_of(self, sequence: str, index: int) -> dict[str, Any]:
        block = self.block(sequence, index)
        row: dict[str, Any] = block.sweeps.select(["name", "points"]).slice(index - block.entry.start, 1).to_pylist()[0]
        return row

    def blocks(self, sequence: str) -> list[Block]:
        """Open all blocks of a sequence, in order."""
        return [_open_block(self.store, sequence, block, self._classes) for block in self.sequence(sequence).blocks]


def read_manifest(store: Store) -> tuple[Manifest, str]:
    """Read a cache's manifest, and the SHA-256 of its file. Raises UserError if it is missing or unreadable."""
    missing = (
        f"no finished cache here ({manifests.MANIFEST_FILE} is missing); make one "
        f"with: iscc-preprocess run DATASET --root ROOT --cache {store.url}"
    )
    return read_document(store, manifests.MANIFEST_FILE, manifests.from_json, missing)


def read_document(store: Store, name: str, parse: Callable[[str], T], missing: str) -> tuple[T, str]:
    """Read a table of contents, and the SHA-256 of its file.

    Raises UserError if it is unreadable, or with the text ``missing`` if it is not there.
    """
    path = f"{store.url}/{name}"
    try:
        content = store.read(name)
        return parse(content.decode("utf-8")), hashlib.sha256(content).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{store.url}: {missing}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, DocumentError) as error:
        raise UserError(one_line(f"{path}: {error}")) from None


def read_part(store: Store, name: str, digest: str, parse: Callable[[bytes], T], missing: str, damaged: str) -> T:
    """Read a file that a table of contents names by its SHA-256; ``parse`` raises ValueError where it is damaged.

    Raises UserError where it is missing or damaged; the texts say what to do.
    """
    path = f"{store.url}/{name}"
    try:
        content = store.read(name)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {missing}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    try:
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its digest is wrong")
        return parse(content)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise UserError(one_line(f"{path}: damaged ({error}); {damaged}")) from None


@functools.lru_cache(maxsize=_OPEN_BLOCKS)
def _open_block(store: Store, sequence: str, entry: BlockEntry, classes: int) -> Block:
    return Block(store, sequence, entry, classes)
