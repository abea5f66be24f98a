"""Files that are either whole or not there: written aside, flushed to disk, then renamed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TORN: Final = re.compile(r"\..+\.\d+\.tmp")


def write_text(path: Path, text: str) -> None:
    """Replace a file's content in one step; parents are made."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content in one step; parents are made."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def remove_torn(folder: Path) -> None:
    """Remove what killed processes had begun to write in a folder that no living one writes to."""
    for path in folder.iterdir() if folder.exists() else ():
        if is_torn(path):
            path.unlink()


def is_torn(path: Path) -> bool:
    """Whether a file is one that write_bytes had begun and not renamed."""
    return _TORN.fullmatch(path.name) is not None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError say which file could not be written; that of a full disk does not by itself."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as a compressed .npz in one step; read it with ``numpy.load(allow_pickle=False)``."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder aside; on success all in it is flushed and it takes the place of ``path``.

    A folder that stood at ``path`` is removed just before. On an error nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        _sync_tree(aside)
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync_folder(path.parent)


def sha256(path: Path) -> str:
    """Digest of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(root))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
