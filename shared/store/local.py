"""A folder on a local or network file system: files are written aside, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.owner import CLAIM_FILE, Process, claimed_error, from_json, this_process, to_json
from iscc_lidar.shared.store.store import LinkedError

if TYPE_CHECKING:
    import zarr

ASIDE_FOLDER: Final = ".aside"
"""Holds files while they are written. Readers ignore it."""
_CLAIM_START: Final = b'{"host"'
_READ_LIMIT: Final = 2**30
"""Bytes. Arrays, which may be larger, are not read as one file."""
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
        """See ``Store``. Raises OSError for a FIFO, a device, and more than a cache's files can have."""
        return files.read_bytes(self.root / name, _READ_LIMIT)

    def sha256(self, name: str) -> str:
        """See ``Store``."""
        return files.sha256(self.root / name)

    def write(self, name: str, content: bytes) -> None:
        """See ``Store``."""
        files.write_bytes(self._place(name), content, self._aside())

    def create(self, name: str, content: bytes) -> bool:
        """See ``Store``."""
        aside = self._aside()
        try:
            with files.naming(self.root / name):
                files.write_bytes(aside, content, aside)
            return self._link(aside, name, content)
        finally:
            with suppress(OSError):  # what failed before is the cause
                aside.unlink()

    def _link(self, aside: Path, name: str, content: bytes) -> bool:
        try:
            with files.naming(self.root / name):
                os.link(aside, self._place(name))
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._create_in_place(name, content)
        return True

    @contextmanager
    def new_folder(self, name: str, last: str) -> Iterator[Path]:
        """See ``Store``. One rename moves all files to their place, including ``last``."""
        with files.new_folder(self._place(name), self._aside()) as folder:
            yield folder

    def names(self) -> list[str]:
        """See ``Store``."""
        return sorted(os.listdir(self.root)) if self.root.is_dir() else []

    def files(self, name: str) -> dict[str, int]:
        """See ``Store``. Links are listed, but not followed into folders."""
        found: dict[str, int] = {}
        folder = self.root / name
        if self._link_to(name) is not None:
            return found
        for above, folders, names in os.walk(folder):
            for entry in (*names, *(inner for inner in folders if (Path(above) / inner).is_symlink())):
                path = Path(above) / entry
                found[path.relative_to(folder).as_posix()] = _size(path)
        return dict(sorted(found.items()))

    def remove(self, name: str) -> None:
        """See ``Store``. A folder is first moved aside, so that it disappears in one step."""
        path = self._place(name)
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
            all_owners = stack.enter_context(self._open_claim(CLAIM_FILE))
            self._lock(all_owners, fcntl.LOCK_EX if shared_as is None else fcntl.LOCK_SH)
            own = all_owners
            if shared_as is not None:
                own = stack.enter_context(self._open_claim(f"{CLAIM_FILE}-{shared_as}"))
                self._lock(own, fcntl.LOCK_EX)
            own.truncate(0)
            own.write(to_json(this_process()))
            own.flush()
            if shared_as is None:
                self._remove_left_aside()
            yield lambda: None  # a process keeps its lock as long as it lives

    def _create_in_place(self, name: str, content: bytes) -> bool:
        """See ``create``, for a file system without hard links: for an instant the file is empty."""
        try:
            with (self.root / name).open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True

    def _open_claim(self, name: str) -> IO[bytes]:
        """Open or create the file of a claim. Raises UserError for a link, and a file that is no claim."""
        path = self.root / name
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR):
                raise
            raise _no_claim(path) from None
        file = os.fdopen(handle, "r+b")
        start = file.read(len(_CLAIM_START)) if stat.S_ISREG(os.fstat(handle).st_mode) else b"?"
        if start and start != _CLAIM_START:
            file.close()
            raise _no_claim(path)
        return file

    def _remove_left_aside(self) -> None:
        """Remove the temporary files of dead processes."""
        aside = self.root / ASIDE_FOLDER
        for path in () if aside.is_symlink() or not aside.is_dir() else aside.iterdir():
            if files.is_torn(path):
                with suppress(OSError):  # somebody else's
                    files.remove(path)
        with suppress(OSError):  # missing, or something else is there
            aside.rmdir()

    def _place(self, name: str) -> Path:
        """Return the path of what is to be written or removed. Raises LinkedError for a link, and below one."""
        link = self._link_to(name)
        if link is not None:
            raise LinkedError(f"{link}: is a link, which is neither followed nor replaced; put what it names there")
        return self.root / name

    def _link_to(self, name: str) -> Path | None:
        parts = [self.root / part for part in (Path(name), *Path(name).parents) if part.parts]
        return next((path for path in reversed(parts) if path.is_symlink()), None)

    def _lock(self, file: IO[bytes], mode: int) -> None:
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise UserError(f"{file.name}: the file system does not support locks ({error.strerror})") from None
            raise claimed_error(self.url, self._living_owner(), "works on it") from None

    def _living_owner(self) -> Process | None:
        for path in sorted(self.root.glob(f"{CLAIM_FILE}*")):
            with files.open_regular(path) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:  # its writer is alive
                    return from_json(file.read())[0]
        return None

    def _aside(self) -> Path:
        return self._place(f"{self.aside}/.aside.{uuid.uuid4().int}.tmp")  # a name that files.remove_torn knows


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError:  # removed meanwhile, or a link to nothing
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _no_claim(path: Path) -> UserError:
    return UserError(f"{path}: is no claim of this program, whose place it takes; move it away")
