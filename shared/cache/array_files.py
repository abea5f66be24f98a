"""Whether an array's metadata agrees with its table and its files, before memory is taken for it.

A chunk is decoded only into as many bytes as the array has in it: compressors can make gigabytes of a kilobyte.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core import sync
from zarr.registry import register_codec

from iscc_lidar.data_schemas.arrays import ArraySpec

_CODECS: Final = {"sharding_indexed", "bytes", "blosc", "zstd", "crc32c"}
_SMALL_ROWS: Final = 2**20
_SMALL_BYTES: Final = 2**24
_EXPANSION: Final = 8192
"""Bytes in memory for a byte of the files: a constant array, with a checksum for each of our chunks, reaches 6,000."""
_ZARR_STOPS_S: Final = 30.0


@atexit.register
def _stop_zarr_thread() -> None:
    """Stop zarr's thread before zarr does, which gives it 0.2 s and then ends in a stack trace."""
    loop, thread = sync.loop[0], sync.iothread[0]
    if loop is not None and thread is not None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_ZARR_STOPS_S)


def check_array(content: Any, spec: ArraySpec, rows: int, sizes: Mapping[str, int]) -> None:
    """Check the content of an array's ``zarr.json``. Raises ValueError with what is wrong.

    Args:
        content: parsed JSON.
        spec: what the array must be.
        rows: how many rows it must have.
        sizes: bytes of its files by path in its folder.
    """
    shape = [spec.planes, rows] if spec.planes else [rows]
    if (content["zarr_format"], content["node_type"], content["data_type"]) != (3, "array", spec.dtype):
        raise ValueError(f"it is not a Zarr v3 array of {spec.dtype}")
    if content["shape"] != shape:
        raise ValueError(f"it is {content['shape']!r:.80}, not {shape} as the tables say")
    grid, keys = content["chunk_grid"], content["chunk_key_encoding"]
    if grid["name"] != "regular" or keys["name"] != "default" or content.get("storage_transformers"):
        raise ValueError("its chunks are not in a regular grid under default names")
    if keys.get("configuration", {}).get("separator", "/") != "/":
        raise ValueError("the parts of its chunks' names are not separated by slashes")
    chunk = _chunk_shape(grid["configuration"]["chunk_shape"], shape)
    _check_codecs(content["codecs"], shape)
    counts = [math.ceil(length / step) for length, step in zip(shape, chunk, strict=True)]
    wanted = math.prod(counts)
    if wanted > len(sizes) or any(sizes.get(f"c/{'/'.join(map(str, at))}", 0) < 1 for at in np.ndindex(*counts)):
        raise ValueError("a chunk is missing, empty or not a file")
    needed = math.prod(shape) * np.dtype(spec.dtype).itemsize
    stored = sum(size for name, size in sizes.items() if name.startswith("c/"))
    if needed > _SMALL_BYTES + _EXPANSION * stored:
        raise ValueError(f"{stored} bytes of chunks cannot contain its {needed}")


def _chunk_shape(found: Any, shape: list[int]) -> list[int]:
    chunk: list[int] = found
    lengths = [max(2 * length, _SMALL_ROWS) for length in shape]
    legal = isinstance(chunk, list) and len(chunk) == len(shape) and all(type(step) is int for step in chunk)
    if not legal or any(not 1 <= step <= most for step, most in zip(chunk, lengths, strict=True)):
        raise ValueError(f"its chunks of {chunk!r:.80} do not fit {shape}")
    if len(shape) == 2 and chunk[0] > shape[0]:
        raise ValueError(f"its chunks of {chunk!r:.80} do not fit {shape}")
    return chunk


def _check_codecs(codecs: Any, shape: list[int]) -> None:
    for codec in codecs:
        if codec["name"] not in _CODECS:
            raise ValueError(f"its codec {codec['name']!r:.80} is none of {', '.join(sorted(_CODECS))}")
        if codec["name"] == "sharding_indexed":
            _chunk_shape(codec["configuration"]["chunk_shape"], shape)
            _check_codecs(codec["configuration"]["codecs"], shape)
            _check_codecs(codec["configuration"]["index_codecs"], shape)


class BoundedZstd(ZstdCodec):
    """Decode zstd, but no more bytes than the chunk has."""

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        _refuse_more(_zstd_size(bytes(chunk_bytes.as_numpy_array()[:18])), chunk_spec)
        return await super()._decode_single(chunk_bytes, chunk_spec)


class BoundedBlosc(BloscCodec):
    """Decode Blosc, but no more bytes than the chunk has."""

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        _refuse_more(int.from_bytes(bytes(chunk_bytes.as_numpy_array()[4:8]), "little"), chunk_spec)
        return await super()._decode_single(chunk_bytes, chunk_spec)


register_codec("zstd", BoundedZstd)
register_codec("blosc", BoundedBlosc)


@contextmanager
def bounded_decoding() -> Iterator[None]:
    """Let arrays that are opened meanwhile be decoded by BoundedZstd and BoundedBlosc."""
    here = BoundedZstd.__module__
    with zarr.config.set({"codecs.zstd": f"{here}.BoundedZstd", "codecs.blosc": f"{here}.BoundedBlosc"}):
        yield


def _refuse_more(size: int, chunk_spec: Any) -> None:
    expected = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
    if size != expected:
        raise ValueError(f"a chunk decodes to {size} bytes, expected {expected}")


def _zstd_size(header: bytes) -> int:
    """Read the size of a frame's content (RFC 8878, 3.1.1.1). Raises ValueError where it is not stated."""
    if header[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("a chunk is not a zstd frame")
    flags = header[4]
    is_single = flags >> 5 & 1
    length = (1 if is_single else 0, 2, 4, 8)[flags >> 6]
    start = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    if length == 0:
        raise ValueError("a chunk does not state its size")
    return int.from_bytes(header[start : start + length], "little") + (256 if length == 2 else 0)
