"""NCore V4 component stores: groups and arrays of Zarr v2 in a tar file with an index at its end (``.zarr.itar``).

Files of the store follow each other in the tar file, which ends as any other. Then come the index, an xz-compressed
CBOR map of the columns items, offset_datas and sizes, and a last block of 512 bytes that begins with ``itar``, the type
of the index (1), its offset and size. The file ``.zmetadata.cbor.xz`` repeats all groups' and arrays' metadata, as
readers get it in one piece. Each array is one chunk.
"""

from __future__ import annotations

import json
import lzma
import struct
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
from numcodecs import Blosc, blosc
from numpy.typing import NDArray

_CODEC: Final = Blosc(cname="lz4", clevel=5, shuffle=Blosc.BITSHUFFLE)
_BLOCK: Final = tarfile.BLOCKSIZE
_INDEX_END: Final = "<4sIQI"
_CBOR_XZ: Final = 1
_PRESET: Final = 1
"""Of xz: 9 MB of memory instead of 94."""


class EncodedList:
    """A long list of JSON values, kept as the text and the CBOR that it becomes: a third of the memory of objects."""

    def __init__(self) -> None:
        self.count = 0
        self._json = bytearray()
        self._cbor = bytearray()

    def extend(self, values: Iterable[Any]) -> None:
        """Add values."""
        for value in values:
            self._json += b"," * bool(self.count) + _json(value)
            self._cbor += b"".join(_cbor(value))
            self.count += 1

    def json(self) -> Iterator[bytes | bytearray]:
        """Return the list as JSON, in pieces."""
        yield from (b"[", self._json, b"]")

    def cbor(self) -> Iterator[bytes | bytearray]:
        """Return the list as CBOR, in pieces."""
        yield from (_head(4, self.count), self._cbor)


class StoreWriter:
    """Writes a store to a file, one group and array after the other; ``finish`` ends it."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin at the start of an empty file."""
        self._file = file
        self._items: list[tuple[str, int, int]] = []
        self._metadata: list[tuple[str, list[bytes | bytearray]]] = []

    def group(self, path: str, attributes: dict[str, Any] | None = None) -> None:
        """Write a group, "" being the outermost. Attributes are JSON; a value may be an EncodedList."""
        inside = f"{path}/" if path else ""
        self._document(f"{inside}.zgroup", {"zarr_format": 2})
        if attributes is not None:
            self._document(f"{inside}.zattrs", attributes)

    def array(self, path: str, values: NDArray[Any]) -> None:
        """Write an array of at least one axis."""
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        description = {
            "chunks": [max(1, size) for size in little.shape],
            "compressor": _CODEC.get_config(),
            "dtype": little.dtype.str,
            "fill_value": 0,
            "filters": None,
            "order": "C",
            "shape": list(little.shape),
            "zarr_format": 2,
        }
        self._document(f"{path}/.zarray", description)
        if little.size:
            self._add(f"{path}/{'.'.join('0' * little.ndim)}", [_compressed(little)])

    def finish(self) -> None:
        """Write the repeated metadata, the end of the tar file and the index."""
        pieces = [_head(5, 2), *_cbor("zarr_consolidated_format"), *_cbor(1), *_cbor("metadata")]
        entries = (piece for name, content in self._metadata for piece in (*_cbor(name), *content))
        self._add(".zmetadata.cbor.xz", [_xz([*pieces, _head(5, len(self._metadata)), *entries])])
        self._file.write(bytes(2 * _BLOCK))
        self._pad(tarfile.RECORDSIZE)
        offset = self._file.tell()
        columns = [list(column) for column in zip(*self._items, strict=True)]
        index = _xz(_cbor(dict(zip(("items", "offset_datas", "sizes"), columns, strict=True))))
        self._file.write(index)
        self._pad(_BLOCK)
        self._file.write(struct.pack(_INDEX_END, b"itar", _CBOR_XZ, offset, len(index)))
        self._pad(_BLOCK)

    def _document(self, name: str, content: dict[str, Any]) -> None:
        pieces: list[bytes | bytearray] = [b"{"]
        for number, (key, value) in enumerate(content.items()):
            pieces += [b"," * bool(number), _json(key), b":"]
            pieces += value.json() if isinstance(value, EncodedList) else [_json(value)]
        self._add(name, [*pieces, b"}"])
        self._metadata.append((name, list(_cbor(content))))

    def _add(self, name: str, pieces: Sequence[bytes | bytearray]) -> None:
        entry = tarfile.TarInfo(name)  # of time 0 and nobody, so that the same store is the same bytes
        entry.size = sum(map(len, pieces))
        self._file.write(entry.tobuf(tarfile.PAX_FORMAT))
        self._items.append((name, self._file.tell(), entry.size))
        self._file.writelines(pieces)
        self._pad(_BLOCK)

    def _pad(self, block: int) -> None:
        self._file.write(bytes(-self._file.tell() % block))


def _compressed(values: NDArray[Any]) -> bytes:
    """Compress in one thread: several write their blocks in the order in which they get ready."""
    before = blosc.set_nthreads(1)
    try:
        return bytes(_CODEC.encode(values))
    finally:
        blosc.set_nthreads(before)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _xz(pieces: Iterable[bytes | bytearray]) -> bytes:
    compressor = lzma.LZMACompressor(preset=_PRESET)
    return b"".join([*(compressor.compress(piece) for piece in pieces), compressor.flush()])


def _cbor(value: Any) -> Iterator[bytes | bytearray]:
    """Encode a JSON value, or an EncodedList within, as CBOR (RFC 8949)."""
    if isinstance(value, EncodedList):
        yield from value.cbor()
    elif value is None or isinstance(value, bool):
        yield {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    elif isinstance(value, int):
        yield _head(0, value) if value >= 0 else _head(1, -1 - value)
    elif isinstance(value, float):
        yield struct.pack(">Bd", 0xFB, value)
    elif isinstance(value, str):
        text = value.encode()
        yield _head(3, len(text)) + text
    elif isinstance(value, list):
        yield _head(4, len(value))
        for each in value:
            yield from _cbor(each)
    elif isinstance(value, dict):
        yield _head(5, len(value))
        for key, each in value.items():
            yield from _cbor(key)
            yield from _cbor(each)
    else:
        raise TypeError(f"{type(value).__name__} is no JSON value")


def _head(major: int, count: int) -> bytes:
    """Encode a type with a number below 2**64 in as few bytes as it needs."""
    if count < 24:
        return bytes([major << 5 | count])
    width = next(width for width in range(4) if count < 1 << (8 << width))
    return bytes([major << 5 | 24 + width]) + count.to_bytes(1 << width, "big")
