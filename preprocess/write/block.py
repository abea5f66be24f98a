"""Write a finished block: its Zarr arrays, its tables, and the block file with their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from iscc_lidar.data_schemas import tables
from iscc_lidar.data_schemas.arrays import BLOCK_ARRAYS, CHUNK_ROWS, POSITION_QUANTUM_M, ArraySpec
from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.manifest import ARRAYS_FOLDER, BLOCK_FILE, BOXES_FILE, GROUPS_FILE, SWEEPS_FILE
from iscc_lidar.preprocess.describe.finish_block import FinishedSweep
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import sha256
from iscc_lidar.shared.cache.block import row_checksum
from iscc_lidar.shared.cache.sweep import Groups
from iscc_lidar.shared.cache.verify import remove_block
from iscc_lidar.shared.store.store import Store


@dataclass(frozen=True)
class _StoredSweep:
    """A finished sweep in the types that are stored: half the memory of a FinishedSweep.

    Attributes:
        arrays: its rows of the block's arrays, along the last axis.
        row: its row of the sweeps table, still without checksums.
        groups, boxes: as in FinishedSweep and its Sweep; the positions of groups are rounded.
    """

    arrays: dict[str, NDArray[Any]]
    row: dict[str, Any]
    groups: Groups
    boxes: Boxes | None


def write_block(store: Store, folder: str, sweeps: Iterable[FinishedSweep], key: str) -> str:
    """Write a block with the key of what it was made from; returns the SHA-256 of its block file."""
    stored = [_stored(sweep) for sweep in sweeps]
    _equalise_arrays(stored)

    def write(staging: Path) -> None:
        _write_arrays(staging / ARRAYS_FOLDER, stored)
        rows = [_row_with_checksums(s) for s in stored]
        write_table(staging / SWEEPS_FILE, pa.Table.from_pylist(rows, tables.SWEEPS))
        write_table(staging / GROUPS_FILE, _rows_table(tables.GROUPS, [(s.row["sweep"], s.groups) for s in stored]))
        if boxes := [(s.row["sweep"], s.boxes) for s in stored if s.boxes is not None]:
            write_table(staging / BOXES_FILE, _rows_table(tables.BOXES, boxes))

    return write_folder(store, folder, key, write)


def write_folder(store: Store, folder: str, key: str, write: Callable[[Path], None]) -> str:
    """Let ``write`` fill a folder of a cache, then add its block file; returns the SHA-256 of that."""
    if left := remove_block(store, folder):
        raise UserError(f"{store.url}/{left[0]}: is in the place of a block, but is a link or foreign; move it away")
    with store.new_folder(folder, last=BLOCK_FILE) as staging:
        write(staging)
        files = sorted(f for f in staging.rglob("*") if f.is_file())
        content = {"key": key, "files": {f.relative_to(staging).as_posix(): sha256(f) for f in files}}
        text = json.dumps(content, indent=1) + "\n"
        (staging / BLOCK_FILE).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def find_block(store: Store, folder: str, key: str) -> str | None:
    """Return the SHA-256 of the block file in a folder; None if no block with this key is there."""
    try:
        content = store.read(f"{folder}/{BLOCK_FILE}")
        return hashlib.sha256(content).hexdigest() if json.loads(content)["key"] == key else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _stored(s: FinishedSweep) -> _StoredSweep:
    sweep, queries = s.sweep, s.queries
    arrays: dict[str, NDArray[Any]] = {
        "xyz": quantise(sweep.xyz),
        "intensity": quantise_intensity(sweep.intensity),
        "label": s.label,
        "query_xyz": quantise(queries.xyz),
        "query_kind": queries.kind,
        "query_group": queries.group,
        "query_source": queries.source,
    }
    if sweep.semantic is not None:
        arrays["semantic"] = sweep.semantic
    if sweep.pixel is not None:
        arrays["pixel"] = sweep.pixel.T
    rounded = {
        name: np.rint(getattr(s.groups, name) / tables.BOX_QUANTUM_M) * tables.BOX_QUANTUM_M
        for name in ("centroid", "box_min", "box_max")
    }
    return _StoredSweep(arrays, _sweep_row(s), replace(s.groups, **rounded), sweep.boxes)


def _equalise_arrays(sweeps: list[_StoredSweep]) -> None:
    """Give all sweeps the same arrays: 0 (unlabelled) for missing classes; pixels only if all sweeps have them."""
    if any("semantic" in s.arrays for s in sweeps):
        for s in sweeps:
            s.arrays.setdefault("semantic", np.zeros(len(s.arrays["label"]), np.uint8))
    if not all("pixel" in s.arrays for s in sweeps):
        for s in sweeps:
            s.arrays.pop("pixel", None)


def _row_with_checksums(s: _StoredSweep) -> dict[str, Any]:
    names = [spec.name for spec in BLOCK_ARRAYS if spec.name in s.arrays]
    return s.row | {"crc32": {name: row_checksum(s.arrays[name]) for name in names}}


def quantise_intensity(intensity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Convert intensity 0..1, float32 [N], to the stored one, uint8 [N]; the inverse of ``unit_intensity``."""
    return np.rint(intensity * 255).astype(np.uint8)


