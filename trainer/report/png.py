"""PNG by the standard library, so that the trainer needs no drawing package (W3C PNG, third edition)."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

_INDEXED: Final = 3
_TRUE_COLOR: Final = 2


def encode(image: NDArray[np.uint8]) -> bytes:
    """Write an RGB image [height, width, 3] as a PNG file: indexed, a third of the size, up to 256 colours."""
    height, width, _ = image.shape
    packed = image.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colors, index = np.unique(packed, return_inverse=True)
    few = len(colors) <= 256
    rows = index.reshape(height, width).astype(np.uint8) if few else image.reshape(height, width * 3)
    lines = np.pad(rows, ((0, 0), (1, 0)))  # each line begins with its filter type, 0: none
    palette = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1).astype(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 8, _INDEXED if few else _TRUE_COLOR, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header)]
    if few:
        chunks.append(_chunk(b"PLTE", palette.tobytes()))
    chunks += [_chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_uri(image: NDArray[np.uint8]) -> str:
    """The same as a data URI, for the src of an img."""
    return "data:image/png;base64," + base64.b64encode(encode(image)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
