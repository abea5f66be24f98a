"""A folder on a local or network file system: files are written aside, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.owner import CLAIM_FILE, Process, claimed_error, from_json, this_process, to_json

if TYPE_CHECKING:
    import zarr

ASIDE_FOLDER: Final = ".aside"
"""Holds files while they are written. Readers ignore it."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class LocalStore:
    """See ``Store``. Files are written in ``aside`` below ``root``, then moved to their place."""

    root: Path
    aside: str = ASIDE_FOLDER

    @property
    def url(self) -> str:
        """Path of the folder."""
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

    def create(self, name: str, content: bytes) -> bool:
        """See ``Store``."""
        aside = self._aside()
        with files.naming(self.root / name):
            files.write_bytes(aside, content, aside)
        try:
            os.link(aside, self.root / name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._create_in_place(name, content)
        finally:
            aside.unlink()
        return True

    @contextmanager
    def new_folder(self, name: str, last: str) -> Iterator[Path]:
        """See ``Store``. One rename moves all files to their place, including ``last``."""
        with files.new_folder(self.root / name, self._aside()) as folder:
            yield folder

    def names(self) -> list[str]:
        """See ``Store``."""
        return sorted(os.listdir(self.root)) if self.root.is_dir() else []

    def files(self, name: str) -> dict[str, int]:
        """See ``Store``."""
        folder = os.path.join(self.root, name)
        found: dict[str, int] = {}
        for above, _, names in os.walk(folder):  # strings: a cache has thousands of files
            for path in (os.path.join(above, entry) for entry in names):
                if os.path.isfile(path):
                    found[os.path.relpath(path, folder).replace(os.sep, "/")] = os.path.getsize(path)
        return dict(sorted(found.items(), key=lambda item: item[0].split("/")))

    def remove(self, name: str) -> None:
        """See ``Store``. A folder is first moved aside, so that it disappears in one step."""
        path = self.root / name
        if path.is_dir():
            aside = self._aside()
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(aside)
            shutil.rmtree(aside)
        else:
            path.unlink(missing_ok=True)

    def array(self, name: str) -> zarr.Array[Any]:
        """See ``Store``."""
        import zarr

        return zarr.open_array(self.root / name, mode="r")

    @contextmanager
    def claim(self, shared_as: str | None = None) -> Iterator[Callable[[], None]]:
        """See ``Store``. Locks a file; the system releases the lock when its holder dies."""
        with ExitStack() as stack:
            self.root.mkdir(parents=True, exist_ok=True)
            all_owners = stack.enter_context((self.root / CLAIM_FILE).open("ab"))
            self._lock(all_owners, fcntl.LOCK_EX if shared_as is None else fcntl.LOCK_SH)
            own = all_owners
            if shared_as is not None:
                own = stack.enter_context((self.root / f"{CLAIM_FILE}-{shared_as}").open("ab"))
                self._lock(own, fcntl.LOCK_EX)
            own.truncate(0)
            own.write(to_json(this_process()))
            own.flush()
            if shared_as is None:
                shutil.rmtree(self.root / ASIDE_FOLDER, ignore_errors=True)  # left by dead processes
            yield lambda: None  # a process keeps its lock as long as it lives

    def _create_in_place(self, name: str, content: bytes) -> bool:
        """See ``create``, for a file system without hard links: for an instant the file is empty."""
        try:
            with (self.root / name).open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True

    def _lock(self, file: IO[bytes], mode: int) -> None:
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise UserError(f"{file.name}: the file system does not support locks ({error.strerror})") from None
            raise claimed_error(self.url, self._living_owner(), "works on it") from None

    def _living_owner(self) -> Process | None:
        for path in sorted(self.root.glob(f"{CLAIM_FILE}*")):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:  # its writer is alive
                    return from_json(file.read())[0]
        return None

    def _aside(self) -> Path:
        return self.root / self.aside / f".aside.{uuid.uuid4().int}.tmp"  # a name that files.remove_torn knows
