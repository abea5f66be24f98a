"""A claim on a folder of an object store, where nothing can be locked, by files created only where there are none.

Whoever creates the first file of a claim has it, until he removes it. One that a dead owner left is taken over by
creating a second file, named after the token in the first; one that died in turn by a third, named after the token in
the second. Of many that try at once the store lets one create it, and nobody ever removes a file of somebody else's:
to remove a dead one's file and create one's own would let a late one remove a living one's.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.store import CLAIM_FILE, ClaimedError, claimed, owner

BEAT_S: Final = 10.0
DEAD_AFTER_S: Final = 60.0
_AFTER: Final = ".after-"


class Files(Protocol):
    """What a claim needs of a store; see ``Store``."""

    @property
    def url(self) -> str: ...  # noqa: D102

    def read(self, name: str) -> bytes: ...  # noqa: D102

    def write(self, name: str, content: bytes) -> None: ...  # noqa: D102

    def create(self, name: str, content: bytes) -> bool:
        """Put a file there if there is none of its name; whether it did so."""

    def names(self) -> list[str]: ...  # noqa: D102

    def remove(self, name: str) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class _Owner:
    """Whose a claim is: the file that says so, its content, and all files of the claim before it."""

    file: str
    content: bytes
    before: tuple[str, ...]

    @property
    def token(self) -> str:
        return str(_said(self.content)["token"])


@contextmanager
def claim_files(files: Files, shared_as: str | None) -> Iterator[Callable[[], None]]:
    """See ``Store.claim``."""
    name = CLAIM_FILE if shared_as is None else f"{CLAIM_FILE}-{shared_as}"
    token = uuid.uuid4().hex
    mine = _take(files, name, token)
    stop = threading.Event()
    beat = threading.Thread(target=_renew, args=(files, mine, token, stop), daemon=True)
    try:
        for other in sorted({found.partition(_AFTER)[0] for found in files.names()}):
            # looked for after one's own is there: of two at least one sees the other
            seen = _owner_of(files, other) if _conflict(name, other) else None
            if seen is not None and _lives(files, seen):
                raise _claimed(files, seen)
        beat.start()
        yield lambda: _must_hold(files, name, mine, token)
    finally:
        stop.set()
        if beat.ident is not None:
            beat.join()
        _release(files, name, mine, token)


def _take(files: Files, name: str, token: str) -> str:
    """Create the file that makes the claim one's own; returns its name."""
    while True:
        seen = _owner_of(files, name)
        if seen is not None and _lives(files, seen):
            raise _claimed(files, seen)
        mine = name if seen is None else f"{name}{_AFTER}{seen.token}"
        if not files.create(mine, _text(token)):
            continue
        if _held(files, name, mine, token) is not None:
            return mine
        files.remove(mine)  # whom it follows was gone by then: the claim had been taken over, and let go


def _owner_of(files: Files, name: str) -> _Owner | None:
    """Follow the files of a claim to its last; None where nobody has it."""
    last: _Owner | None = None
    file = name
    while (content := _content(files, file)) is not None:
        last = _Owner(file, content, (*last.before, last.file) if last else ())
        file = f"{name}{_AFTER}{last.token}"
    return last


def _held(files: Files, name: str, mine: str, token: str) -> _Owner | None:
    """The claim, if it is one's own."""
    last = _owner_of(files, name)
    return last if last is not None and last.file == mine and last.token == token else None


def _must_hold(files: Files, name: str, mine: str, token: str) -> None:
    if _held(files, name, mine, token) is None:
        raise UserError(
            f"{files.url}: this process gave no sign of life for {DEAD_AFTER_S:.0f} s, and another took over its work; "
            "nothing is lost; run the same command again once that one is done"
        )


def _release(files: Files, name: str, mine: str, token: str) -> None:
    """Let a claim go, the first file first: from then on nobody has it, whatever else is left."""
    last = _held(files, name, mine, token)
    if last is not None:
        for file in (*last.before, last.file):
            files.remove(file)


def _renew(files: Files, file: str, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        with suppress(UserError):  # a store that cannot be reached now may be at the next beat
            if _content(files, file) is not None:
                files.write(file, _text(token))


def _lives(files: Files, seen: _Owner) -> bool:
    """Whether the owner that a claim was seen of lives, which is whether its file changes meanwhile."""
    said = _said(seen.content)
    if said.get("host") == socket.gethostname():
        return _is_running(said["pid"])
    until = time.monotonic() + DEAD_AFTER_S
    while time.monotonic() < until:
        time.sleep(BEAT_S / 2)
        if (now := _content(files, seen.file)) != seen.content:
            return now is not None
    return False


def _content(files: Files, name: str) -> bytes | None:
    try:
        return files.read(name)
    except FileNotFoundError:
        return None


def _claimed(files: Files, seen: _Owner) -> ClaimedError:
    said = _said(seen.content)
    return claimed(files.url, said if "pid" in said else {})


def _text(token: str) -> bytes:
    return json.dumps(owner() | {"token": token, "beat": time.time_ns()}).encode()


def _conflict(mine: str, other: str) -> bool:
    """Whether two claims exclude each other: one alone excludes all."""
    return other != mine and other.startswith(CLAIM_FILE) and CLAIM_FILE in (mine, other)


def _said(content: bytes) -> dict[str, Any]:
    """What a claim says; of one that says nothing whole only a token, which is its digest."""
    try:
        said = json.loads(content)
        return {"host": str(said["host"]), "pid": int(said["pid"]), "token": str(said["token"])}
    except (ValueError, KeyError, TypeError):
        return {"token": hashlib.sha256(content).hexdigest()[:32]}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
