"""Atomic writes of files and folders: written aside, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.errors import UserError

_TORN: Final = re.compile(r"\..+\.\d+\.tmp")
_TEXT_LIMIT: Final = 2**28
"""Bytes of a JSON or text file: more than any that this program reads, and little memory."""


def write_text(path: Path, text: str) -> None:
    """Write or replace a file in one step; missing parent folders are created."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes, aside: Path | None = None) -> None:
    """Write or replace a file in one step, from a temporary file ``aside``, by default next to it."""
    with new_file(path, aside) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, aside: Path | None = None) -> Iterator[BufferedRandom]:
    """Yield an empty temporary file, by default next to ``path``; flush it and move it to ``path`` at the end.

    For what is too large for one ``write_bytes``. After an error nothing is left behind.
    """
    aside = aside or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        make_folder(path.parent)
        make_folder(aside.parent)
        try:
            remove(aside)  # never written through a link that lies there
            with aside.open("x+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove whatever is there, if anything: a link itself, and a folder with all that it contains."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_torn(folder: Path) -> None:
    """Remove the temporary files and folders of killed processes in a folder that no running process writes to."""
    for path in folder.iterdir() if folder.exists() else ():
        if is_torn(path):
            remove(path)


def is_torn(path: Path) -> bool:
    """Return whether a name is a temporary one of write_bytes or new_folder."""
    return _TORN.fullmatch(path.name) is not None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file to an OSError that does not name it, as that of a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def new_folder(path: Path, aside: Path | None = None) -> Iterator[Path]:
    """Yield an empty temporary folder, by default next to ``path``; flush it and move it to ``path`` at the end.

    A previous folder is removed just before. After an error nothing is left behind.
    """
    aside = aside or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        make_folder(path.parent)
        make_folder(aside.parent)
        if path.is_symlink():
            raise OSError(errno.EEXIST, "is a link, which is neither followed nor replaced")
        remove(aside)
        aside.mkdir()  # an error where a link has been put meanwhile
        try:
            yield aside
            _sync_tree(aside)
            if path.is_dir():
                shutil.rmtree(path)
            aside.rename(path)
        except BaseException:
            with suppress(OSError):  # which is not the cause
                remove(aside)
            raise
        _sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents so that they survive a crash of the machine."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        _sync_folder(folder.parent)


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading. Raises OSError at once where it is a folder, a FIFO, a socket or a device."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a file, but a FIFO, socket or device", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes. Raises OSError for a larger one, and as open_regular."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes, which no such file is", str(path))
        return file.read(limit)


def read_text(path: Path, what: str = "a text file") -> str:
    r"""Read a text in UTF-8, without its byte order mark; every line ends with "\n". ``what`` it should be.

    Raises UserError where it is no file, too large or not UTF-8, and FileNotFoundError where it is missing.
    """
    try:
        text = read_bytes(path, _TEXT_LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not {what}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: not {what}: {error.strerror}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text as ``read_text`` does, without blank lines at its end."""
    lines = read_text(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def regular(path: Path) -> Path:
    """Return the path of a file to read. Raises UserError for a folder, pipe or device; reading one could hang."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path}: a folder, pipe or device, where a file is expected; remove it")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises UserError if it is missing or malformed."""
    try:
        content = json.loads(read_text(path, "readable JSON"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object")
    return content


def sha256(path: Path) -> str:
    """Compute the SHA-256 digest of a file's content, hexadecimal. Raises OSError as open_regular."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version(path: Path) -> tuple[int, int, int, int]:
    """Return what differs after a file, or the list of files in a folder, was changed or replaced. Raises OSError."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


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
