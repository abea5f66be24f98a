"""Read a block of a cache and check what is read.

Arrays are decoded by zarr. The rows of each sweep have a checksum of the values written, not of the bytes on disk: it
detects damage, swapped files and errors in decoding.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iscc_lidar.data_schemas import manifest as manifests
from iscc_lidar.data_schemas import tables
from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS, FREE_FAR, OCCUPIED, POSITION_QUANTUM_M
from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.document import load_json
from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.data_schemas.manifest import BlockEntry
from iscc_lidar.data_schemas.names import is_block_file
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.parquet import read_checked
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.cache.sweep import NO_QUERIES, CachedSweep, GroupBoxes, Groups, Queries, SweepField
from iscc_lidar.shared.cache.table_checks import (
    MAX_GROUP,
    check_boxes,
    check_groups,
    check_sweeps,
    check_tracks,
    list_column,
)
from iscc_lidar.shared.store.store import Store

if TYPE_CHECKING:
    import zarr

_SPECS = {spec.name: spec for spec in BLOCK_ARRAYS}
_LEGAL = {
    "label": (NOT_CONSIDERED, MAX_GROUP),
    "semantic": (0, 255),  # or as many as the cache has classes
    "query_kind": (OCCUPIED, FREE_FAR),
    "query_group": (0, MAX_GROUP),
    "query_source": (0, 2**31 - 1),
}


class Block:
    """A block of consecutive sweeps: its arrays and tables, each opened when first read."""

    def __init__(self, store: Store, sequence: str, entry: BlockEntry, classes: int = 256) -> None:
        """Describe a block of a sequence by its entry in the manifest, and the number of semantic classes there."""
        self.sequence = sequence
        self.entry = entry
        self._classes = classes
        self._store = store
        self._arrays: dict[str, zarr.Array[Any]] = {}

    @cached_property
    def key(self) -> str:
        """What it was made of, as its writer states; empty where it does not."""
        content = load_json(self._read(manifests.BLOCK_FILE, self.entry.digest))
        return str(content.get("key", ""))

    @cached_property
    def sweeps(self) -> pa.Table:
        """Table of sweeps; see data_schemas.tables.SWEEPS."""
        return self._table(manifests.SWEEPS_FILE, tables.SWEEPS, lambda table: check_sweeps(table, self.entry))

    @cached_property
    def group_rows(self) -> pa.Table:
        """Table of groups, one row per group and sweep; see data_schemas.tables.GROUPS."""
        return self._table(manifests.GROUPS_FILE, tables.GROUPS, lambda table: check_groups(table, self.sweeps))

    @cached_property
    def array_names(self) -> frozenset[str]:
        """Names of its arrays of points and queries: those with checksums."""
        return frozenset(name for name, checksum in self.sweeps["crc32"][0].as_py().items() if checksum is not None)

    @property
    def poses(self) -> NDArray[np.float64]:
        """``world_SE3_sensor`` of its sweeps, float64 [S, 4, 4]."""
        return list_column(self.sweeps["world_SE3_sensor"], 16).reshape(-1, 4, 4)

    def sweep(self, index: int, without: Collection[SweepField] = ()) -> CachedSweep:
        """Read one sweep by its index within the sequence, except the fields in ``without``.

        These are None in the result, queries empty. Reading an array takes a millisecond.
        """
        row = index - self.entry.start
        pose = np.array(self.sweeps["world_SE3_sensor"][row].as_py(), dtype=np.float64).reshape(4, 4)
        return CachedSweep(
            sequence=self.sequence,
            index=index,
            name=self.sweeps["name"][row].as_py(),
            xyz=metres(self.rows("xyz", index)),
            intensity=unit_intensity(self.rows("intensity", index)),
            label=self.rows("label", index),
            semantic=self.rows("semantic", index) if self._has("semantic", without) else None,
            world_SE3_sensor=pose,
            queries=NO_QUERIES if "queries" in without else self.queries(index),
            pixel=self.rows("pixel", index).T if self._has("pixel", without) else None,
        )

    def queries(self, index: int) -> Queries:
        """Read a sweep's occupancy queries."""
        names = ("query_kind", "query_group", "query_source")
        return Queries(metres(self.rows("query_xyz", index)), *(self.rows(name, index) for name in names))

    def groups(self, index: int) -> Groups:
        """Read the description of a sweep's groups."""
        rows = _rows_of(self.group_rows, index)
        corner = (list_column(rows[name], 3) for name in _CORNERS)
        return Groups(*(rows[name].to_numpy() for name in ("group", "points", "moving")), *corner)

    @property
    def has_boxes(self) -> bool:
        """Whether its sweeps have labelled boxes."""
        return manifests.BOXES_FILE in self._digests

    def boxes(self, index: int) -> Boxes | None:
        """Read a sweep's labelled boxes; None if the dataset has none."""
        if not self.has_boxes:
            return None
        rows = _rows_of(self._box_rows, index)
        lists = {n: np.array(rows[n].to_pylist(), np.float64) for n in ("centre", "size", "image_box")}
        return Boxes(
            np.array(rows["kind"].to_pylist(), dtype=np.str_),
            lists["centre"].reshape(-1, 3),
            lists["size"].reshape(-1, 3),
            rows["heading"].to_numpy(),
            rows["truncation"].to_numpy(),
            rows["occlusion"].to_numpy(),
            lists["image_box"].reshape(-1, 4),
        )

    @cached_property
    def _track_rows(self) -> pa.Table:
        return self._table(manifests.TRACKS_FILE, tables.TRACKS, lambda table: check_tracks(table, self.entry))

    def group_boxes(self, index: int) -> GroupBoxes:
        """Read the boxes of a sweep's groups; only of a folder that the manifest names under ``tracks``."""
        rows = _rows_of(self._track_rows, index)
        centre, size = (np.array(rows[n].to_pylist(), np.float64).reshape(-1, 3) for n in ("centre", "size"))
        return GroupBoxes(
            rows["group"].to_numpy(), centre, size, rows["heading"].to_numpy(), rows["confidence"].to_numpy()
        )

    def camera(self, index: int) -> Camera | None:
        """Read the camera in which a sweep's boxes were labelled; None without one."""
        if "camera" not in self.sweeps.column_names:
            return None
        found = self.sweeps["camera"][index - self.entry.start].as_py()
        if found is None:
            return None
        return Camera(
            np.array(found["image_P_camera"]).reshape(3, 4),
            np.array(found["camera_SE3_sensor"]).reshape(4, 4),
            found["width"],
            found["height"],
        )

    @cached_property
    def _box_rows(self) -> pa.Table:
        return self._table(manifests.BOXES_FILE, tables.BOXES, lambda table: check_boxes(table, self.entry))

    def rows(self, name: str, index: int) -> NDArray[Any]:
        """Read the rows of a sweep in an array of points or queries, as stored.

        Raises UserError if the block has no such array, or the array is damaged.
        """
        row = index - self.entry.start
        start, stop = (int(n) for n in self._starts[_SPECS[name].rows][row : row + 2])
        array = self._array(name)
        try:
            found = np.ascontiguousarray(array[:, start:stop] if _SPECS[name].planes else array[start:stop])
        except Exception as error:  # codecs raise all types of errors for damaged bytes
            why = f"{type(error).__name__}: {error}"
            raise self._damaged(f"{manifests.ARRAYS_FOLDER}/{name}", why) from None
        if row_checksum(found) != self.sweeps["crc32"][row][name].as_py():
            raise self._damaged(f"{manifests.ARRAYS_FOLDER}/{name}", "its checksum is wrong")
        self._check_values(name, found)
        return found

    def _has(self, name: SweepField, without: Collection[SweepField]) -> bool:
        return name in self.array_names and name not in without

    @cached_property
    def _starts(self) -> dict[str, NDArray[np.int64]]:
        """First row of each sweep in the arrays of points and of queries, and the total at the end."""
        counts = {name: self.sweeps[name].to_numpy().astype(np.int64) for name in ("points", "queries")}
        return {name: np.concatenate([[0], np.cumsum(count)]) for name, count in counts.items()}

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = self._open_array(name)
        return self._arrays[name]

    def _open_array(self, name: str) -> zarr.Array[Any]:
        from iscc_lidar.shared.cache.array_files import bounded_decoding, check_array  # imports zarr, half a second

        file, spec = f"{manifests.ARRAYS_FOLDER}/{name}", _SPECS[name]
        try:
            content = load_json(self._read(f"{file}/zarr.json", self._digests.get(f"{file}/zarr.json")))
            sizes = {path.removeprefix(f"{name}/"): n for path, n in self._sizes.items() if path.startswith(f"{name}/")}
            check_array(content, spec, int(self._starts[spec.rows][-1]), sizes)
            with bounded_decoding():
                return self._store.array(f"{self.entry.path}/{file}")
        except UserError:
            raise
        except Exception as error:  # raised for damaged bytes
            raise self._damaged(file, f"{type(error).__name__}: {error}") from None

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Bytes of every file of its arrays."""
        return self._store.files(f"{self.entry.path}/{manifests.ARRAYS_FOLDER}")

    def _check_values(self, name: str, found: NDArray[Any]) -> None:
        """Refuse labels, classes and codes that the block cannot have. Raises UserError."""
        if name not in _LEGAL or found.size == 0:
            return
        lowest, highest = _LEGAL[name]
        highest = self._classes - 1 if name == "semantic" else highest
        low, high = int(found.min()), int(found.max())
        if low < lowest or high > highest:
            why = f"has values from {low} to {high}, expected {lowest} to {highest}"
            raise self._damaged(f"{manifests.ARRAYS_FOLDER}/{name}", why)

    def _table(self, name: str, schema: pa.Schema, check: Callable[[pa.Table], None]) -> pa.Table:
        content = self._read(name, self._digests.get(name))
        try:
            table = read_checked(content, schema)
            check(table)
        except UserError:
            raise
        except Exception as error:  # Arrow raises all types of errors for damaged bytes
            raise self._damaged(name, str(error)) from None
        return table

    @cached_property
    def _digests(self) -> dict[str, str]:
        try:
            return block_files(self._read(manifests.BLOCK_FILE, self.entry.digest))
        except ValueError as error:
            raise self._damaged(manifests.BLOCK_FILE, str(error)) from None

    def _read(self, name: str, digest: str | None) -> bytes:
        """Read a file and check its digest."""
        try:
            content = self._store.read(f"{self.entry.path}/{name}")
        except FileNotFoundError:
            raise self._damaged(name, "it is missing") from None
        except OSError as error:
            raise self._damaged(name, str(error.strerror)) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise self._damaged(name, "its checksum is wrong")
        return content

    def _damaged(self, name: str, why: str) -> UserError:
        cache = self._store.url
        return UserError(
            one_line(f"{cache}/{self.entry.path}/{name}: damaged, or the cache was remade meanwhile: {why:.300}; ")
            + f"run: iscc-cache verify {cache}"
        )


_CORNERS = ("centroid", "box_min", "box_max")


def _rows_of(table: pa.Table, sweep: int) -> pa.Table:
    import pyarrow.compute as pc  # takes 0.15 s, which commands without it save

    return table.filter(pc.field("sweep") == sweep)


def metres(planes: NDArray[np.int16]) -> NDArray[np.float32]:
    """Convert stored positions, int16 [3, N], to metres, float32 [N, 3]."""
    return np.ascontiguousarray(planes.T).astype(np.float32) * np.float32(POSITION_QUANTUM_M)


def unit_intensity(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert stored intensity, uint8 [N], to 0..1, float32 [N]."""
    return stored.astype(np.float32) / np.float32(255)


def row_checksum(rows: NDArray[Any]) -> int:
    """Compute the CRC-32 of a sweep's rows of an array, little-endian in C order, as in the table of sweeps."""
    return zlib.crc32(rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes())


def block_files(content: bytes) -> dict[str, str]:
    """Read the SHA-256 of each file of a block from its block file. Raises ValueError if that is damaged."""
    try:
        found = load_json(content)["files"]
        digests = {str(name): str(digest) for name, digest in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"damaged, it does not list the block's files ({type(error).__name__}: {error})") from None
    if foreign := [name for name in digests if not is_block_file(name)]:
        raise ValueError(f"lists {foreign[0]!r:.80}, which is not the name of a block's file")
    return digests
