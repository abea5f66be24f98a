"""A claim on a folder of a store without locks, made of files that are only created where none of the name exists.

The process that creates the first file of a claim holds it until it removes that file. If it dies, its successor
creates a second file, named after the token in the first; if that one dies, a third named after the token in the
second. Of many that try at once the store lets one create it, and no process removes a file of another: to remove a
dead owner's file and then create one's own would let a late process remove that of a living one.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.owner import CLAIM_FILE, Process, claimed_error, from_json, this_process, to_json
from iscc_lidar.shared.store.store import Store

BEAT_S: Final = 10.0
DEAD_AFTER_S: Final = 60.0
_AFTER: Final = ".after-"


@dataclass(frozen=True)
class _Claim:
    """The last file of a claim, its content, and the claim's files before it."""

    file: str
    content: bytes
    before: tuple[str, ...]

    @property
    def owner(self) -> Process | None:
        return from_json(self.content)[0]

    @property
    def token(self) -> str:
        """The owner's token; of a damaged file a digest."""
        written = from_json(self.content)[1]
        return str(written.get("token") or hashlib.sha256(self.content).hexdigest()[:32])


@contextmanager
def claim_files(store: Store, shared_as: str | None, activity: str) -> Iterator[Callable[[], None]]:
    """Hold a claim as ``Store.claim`` describes; ``activity`` completes "process N on H ..." in the error."""
    name = CLAIM_FILE if shared_as is None else f"{CLAIM_FILE}-{shared_as}"
    token = uuid.uuid4().hex
    own = _take(store, name, token, activity)
    stop = threading.Event()
    heartbeat = threading.Thread(target=_beat, args=(store, own, token, stop), daemon=True)
    try:
        for other in sorted({found.partition(_AFTER)[0] for found in store.names()}):
            # After one's own file is written: of two processes at least one sees the other.
            seen = _find(store, other) if _excludes(name, other) else None
            if seen is not None and _is_alive(store, seen):
                raise claimed_error(store.url, seen.owner, activity)
        heartbeat.start()
        yield lambda: _check_held(store, name, own, token)
    finally:
        stop.set()
        if heartbeat.ident is not None:
            heartbeat.join()
        _release(store, name, own, token)


def _take(store: Store, name: str, token: str, activity: str) -> str:
    """Create the file that gives this process the claim. Returns its name."""
    while True:
        seen = _find(store, name)
        if seen is not None and seen.token == token:  # created already, by a request whose answer was lost
            return seen.file
        if seen is not None and _is_alive(store, seen):
            raise claimed_error(store.url, seen.owner, activity)
        own = name if seen is None else f"{name}{_AFTER}{seen.token}"
        try:
            if not store.create(own, _content(token)):
                continue
        except BaseException:
            with suppress(UserError, OSError):  # it may have been created although the answer was lost
                _release(store, name, own, token)
            raise
        if _held(store, name, own, token) is not None:
            return own
        store.remove(own)  # its predecessor is gone: meanwhile another process had taken the claim over and released it


def _find(store: Store, name: str) -> _Claim | None:
    """Follow the files of a claim to its last; None if nobody holds it."""
    last: _Claim | None = None
    file = name
    while (content := _read(store, file)) is not None:
        last = _Claim(file, content, (*last.before, last.file) if last else ())
        file = f"{name}{_AFTER}{last.token}"
    return last


def _held(store: Store, name: str, own: str, token: str) -> _Claim | None:
    """Return the claim if this process holds it."""
    last = _find(store, name)
    return last if last is not None and last.file == own and last.token == token else None


def _check_held(store: Store, name: str, own: str, token: str) -> None:
    if _held(store, name, own, token) is None:
        raise UserError(
            f"{store.url}: this process sent no heartbeat for {DEAD_AFTER_S:.0f} s, and another took over its work; "
            "nothing is lost; run the same command again once that one is done"
        )


def _release(store: Store, name: str, own: str, token: str) -> None:
    """Remove the files of a claim, the first one first: from then on nobody holds it, whatever else is left."""
    last = _held(store, name, own, token)
    if last is not None:
        for file in (*last.before, last.file):
            store.remove(file)


def _beat(store: Store, file: str, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with suppress(UserError, OSError):  # a store that cannot be reached now may be at the next beat
            if _read(store, file) is not None:
                store.write(file, _content(token))


def _is_alive(store: Store, seen: _Claim) -> bool:
    """Return whether the owner of a claim runs: look it up on this host, elsewhere wait for a heartbeat."""
    if seen.owner is not None and seen.owner.is_local:
        return seen.owner.is_running
    until = time.monotonic() + DEAD_AFTER_S
    while time.monotonic() < until:
        time.sleep(BEAT_S / 2)
        if (now := _read(store, seen.file)) != seen.content:
            return now is not None
    return False


def _read(store: Store, name: str) -> bytes | None:
    try:
        return store.read(name)
    except FileNotFoundError:
        return None


def _content(token: str) -> bytes:
    return to_json(this_process(), token=token, beat=time.time_ns())


def _excludes(own: str, other: str) -> bool:
    """Return whether two claims exclude each other: the one without a name excludes all others."""
    return other != own and other.startswith(CLAIM_FILE) and CLAIM_FILE in (own, other)
