"""Open a store, and claim a local folder that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from iscc_lidar.shared.store.claims import claim_files
from iscc_lidar.shared.store.local import LocalStore


@contextmanager
def claim_folder(path: Path, activity: str = "writes there") -> Iterator[Callable[[], None]]:
    """Claim a local or network folder for this process, by a file ``.owner`` in it that is removed at the end.

    A claim whose owner has died is taken over: at once if it ran on this host, after DEAD_AFTER_S seconds without a
    heartbeat if elsewhere. Until then a process that tries to claim it waits.

    Args:
        path: the folder; created if missing.
        activity: what the owner does there, in the error: "process 12 on host ACTIVITY; wait for its end, or stop it".

    Yields:
        a check to call before something is declared done: it raises UserError if the claim was lost, as that of a
        process that stood still for minutes may be.

    Raises:
        ClaimedError: another process holds the claim, also one on the same host.

    """
    with claim_files(LocalStore(path, aside="."), None, activity) as check_still_held:
        yield check_still_held
