"""Open the folder of a cache, wherever it is; claim a local folder for one process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from iscc_lidar.shared.store.claims import claim_files
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.store import Store


def open_store(where: Path | str) -> Store:
    """Open a folder by its path or by a URL that fsspec knows. It need not exist.

    Raises UserError if the URL's protocol is unknown, or the package for it is not installed.
    """
    text = str(where)
    if "://" not in text or text.startswith("file://"):
        return LocalStore(Path(text.removeprefix("file://")))
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
    return claim_files(LocalStore(path, aside="."), None, activity)
