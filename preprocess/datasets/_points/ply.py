"""PLY files: the vertices of ascii and binary files of either byte order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from iscc_lidar.preprocess.datasets._points.columns import (
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

_HEADER_BYTES: Final = 65_536
_ORDERS: Final = {"ascii": "<", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES: Final = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2"},
    **{"ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}


@dataclass(frozen=True)
class _PlyHeader:
    """``skipped`` are the bytes or, in ascii, the lines between the header and the vertices."""

    points: int
    dtype: np.dtype[Any]
    ascii: bool
    offset: int
    skipped: int


def count_points(path: Path) -> int:
    """Count the vertices of a PLY file by its header and size. Raises UserError where they do not fit."""
    header = _read_header(path)
    if not header.ascii:
        check_size(path, header.offset + header.skipped, header.points * header.dtype.itemsize)
    return header.points


def read_points(path: Path) -> Columns:
    """Read the vertices of a PLY file. Raises UserError where it is damaged."""
    count_points(path)
    header = _read_header(path)
    if not header.ascii:
        data = read_rest(path, header.offset + header.skipped)
        return from_records(np.frombuffer(data, header.dtype, count=header.points))
    lines = read_rest(path, header.offset).split(b"\n", header.skipped + header.points)
    return from_text(
        path, b"\n".join(lines[header.skipped : header.skipped + header.points]), header.dtype, header.points
    )


def _read_header(path: Path) -> _PlyHeader:
    start = read_start(path, _HEADER_BYTES)
    end = start.find(b"end_header")
    offset = start.find(b"\n", end) + 1
    if not start.startswith(b"ply") or end < 0 or offset == 0:
        raise damaged(path, "has no PLY header")
    lines = [line.split() for line in start[:end].decode("ascii", "replace").splitlines()[1:] if line.split()]
    try:
        order = _ORDERS[next(words[1] for words in lines if words[0] == "format")]
        elements = _elements(lines, order)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise damaged(path, f"its PLY header is incomplete ({type(error).__name__}: {error})") from None
    is_ascii, skipped = ["format", "ascii"] in [words[:2] for words in lines], 0
    for name, count, fields in elements:
        listed = any(kind == "list" for _, kind, _ in fields)
        if name == "vertex" and not listed:
            return _PlyHeader(check_points(path, count), record_dtype(path, fields), is_ascii, offset, skipped)
        if name == "vertex" or (listed and not is_ascii):
            raise damaged(path, f"element {name} has lists, expected vertices of plain numbers, before other elements")
        skipped += check_points(path, count) * (1 if is_ascii else record_dtype(path, fields).itemsize)
    raise damaged(path, "has no element vertex")


def _elements(lines: list[list[str]], order: str) -> list[tuple[str, int, list[tuple[str, str, int]]]]:
    """Return name, count and fields of the elements in a header, in order; the type of lists is "list"."""
    elements: list[tuple[str, int, list[tuple[str, str, int]]]] = []
    for words in lines:
        if words[0] == "element":
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property":
            kind = "list" if words[1] == "list" else order + _TYPES[words[1]]
            elements[-1][2].append((words[-1], kind, 1))
    return elements
