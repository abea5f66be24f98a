"""The operations that a cache needs of the folder that contains it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from iscc_lidar.shared.base.errors import UserError

if TYPE_CHECKING:
    import zarr


class LinkedError(UserError):
    """What would be written or removed is a link, or reached through one."""


class Store(Hashable, Protocol):
    """A folder whose files appear in one step, complete. Names are relative paths with forward slashes.

    Links in a local folder are followed for reading alone: writing and removing raise LinkedError.
    """

    @property
    def url(self) -> str:
        """Path or URL, as the user would write it."""

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    def read(self, name: str) -> bytes:
        """Read a file. Raises FileNotFoundError if it is missing."""

    def sha256(self, name: str) -> str:
        """Compute the digest of a file's content, hexadecimal. Raises FileNotFoundError if it is missing."""

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file in one step that survives a crash of the machine."""

    def create(self, name: str, content: bytes) -> bool:
        """Create a file with its content in one step. Returns False if a file of that name exists."""

    def new_folder(self, name: str, last: str) -> AbstractContextManager[Path]:
        """Yield an empty local folder. At the end its content is put at ``name``, the file ``last`` after all others.

        A previous folder is removed first. A folder without its last file is incomplete. After an error nothing is
        left.
        """

    def names(self) -> list[str]:
        """List the files and folders directly in it, sorted; none if it is missing."""

    def files(self, name: str) -> dict[str, int]:
        """Return the size in bytes of every file at any depth below a folder, by its path from there, sorted.

        It is -1 of what is not a file, such as a FIFO, a device, or a link to a folder.
        """

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with its content, if it exists."""

    def array(self, name: str) -> zarr.Array[Any]:
        """Open a Zarr array for reading."""

    def claim(self, shared_as: str | None = None) -> AbstractContextManager[Callable[[], None]]:
        """Claim the folder for this process alone, or as one of several with different names ``shared_as``.

        The claim ends with the context or the process. Yields a check to call before something is declared done: it
        raises UserError if the claim was lost, as that of a process that was stopped for minutes may be.

        Raises:
            ClaimedError: another process has a claim that excludes this one: one of the two is for one process alone,
                or both have the same name.
        """
