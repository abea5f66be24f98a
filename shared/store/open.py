"""Open the folder of a cache, wherever it is; claim a local folder for one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.store.claims import claim_files
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.owner import CLAIM_FILE
from iscc_lidar.shared.store.store import LinkedError, Store

PROTOCOLS: Final = ("s3", "gs", "gcs", "az", "abfs", "abfss")
"""Object stores: what their packages fetch is data alone. Other fsspec protocols may run code, or read anything."""


def open_store(where: Path | str) -> Store:
    """Open a folder by its path, or an object store's by a URL of PROTOCOLS. It need not exist.

    Raises UserError for another URL, also one of several that are chained by ``::``.
    """
    text = str(where)
    if text.startswith("file://"):
        return LocalStore(Path(text.removeprefix("file://")))
    if "://" not in text:
        return LocalStore(Path(text))
    if text.partition("://")[0] not in PROTOCOLS or "::" in text or one_line(text) != text:
        known = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise UserError(f"{one_line(text)}: not a URL of an object store; expected one of {known}, or a path")
    from iscc_lidar.shared.store.remote import RemoteStore

    return RemoteStore(text.rstrip("/"))


def claim_folder(path: Path, activity: str = "writes there") -> AbstractContextManager[Callable[[], None]]:
    """Claim a local or network folder for this process, by a file ``.owner`` in it that is removed at the end.

    A claim whose owner has died is taken over: at once if it ran on this host, after a minute without a heartbeat
    (claims.DEAD_AFTER_S) if elsewhere; the caller waits until then. The context yields a check to call before something
    is declared done: it raises UserError if the claim was lost, as that of a process stopped for minutes may be.

    Args:
        path: the folder; created if missing.
        activity: what the owner does there, in the error: "process 12 on host ACTIVITY; wait for its end, or stop it".

    Raises:
        ClaimedError: when the context is entered and another process holds the claim, also one on the same host.
    """
    path.mkdir(parents=True, exist_ok=True)
    if (path / CLAIM_FILE).is_symlink():
        raise LinkedError(f"{path / CLAIM_FILE}: is a link, but the place of this program's claim; remove it")
    return claim_files(LocalStore(path, aside="."), None, activity)
