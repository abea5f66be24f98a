"""Results of the steps before the last, as files: arrays in an .npz behind their own SHA-256 and the step's key."""

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
    """Write named arrays, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    content = bytes.fromhex(key) + buffer.getvalue()
    store.write(name, hashlib.sha256(content).digest() + content)


def holds_step(store: Store, name: str, key: str) -> bool:
    """Whether a file of this name is there, whole, and of the step with this key."""
    return _content(store, name, key) is not None


def read_step(store: Store, name: str, key: str) -> np.lib.npyio.NpzFile:
    """Open the arrays of a step that was done just before; each is read when it is asked for.

    Raises:
        UserError: it is no longer there.
    """
    content = _content(store, name, key)
    if content is None:
        raise UserError(f"{store.url}/{name}: was there and is gone or damaged; run the same command again")
    found: np.lib.npyio.NpzFile = np.load(io.BytesIO(content), allow_pickle=False)
    return found


def _content(store: Store, name: str, key: str) -> bytes | None:
    try:
        whole = store.read(name)
    except FileNotFoundError:
        return None
    digest, content = whole[:_DIGEST], whole[_DIGEST:]
    head = bytes.fromhex(key)
    if hashlib.sha256(content).digest() != digest or not content.startswith(head):
        return None
    return content[len(head) :]
