"""A folder in an object store, reached by fsspec: each PUT makes one complete file appear."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fsspec

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.store.claims import claim_files

if TYPE_CHECKING:
    import zarr

_READ_BYTES: Final = 2**24
_CONNECT_S: Final = 10
_READ_S: Final = 30
_REQUEST_S: Final = 180
_NO_BUCKET: Final = "NoSuchBucket|bucket does not exist|ContainerNotFound"
_REASONS: Final = {
    "Expired|TokenRefresh": "the credentials have expired; renew them",
    "NoCredentials|Unable to locate credentials": "there are no credentials; set them as its package describes",
    "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|Unauthorized|401": "the credentials are not accepted",
    _NO_BUCKET: "no such bucket; create it, or correct the name",
    "PermissionError|AccessDenied|Forbidden|403": "access is denied; these credentials may not do this",
    "Timeout|timed out": "does not answer; check the address and the network",
    "EndpointConnection|ConnectionRefused|Cannot connect|ClientConnector|ConnectionError": "cannot be reached; check "
    "the address and the network",
    "SlowDown|ServiceUnavailable|503": "is too busy; run the command again",
}


@dataclass(frozen=True)
class RemoteStore:
    """See ``Store``. Files cannot be renamed there, and need not be."""

    url: str

    @cached_property
    def _location(self) -> tuple[Any, str]:
        """File system and path of the folder in it."""
        try:
            file_system, path = fsspec.url_to_fs(self.url, **_options(self.url.partition("://")[0]))
        except (ImportError, ValueError) as error:
            raise UserError(f"{self.url}: {error}") from None
        return file_system, str(path).rstrip("/")

    @property
    def _fs(self) -> Any:
        return self._location[0]

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}

    def exists(self, name: str) -> bool:
        """See ``Store``."""
        with self._naming(name), suppress(FileNotFoundError):
            self._fs.invalidate_cache()
            return bool(self._fs.info(self._at(name))["type"] == "file")  # isfile takes every error for "no"
        return False

    def read(self, name: str) -> bytes:
        """See ``Store``."""
        with self._naming(name, FileNotFoundError), self._naming_bucket():
            content: bytes = self._fs.cat_file(self._at(name))
            return content

    def sha256(self, name: str) -> str:
        """See ``Store``."""
        with self._naming(name, FileNotFoundError), self._fs.open(self._at(name), "rb", block_size=_READ_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """See ``Store``."""
        with self._naming(name):
            self._fs.pipe_file(self._at(name), content)

    @contextmanager
    def new_folder(self, name: str, last: str) -> Iterator[Path]:
        """See ``Store``. Uploaded file by file when complete."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self.remove(f"{name}/{last}")
            self.remove(name)
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            for path in sorted(files, key=lambda path: path.name == last):
                target = f"{name}/{path.relative_to(folder).as_posix()}"
                with self._naming(target):
                    self._fs.put_file(str(path), self._at(target))

    def names(self) -> list[str]:
        """See ``Store``."""
        with self._naming(""):
            self._fs.invalidate_cache()
            try:
                return sorted(path.rstrip("/").rpartition("/")[2] for path in self._fs.ls(self._at(""), detail=False))
            except FileNotFoundError:
                return []

    def files(self, name: str) -> dict[str, int]:
        """See ``Store``."""
        with self._naming(name):
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(name), detail=True)
        above = len(self._at(name)) + 1
        return {path[above:]: int(entry["size"]) for path, entry in sorted(found.items())}

    def remove(self, name: str) -> None:
        """See ``Store``."""
        with self._naming(name):
            self._fs.invalidate_cache()
            with suppress(FileNotFoundError), self._naming_bucket():
                self._fs.rm(self._at(name), recursive=True)

    def array(self, name: str) -> zarr.Array[Any]:
        """See ``Store``."""
        import zarr
        from zarr.storage import FsspecStore

        # Not by a URL: one with a name out of a manifest in it could be of another protocol.
        files = FsspecStore.from_mapper(fsspec.FSMap(self._at(name), self._fs), read_only=True)
        return zarr.open_array(files, mode="r")

    def create(self, name: str, content: bytes) -> bool:
        """See ``Store``."""
        try:
            with self._naming(name, FileExistsError):
                self._fs.pipe_file(self._at(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def claim(self, shared_as: str | None = None) -> AbstractContextManager[Callable[[], None]]:
        """See ``Store``. Keeps a file that the owner renews; after a minute without that the owner counts as dead."""
        return claim_files(self, shared_as, "works on it")

    def _at(self, name: str) -> str:
        return "/".join([self._location[1], name] if name else [self._location[1]])

    @contextmanager
    def _naming(self, name: str, *known: type[Exception]) -> Iterator[None]:
        """Turn an error into a UserError that names the file; ``known`` ones pass to the caller."""
        passed: tuple[type[Exception], ...] = (UserError, *known)
        try:
            yield
        except passed:
            raise
        except Exception as error:  # the package of each store has its own errors
            raise UserError(one_line(f"{self.url}/{name}: {_reason(self._with_code(error))}")) from error

    def _with_code(self, error: Exception) -> Exception:
        """Return the error of listing the folder instead of one without a code: answers to HEAD have no text."""
        if not re.search("Bad Request|Forbidden", str(error)):
            return error
        try:
            self._fs.ls(self._location[1], refresh=True)
        except Exception as better:
            return better
        return error

    @contextmanager
    def _naming_bucket(self) -> Iterator[None]:
        """Raise UserError where not only a file is missing, but the bucket."""
        try:
            yield
        except FileNotFoundError as error:
            if re.search(_NO_BUCKET, f"{_code(error)} {error}"):
                raise UserError(f"{self.url}: no such bucket; create it, or correct the name") from None
            raise


def _options(protocol: str) -> dict[str, Any]:
    """Return what limits the time that a file system waits for an object store. Each request is repeated, too.

    s3fs itself tries five times, gcsfs six, Azure's client four; the latter two cannot be configured. gcsfs does not
    repeat a request that exceeds its total time, at most 50 MB each. adlfs takes timeouts for contents only: it lists
    files with those of Azure's client, 20 s and 60 s.
    """
    if protocol == "s3":
        limits = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": {"max_attempts": 1}}
        return {"config_kwargs": limits}
    if protocol in ("gs", "gcs"):
        from aiohttp import ClientTimeout  # comes with gcsfs

        return {"requests_timeout": ClientTimeout(total=_REQUEST_S, sock_connect=_CONNECT_S)}
    return {"connection_timeout": _CONNECT_S, "read_timeout": _READ_S}


def _reason(error: BaseException) -> str:
    """Return what is wrong with an object store and what to do, in words that are the same for all of them."""
    text = f"{_code(error)} {type(error).__name__} {error}"
    for pattern, meaning in _REASONS.items():
        if re.search(pattern, text, re.IGNORECASE):
            return f"{meaning} ({type(error).__name__}: {error})"
    return f"{type(error).__name__}: {error}"


def _code(error: BaseException) -> str:
    """Return the error code of S3's answer, empty without one."""
    response = getattr(error.__cause__ or error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
