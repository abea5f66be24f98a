"""Read a cache: labels, points, poses, groups and occupancy queries of a sweep, lazily, as numpy arrays.

By zarr's own codecs, which check every chunk. The zarrs pipeline reads a sweep in half the time, 10 ms instead of 19,
but of a shard it decodes parts without looking at their checksums: in a trial it gave wrong labels for a third of the
damaged chunks (zarrs 0.2.3).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
import zarr.errors
from numpy.typing import NDArray

from iscc_lidar.data_schemas import manifest as manifests
from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS, POSITION_QUANTUM_M, ArraySpec
from iscc_lidar.data_schemas.manifest import BlockEntry, Manifest, SequenceEntry
from iscc_lidar.shared.errors import UserError

_OPEN_BLOCKS = 64
ZarrArray = zarr.Array[Any]
Part = Literal["semantic", "queries", "pixel"]
"""What of a sweep may be left unread."""


@dataclass(frozen=True)
class Queries:
    """Occupancy queries of a sweep, sorted by group.

    Attributes:
        xyz: float32 [M, 3], metres, sensor frame of the sweep.
        kind: uint8 [M], data_schemas.arrays.OCCUPIED, FREE_NEAR or FREE_FAR.
        group: int32 [M], the group whose surface is probed.
        source: int32 [M], index within the sequence of the sweep whose ray saw it.

    """

    xyz: NDArray[np.float32]
    kind: NDArray[np.uint8]
    group: NDArray[np.int32]
    source: NDArray[np.int32]


@dataclass(frozen=True)
class CachedSweep:
    """A sweep as cached, in the raw file's point order.

    Attributes:
        sequence: name of the sequence.
        index: position of the sweep within the sequence, from 0.
        name: the data set's own name of the sweep.
        xyz: float32 [N, 3], metres, sensor frame, exact to 2 mm.
        intensity: float32 [N], 0..1.
        label: int32 [N], group id or a code of data_schemas.labels.
        semantic: uint8 [N] or None, class index into the manifest's class names.
        world_SE3_sensor: float64 [4, 4].
        queries: occupancy queries near this sweep's groups.
        pixel: uint16 [N, 4] or None: laser, return, row and column in the range image, as the data set counts them.

    """

    sequence: str
    index: int
    name: str
    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    label: NDArray[np.int32]
    semantic: NDArray[np.uint8] | None
    world_SE3_sensor: NDArray[np.float64]
    queries: Queries
    pixel: NDArray[np.uint16] | None = None


_NO_QUERIES = Queries(*(np.zeros(shape, dtype) for shape, dtype in zip(((0, 3), 0, 0, 0), "fBii", strict=True)))


class Cache:
    """A finished cache on disk. Arrays are opened when first read; safe to pickle to worker processes."""

    def __init__(self, path: Path) -> None:
        """Open a cache. Raises UserError where there is none, or one that this version cannot read."""
        self.path = path
        self.manifest = read_manifest(path)
        self._sequences = {entry.name: entry for entry in self.manifest.sequences}

    @property
    def sequence_names(self) -> tuple[str, ...]:
        """Names of the sequences, in order."""
        return tuple(self._sequences)

    def sequence(self, name: str) -> SequenceEntry:
        """Manifest entry of a sequence. Raises UserError for an unknown name."""
        if name not in self._sequences:
            raise UserError(f"{self.path}: no sequence {name!r}; it holds {', '.join(self._sequences) or 'none'}")
        return self._sequences[name]

    def sweep_names(self, sequence: str) -> list[str]:
        """The data set's own names of a sequence's sweeps, in order. Raises UserError for an unknown sequence."""
        return [str(name) for block in self.blocks(sequence) for name in block.sweeps["name"].to_pylist()]

    def labelled_sweeps(self, sequence: str) -> list[int]:
        """Indices of a sequence's sweeps that have a point with a semantic class, in order.

        Raises UserError for an unknown sequence, and for a cache of a version that did not count them.
        """
        found: list[int] = []
        for block in self.blocks(sequence):
            if "labelled" not in block.sweeps.column_names:
                raise UserError(f"{self.path}: its format has no count of labelled points; preprocess again")
            columns = (block.sweeps[name].to_pylist() for name in ("sweep", "labelled"))
            found += [int(index) for index, points in zip(*columns, strict=True) if points > 0]
        return found

    def sweep(self, sequence: str, index: int, without: Collection[Part] = ()) -> CachedSweep:
        """Read one sweep, all of it or without some parts. Raises UserError for an unknown one or a damaged block."""
        return self.block(sequence, index).sweep(index, without)

    def block(self, sequence: str, index: int) -> Block:
        """Open the block that holds a sweep."""
        entry = self.sequence(sequence)
        for block in entry.blocks:
            if block.start <= index < block.stop:
                return _open_block(self.path, sequence, block)
        raise UserError(f"{self.path}: sequence {sequence} has sweeps 0 to {entry.sweeps - 1}, not {index}")

    def blocks(self, sequence: str) -> list[Block]:
        """Open all blocks of a sequence, in order."""
        return [_open_block(self.path, sequence, block) for block in self.sequence(sequence).blocks]


class Block:
    """One block of successive sweeps: its arrays and its two tables."""

    def __init__(self, root: Path, sequence: str, entry: BlockEntry) -> None:
        self.folder = root / entry.path
        self.sequence = sequence
        self.entry = entry
        self.sweeps = read_table(self.folder / manifests.SWEEPS_FILE)
        self._arrays = _open_arrays(self.folder)
        self._point_start = self.read("point_start")
        self._query_start = self.read("query_start")

    def groups(self) -> pa.Table:
        """The table of groups, one row a group in a sweep; see data_schemas.tables.GROUPS."""
        return read_table(self.folder / manifests.GROUPS_FILE)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read rows of an array as stored. Raises UserError where it is missing or damaged."""
        try:
            array = self._arrays[name]
            rows = array[:, start:stop] if array.ndim == 2 else array[start:stop]
        except KeyError:
            raise UserError(f"{self.folder}: array {name} is missing; run: iscc-cache verify CACHE") from None
        except Exception as error:  # codecs raise whatever they like for damaged bytes
            raise UserError(
                f"{self.folder}/{manifests.ARRAYS_FOLDER}/{name}: cannot be read, probably damaged "
                f"({type(error).__name__}: {error}); run: iscc-cache verify CACHE"
            ) from None
        return np.asarray(rows)

    def sweep(self, index: int, without: Collection[Part] = ()) -> CachedSweep:
        """Read one sweep by its index within the sequence.

        What it is read without is None in the result, and queries are none: each array takes a millisecond to read.
        """
        row = index - self.entry.start
        start, stop = int(self._point_start[row]), int(self._point_start[row + 1])
        pose = np.array(self.sweeps["world_SE3_sensor"][row].as_py(), dtype=np.float64).reshape(4, 4)
        return CachedSweep(
            sequence=self.sequence,
            index=index,
            name=self.sweeps["name"][row].as_py(),
            xyz=metres(self.read("xyz", start, stop)),
            intensity=self.read("intensity", start, stop).astype(np.float32) / np.float32(255),
            label=self.read("label", start, stop),
            semantic=self.read("semantic", start, stop) if self._holds("semantic", without) else None,
            world_SE3_sensor=pose,
            queries=_NO_QUERIES if "queries" in without else self._queries(row),
            pixel=self.read("pixel", start, stop).T if self._holds("pixel", without) else None,
        )

    def _holds(self, name: Part, without: Collection[Part]) -> bool:
        return name in self._arrays and name not in without

    def _queries(self, row: int) -> Queries:
        start, stop = int(self._query_start[row]), int(self._query_start[row + 1])
        return Queries(
            xyz=metres(self.read("query_xyz", start, stop)),
            kind=self.read("query_kind", start, stop),
            group=self.read("query_group", start, stop),
            source=self.read("query_source", start, stop),
        )


