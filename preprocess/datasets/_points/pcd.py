"""PCD files of the Point Cloud Library, version 0.7: ascii, binary and binary_compressed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from iscc_lidar.preprocess.datasets._points.columns import (
    MAX_BYTES,
    Columns,
    check_points,
    check_size,
    damaged,
    from_records,
    from_text,
    read_rest,
    read_start,
    record_dtype,
)
from iscc_lidar.shared.base.errors import missing_package

_HEADER_BYTES: Final = 65_536
_TYPES: Final = {"F": {4: "<f4", 8: "<f8"}, "I": {1: "<i1", 2: "<i2", 4: "<i4", 8: "<i8"}}
_TYPES["U"] = {size: kind.replace("i", "u") for size, kind in _TYPES["I"].items()}
_MAX_RATIO: Final = 100  # of LZF: 264 bytes from 3


@dataclass(frozen=True)
class _Header:
    points: int
    dtype: np.dtype[Any]
    encoding: str
    offset: int


def count_points(path: Path) -> int:
    """Count the points of a PCD file by its header and size. Raises UserError where they do not fit."""
    header = _read_header(path)
    if header.encoding == "binary":
        check_size(path, header.offset, header.points * header.dtype.itemsize)
    elif header.encoding == "binary_compressed":
        _sizes(path, header, read_start(path, header.offset + 8)[header.offset :])
    return header.points


def read_points(path: Path) -> Columns:
    """Read a PCD file. Raises UserError where it is damaged, or compressed and python-neo-lzf is missing."""
    header = _read_header(path)
    data = read_rest(path, header.offset)
    if header.encoding == "ascii":
        return from_text(path, data, header.dtype, header.points)
    if header.encoding == "binary_compressed":
        return _unpack(path, header, data)
    check_size(path, header.offset, header.points * header.dtype.itemsize)
    return from_records(np.frombuffer(data, header.dtype, count=header.points))


def _unpack(path: Path, header: _Header, data: bytes) -> Columns:
    """Decompress points that are stored field by field."""
    try:
        import lzf
    except ModuleNotFoundError:
        raise missing_package(f"{path}: a compressed PCD file", "python-neo-lzf", "formats") from None
    packed, size = _sizes(path, header, data)
    try:
        plain = lzf.decompress(data[8 : 8 + packed], size) if packed else b""
    except ValueError as error:
        raise damaged(path, error) from None
    if plain is None or len(plain) != size:
        raise damaged(path, "its compressed points cannot be unpacked")
    columns, start = {}, 0
    for name in header.dtype.names or ():
        of_field = header.dtype[name]
        if not of_field.shape:
            columns[name.lower()] = np.frombuffer(plain, of_field, count=header.points, offset=start)
        start += of_field.itemsize * header.points
    return columns


def _sizes(path: Path, header: _Header, data: bytes) -> tuple[int, int]:
    """Return the bytes of the compressed points and of the plain ones."""
    if len(data) < 8:
        raise damaged(path, "is cut short")
    packed, size = struct.unpack("<II", data[:8])
    if size != header.points * header.dtype.itemsize or size > min(_MAX_RATIO * packed, MAX_BYTES):
        raise damaged(path, f"{packed} compressed bytes claim {size}, expected {header.points} points")
    check_size(path, header.offset + 8, packed)
    return packed, size


def _read_header(path: Path) -> _Header:
    start = read_start(path, _HEADER_BYTES)
    entries: dict[str, list[str]] = {}
    offset = 0
    while "DATA" not in entries:
        end = start.find(b"\n", offset)
        if end < 0:
            raise damaged(path, "has no PCD header that ends in DATA")
        words = start[offset:end].decode("ascii", "replace").split()
        offset = end + 1
        if words and not words[0].startswith("#"):
            entries[words[0].upper()] = words[1:]
    try:
        size = int(entries["WIDTH"][0]) * int(entries["HEIGHT"][0])
        points = int(entries["POINTS"][0]) if "POINTS" in entries else size
        names = entries["FIELDS"]
        counts = [int(count) for count in entries.get("COUNT", ["1"] * len(names))]
        types = [_TYPES[t.upper()][int(s)] for t, s in zip(entries["TYPE"], entries["SIZE"], strict=True)]
        fields = list(zip(names, types, counts, strict=True))
        encoding = entries["DATA"][0].lower()
    except (KeyError, ValueError, IndexError) as error:
        raise damaged(path, f"its PCD header is incomplete ({type(error).__name__}: {error})") from None
    if encoding not in ("ascii", "binary", "binary_compressed") or min(counts, default=0) < 1:
        raise damaged(path, f"its points are '{encoding}', expected ascii, binary or binary_compressed")
    return _Header(check_points(path, points), record_dtype(path, fields), encoding, offset)
