"""Intermediate files: the arrays of one stage as .npz, after a SHA-256 of the content and the stage's key."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.store import Store

_DIGEST: Final = hashlib.sha256().digest_size


def write_step(store: Store, name: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    content = bytes.fromhex(key) + buffer.getvalue()
    store.write(name, hashlib.sha256(content).digest() + content)


def has_step(store: Store, name: str, key: str) -> bool:
    """Return whether there is an undamaged file of this name and key."""
    return _content(store, name, key) is not None


def read_step(store: Store, name: str, key: str) -> np.lib.npyio.NpzFile:
    """Open the arrays that an earlier task wrote; each is decompressed when accessed.

    Raises UserError where the file is no longer there, or damaged.
    """
    content = _content(store, name, key)
    if content is None:
        raise UserError(f"{store.url}/{name}: removed or damaged during the run; run the same command again")
    arrays: np.lib.npyio.NpzFile = np.load(io.BytesIO(content), allow_pickle=False)
    return arrays


def _content(store: Store, name: str, key: str) -> bytes | None:
    try:
        data = store.read(name)
    except FileNotFoundError:
        return None
    digest, content, header = data[:_DIGEST], data[_DIGEST:], bytes.fromhex(key)
    if hashlib.sha256(content).digest() != digest or not content.startswith(header):
        return None
    return content[len(header) :]
