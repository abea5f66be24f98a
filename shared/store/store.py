"""What a cache needs of the place where it lies, and how such a place is opened."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from iscc_lidar.shared.base.errors import UserError

if TYPE_CHECKING:
    import zarr

CLAIM_FILE: Final = ".owner"
"""Who works there alone; with ``-NAME`` after it, who does as one of several."""


class ClaimedError(UserError):
    """Another process works there. The message says who."""


def owner() -> dict[str, Any]:
    """What a claim says of this process."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def claimed(url: str, said: Mapping[str, Any]) -> ClaimedError:
    """The error for a claim that says this; nothing where it cannot be read."""
    who = f"process {said['pid']} on {said['host']}" if said else "another process"
    return ClaimedError(f"{url}: {who} works on it; wait for its end, or stop it")


class Store(Hashable, Protocol):
    """A folder whose files appear at once and whole. Names are relative paths with forward slashes."""

    @property
    def url(self) -> str:
        """Where it is, as the user would write it."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError where there is none."""

    def sha256(self, name: str) -> str:
        """Digest of a file's content, hexadecimal. Raises FileNotFoundError where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, or replace it, in one step that survives a crash of the machine."""

    def new_folder(self, name: str, last: str) -> AbstractContextManager[Path]:
        """Yield an empty folder on this machine. At the end what is in it is put at ``name``, its file ``last`` last.

        What was there is removed before. A folder without its last file is none. On an error nothing is left.
        """

    def names(self) -> list[str]:
        """Names of what lies directly in it, sorted; none where it is missing."""

    def files(self, name: str) -> dict[str, int]:
        """Bytes of every file anywhere below a folder, by name from there; none where it is missing."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing where there is neither."""

    def array(self, name: str) -> zarr.Array[Any]:
        """Open a Zarr array for reading."""

    def claim(self, shared_as: str | None = None) -> AbstractContextManager[Callable[[], None]]:
        """Work here alone, or as one of several that each have a name; until the context ends or the process dies.

        Yields what to call before something is declared done: it raises UserError if the claim was lost meanwhile, as
        that of a process that was stopped for minutes may be.

        Raises:
            ClaimedError: somebody works here alone; or anybody works here, and it is claimed for one alone; or
                somebody has the same name.
        """


def open_store(where: Path | str) -> Store:
    """Open a folder by its path or by a URL that fsspec knows. It need not exist.

    Raises:
        UserError: a URL of a kind that is not known, or whose package is not installed.
    """
    from iscc_lidar.shared.store.local import LocalStore

    text = str(where)
    if "://" not in text:
        return LocalStore(Path(text))
    if text.startswith("file://"):
        return LocalStore(Path(text.removeprefix("file://")))
    from iscc_lidar.shared.store.remote import RemoteStore

    return RemoteStore(text.rstrip("/"))