def metres(planes: NDArray[np.int16]) -> NDArray[np.float32]:
    """Stored positions int16 [3, N] to metres float32 [N, 3]."""
    return np.ascontiguousarray(planes.T).astype(np.float32) * np.float32(POSITION_QUANTUM_M)


def read_manifest(cache: Path) -> Manifest:
    """Read a cache's manifest. Raises UserError where there is none, or not a readable one."""
    path = cache / manifests.MANIFEST_FILE
    try:
        return manifests.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{cache}: no finished cache here ({manifests.MANIFEST_FILE} is missing); make one "
            f"with: iscc-preprocess run DATASET --root ROOT --cache {cache}"
        ) from None
    except (OSError, UnicodeDecodeError, manifests.ManifestError) as error:
        raise UserError(f"{path}: {error}") from None


def read_table(path: Path) -> pa.Table:
    """Read a Parquet table, checking its page checksums. Raises UserError where it is damaged."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read, probably damaged ({error}); run: iscc-cache verify CACHE") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises UserError where it is missing or malformed."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object")
    return content


@functools.lru_cache(maxsize=_OPEN_BLOCKS)
def _open_block(root: Path, sequence: str, entry: BlockEntry) -> Block:
    return Block(root, sequence, entry)


def _open_arrays(folder: Path) -> dict[str, ZarrArray]:
    path = folder / manifests.ARRAYS_FOLDER
    try:
        group = zarr.open_group(path, mode="r")
        arrays = {str(name): array for name, array in group.arrays()}
    except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError) as error:
        raise UserError(f"{path}: cannot be opened ({error}); run: iscc-cache verify CACHE") from None
    for spec in BLOCK_ARRAYS:
        _check_dtype(path, spec, arrays)
    return arrays


def _check_dtype(path: Path, spec: ArraySpec, arrays: dict[str, ZarrArray]) -> None:
    if spec.name not in arrays:
        if spec.optional:
            return
        raise UserError(f"{path}: array {spec.name} is missing; run: iscc-cache verify CACHE")
    if arrays[spec.name].dtype != np.dtype(spec.dtype):
        raise UserError(f"{path}/{spec.name}: is {arrays[spec.name].dtype}, expected {spec.dtype}")