def quantise(xyz: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert positions in metres, float32 [N, 3], to the stored ones, int16 [3, N]; the inverse of ``metres``."""
    limit = np.iinfo(np.int16).max  # clipped and non-finite points are out of range, and labelled so
    with np.errstate(over="ignore"):
        steps = np.nan_to_num(xyz.T / np.float32(POSITION_QUANTUM_M), nan=0.0, posinf=0.0, neginf=0.0)
    quantised: NDArray[np.int16] = np.rint(np.clip(steps, -limit, limit)).astype(np.int16)
    return quantised


def _write_arrays(path: Path, sweeps: list[_StoredSweep]) -> None:
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    starts = {"point_start": "label", "query_start": "query_kind"}
    for spec in BLOCK_ARRAYS:
        if spec.name in starts:
            _write_array(group, spec, _starts([len(s.arrays[starts[spec.name]]) for s in sweeps]))
        elif spec.name in sweeps[0].arrays:
            _write_array(group, spec, np.concatenate([s.arrays[spec.name] for s in sweeps], axis=-1))


def _starts(sizes: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _write_array(group: zarr.Group, spec: ArraySpec, data: NDArray[Any]) -> None:
    planes = data.shape[:-1]
    chunk = min(CHUNK_ROWS, max(1, data.shape[-1]))
    chunks_needed = max(1, -(-data.shape[-1] // chunk))
    array = group.create_array(
        spec.name,
        shape=data.shape,
        dtype=spec.dtype,
        chunks=(*(1 for _ in planes), chunk),
        shards=(*planes, chunk * chunks_needed),  # one file per array
        compressors=[_compressor(spec, data), Crc32cCodec()],  # neither compressor detects every flipped bit
        fill_value=spec.fill,
        attributes={k: v for k, v in (("meaning", spec.meaning), ("unit", spec.unit), ("frame", spec.frame)) if v},
        # Also write a chunk that equals the fill value: a missing chunk must be noticed.
        config={"write_empty_chunks": True},
    )
    array[...] = data


def _compressor(spec: ArraySpec, data: NDArray[Any]) -> BloscCodec | ZstdCodec:
    """Choose the compressor of an array.

    Coordinates differ mostly in their lower bytes, so bytes are shuffled; ids and codes come in runs, which shuffling
    would break. Queries follow no scan line, so that no bytes repeat, and bits are shuffled. Above these levels time
    grows faster than space is saved (docs/benchmarks.md).
    """
    if spec.planes:
        shuffle: Literal["shuffle", "bitshuffle"] = "shuffle" if spec.rows == "points" else "bitshuffle"
        return BloscCodec(cname="zstd", clevel=4, shuffle=shuffle, typesize=data.dtype.itemsize)
    return ZstdCodec(level=6)


def _sweep_row(s: FinishedSweep) -> dict[str, Any]:
    return {
        "sweep": s.index,
        "name": s.sweep.name,
        "timestamp_ns": s.sweep.timestamp_ns,
        "points": len(s.label),
        "grouped": int((s.label >= 0).sum()),
        "noise": int((s.label == NOISE).sum()),
        "ground": int((s.label == GROUND).sum()),
        "not_considered": int((s.label == NOT_CONSIDERED).sum()),
        "labelled": 0 if s.sweep.semantic is None else int(np.count_nonzero(s.sweep.semantic)),
        "queries": len(s.queries.kind),
        "world_SE3_sensor": s.sweep.world_SE3_sensor.ravel().tolist(),
        "camera": None if s.sweep.camera is None else _camera(s.sweep.camera),
    }


def _camera(camera: Camera) -> dict[str, Any]:
    return {
        "image_P_camera": camera.image_P_camera.ravel().tolist(),
        "camera_SE3_sensor": camera.camera_SE3_sensor.ravel().tolist(),
        "width": camera.width,
        "height": camera.height,
    }


def _rows_table(schema: pa.Schema, parts: Sequence[tuple[int, Groups | Boxes]]) -> pa.Table:
    """Make a table of the columns of all parts, after a column with the index of each row's sweep."""
    sizes = [len(getattr(part, schema.names[1])) for _, part in parts]
    columns = [pa.array(np.repeat(np.array([index for index, _ in parts], np.int32), sizes))]
    for name in schema.names[1:]:
        columns.append(_column(np.concatenate([getattr(part, name) for _, part in parts])))
    return pa.table(columns, schema=schema)


def _column(values: NDArray[Any]) -> pa.Array:
    flat = pa.array(values.ravel().tolist() if values.dtype.kind == "U" else values.ravel())
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table, compressed, with checksums of its pages."""
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
