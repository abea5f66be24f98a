"""A folder on this machine or on a network file system: files are written aside, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.store import CLAIM_FILE, claimed, owner

if TYPE_CHECKING:
    import zarr

ASIDE_FOLDER = ".aside"
"""Where what is being written lies. No name in it means anything to a reader."""


@dataclass(frozen=True)
class LocalStore:
    """See ``Store``."""

    root: Path

    @property
    def url(self) -> str:
        """Its path."""
        return str(self.root)

    def exists(self, name: str) -> bool:
        """See ``Store``."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes:
        """See ``Store``."""
        return (self.root / name).read_bytes()

    def sha256(self, name: str) -> str:
        """See ``Store``."""
        return files.sha256(self.root / name)

    def write(self, name: str, content: bytes) -> None:
        """See ``Store``."""
        files.write_bytes(self.root / name, content, self._aside())

    @contextmanager
    def new_folder(self, name: str, last: str) -> Iterator[Path]:
        """See ``Store``. A rename puts all of it there at once, ``last`` with it."""
        with files.new_folder(self.root / name, self._aside()) as folder:
            yield folder

    def names(self) -> list[str]:
        """See ``Store``."""
        return sorted(os.listdir(self.root)) if self.root.is_dir() else []

    def files(self, name: str) -> dict[str, int]:
        """See ``Store``."""
        folder = self.root / name
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    def remove(self, name: str) -> None:
        """See ``Store``. A folder is moved aside first: it goes in one step."""
        path = self.root / name
        if path.is_dir():
            gone = self._aside()
            gone.parent.mkdir(parents=True, exist_ok=True)
            path.rename(gone)
            shutil.rmtree(gone)
        else:
            path.unlink(missing_ok=True)

    def array(self, name: str) -> zarr.Array[Any]:
        """See ``Store``."""
        import zarr  # here, as commands that read no array start faster without it

        return zarr.open_array(self.root / name, mode="r")

    @contextmanager
    def claim(self, shared_as: str | None = None) -> Iterator[Callable[[], None]]:
        """See ``Store``. By a lock on a file, which the system lets go when its holder dies."""
        with ExitStack() as held:
            self.root.mkdir(parents=True, exist_ok=True)
            everybody = held.enter_context((self.root / CLAIM_FILE).open("a+", encoding="utf-8"))
            self._lock(everybody, fcntl.LOCK_EX if shared_as is None else fcntl.LOCK_SH)
            mine = everybody
            if shared_as is not None:
                mine = held.enter_context((self.root / f"{CLAIM_FILE}-{shared_as}").open("a+", encoding="utf-8"))
                self._lock(mine, fcntl.LOCK_EX)
            mine.truncate(0)
            mine.write(json.dumps(owner()))
            mine.flush()
            if shared_as is None:
                shutil.rmtree(self.root / ASIDE_FOLDER, ignore_errors=True)  # of dead processes: nobody else is here
            yield lambda: None  # a lock is held as long as its process lives

    def _lock(self, file: IO[str], how: int) -> None:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise UserError(f"{file.name}: this file system has no locks ({error.strerror})") from None
            raise claimed(self.url, self._living_owner()) from None

    def _living_owner(self) -> dict[str, Any]:
        for path in sorted(self.root.glob(f"{CLAIM_FILE}*")):
            with path.open(encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:  # whoever wrote it lives
                    said: dict[str, Any] = json.loads(file.read() or "{}")
                    return said
        return {}

    def _aside(self) -> Path:
        return self.root / ASIDE_FOLDER / uuid.uuid4().hex
