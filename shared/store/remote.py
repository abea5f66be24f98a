"""A folder in an object store, or where else fsspec reaches: a PUT makes a file appear, a folder's last one last."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import fsspec
import zarr
from zarr.storage import FsspecStore

from iscc_lidar.shared.errors import UserError
from iscc_lidar.shared.store.store import CLAIM_FILE, ClaimedError, claimed, owner

BEAT_S: Final = 10.0
DEAD_AFTER_S: Final = 60.0
_SETTLE_S: Final = 2.0
_READ_AT_ONCE: Final = 2**24


@dataclass(frozen=True)
class RemoteStore:
    """See ``Store``. Nothing can be renamed there, and nothing needs to be."""

    url: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the folder's path in it."""
        try:
            file_system, path = fsspec.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(f"{self.url}: {error}") from None
        return file_system, str(path).rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._place[0]

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    def exists(self, name: str) -> bool:
        """See ``Store``."""
        with self._told(name):
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._at(name)))

    def read(self, name: str) -> bytes:
        """See ``Store``."""
        with self._told(name, FileNotFoundError):
            content: bytes = self._fs.cat_file(self._at(name))
            return content

    def sha256(self, name: str) -> str:
        """See ``Store``."""
        digest = hashlib.sha256()
        with self._told(name, FileNotFoundError), self._fs.open(self._at(name), "rb", block_size=_READ_AT_ONCE) as file:
            while part := file.read(_READ_AT_ONCE):
                digest.update(part)
        return digest.hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """See ``Store``."""
        with self._told(name):
            self._fs.pipe_file(self._at(name), content)

    @contextmanager
    def new_folder(self, name: str, last: str) -> Iterator[Path]:
        """See ``Store``. Filled on this machine, then sent file by file."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self.remove(f"{name}/{last}")
            self.remove(name)
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            for path in sorted(files, key=lambda path: path.name == last):
                target = f"{name}/{path.relative_to(folder).as_posix()}"
                with self._told(target):
                    self._fs.put_file(str(path), self._at(target))

    def names(self) -> list[str]:
        """See ``Store``."""
        with self._told(""):
            self._fs.invalidate_cache()
            try:
                return sorted(path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(self._at(""), detail=False))
            except FileNotFoundError:
                return []

    def files(self, name: str) -> dict[str, int]:
        """See ``Store``."""
        with self._told(name):
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(name), detail=True)
        above = len(self._at(name)) + 1
        return {path[above:]: int(entry["size"]) for path, entry in sorted(found.items())}

    def remove(self, name: str) -> None:
        """See ``Store``."""
        with self._told(name):
            self._fs.invalidate_cache()
            with suppress(FileNotFoundError):
                self._fs.rm(self._at(name), recursive=True)

    def array(self, name: str) -> zarr.Array[Any]:
        """See ``Store``."""
        return zarr.open_array(FsspecStore.from_url(f"{self.url}/{name}", read_only=True), mode="r")

    @contextmanager
    def claim(self, shared_as: str | None = None) -> Iterator[None]:
        """See ``Store``. By a file that its owner renews; one not renewed for a minute is a dead one's."""
        mine = CLAIM_FILE if shared_as is None else f"{CLAIM_FILE}-{shared_as}"
        token = uuid.uuid4().hex
        self._take(mine, token)
        try:
            for other in self.names():  # looked for after one's own is there: of two at least one sees the other
                seen = self._content(other) if other != mine and _conflict(mine, other) else None
                if seen is not None and self._lives(other, seen):
                    raise self._claimed(other)
        except BaseException:
            self.remove(mine)
            raise
        stop = threading.Event()
        beat = threading.Thread(target=self._renew, args=(mine, token, stop), daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()
            if self._token(mine) == token:
                self.remove(mine)

    def _take(self, name: str, token: str) -> None:
        while not self._create(name, token):
            seen = self._content(name)
            if seen is not None and self._lives(name, seen):
                raise self._claimed(name)
            if seen is not None and self._content(name) == seen:
                self.remove(name)
            time.sleep(_SETTLE_S)  # whoever found the same claim dead has removed it by now

    def _create(self, name: str, token: str) -> bool:
        try:
            with self._told(name, FileExistsError):
                self._fs.pipe_file(self._at(name), self._claim_text(token), mode="create")
        except FileExistsError:
            return False
        return True

    def _renew(self, name: str, token: str, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            with suppress(UserError):  # a store that cannot be reached now may be at the next beat
                if self._token(name) == token:
                    self.write(name, self._claim_text(token))

    def _lives(self, name: str, seen: bytes) -> bool:
        """Whether the owner that a claim was seen of lives, which is whether it changes meanwhile."""
        said = _parsed(seen)
        if said.get("host") == socket.gethostname():
            return _is_running(said["pid"])
        until = time.monotonic() + DEAD_AFTER_S
        while time.monotonic() < until:
            time.sleep(BEAT_S / 2)
            if (now := self._content(name)) != seen:
                return now is not None
        return False

    def _content(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def _token(self, name: str) -> str | None:
        return _parsed(self._content(name)).get("token")

    def _claimed(self, name: str) -> ClaimedError:
        return claimed(self.url, _parsed(self._content(name)))

    def _claim_text(self, token: str) -> bytes:
        return json.dumps(owner() | {"token": token, "beat": time.time_ns()}).encode()

    def _at(self, name: str) -> str:
        return "/".join([self._place[1], name] if name else [self._place[1]])

    @contextmanager
    def _told(self, name: str, *known: type[Exception]) -> Iterator[None]:
        """Say what could not be done, and why, in one line; errors that the caller knows are his."""
        passed: tuple[type[Exception], ...] = (UserError, *known)
        try:
            yield
        except passed:
            raise
        except Exception as error:  # each store's package raises errors of its own
            raise UserError(f"{self.url}/{name}: {type(error).__name__}: {error}") from error


def _conflict(mine: str, other: str) -> bool:
    """Whether two claims exclude each other: one alone excludes all."""
    return other.startswith(CLAIM_FILE) and CLAIM_FILE in (mine, other)


def _parsed(claim: bytes | None) -> dict[str, Any]:
    """What a claim says; nothing where it is missing or says nothing whole."""
    try:
        said = json.loads(claim or b"")
        return {"host": str(said["host"]), "pid": int(said["pid"]), "token": str(said["token"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
