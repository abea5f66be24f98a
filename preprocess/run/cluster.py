"""A Dask cluster from the client's side: connect, check that all workers see the same files, pack tasks, wait."""

from __future__ import annotations

import logging
import pickle
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from distributed import Client, Future

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store.store import Store

_PATIENCE_S: Final = 10.0
"""How long a scheduler may be without workers before the work begins; three times as long during the work."""


class ClusterError(UserError):
    """The cluster cannot do the work, whatever the data: it stops the run also with ``--on-error skip``."""


@dataclass(frozen=True)
class Probe:
    """What every worker must see as the client does.

    Attributes:
        store: where the results are written; it contains a file ``name`` with ``content``.
        sizes: size in bytes of some input files, by path.
    """

    store: Store
    name: str
    content: bytes
    sizes: tuple[tuple[Path, int], ...]


@contextmanager
def written_probe(store: Store, folder: str, inputs: Sequence[Path]) -> Iterator[Probe]:
    """Write a file by which the workers of a running cluster prove that they see the same files, and remove it.

    Args:
        store: where the results are written.
        folder: of the file in it.
        inputs: some files that the workers read.
    """
    token = uuid.uuid4().hex
    sizes = tuple((file, file.stat().st_size) for file in inputs)
    probe = Probe(store, f"{folder}/probe-{token}", token.encode(), sizes)
    store.write(probe.name, probe.content)
    try:
        yield probe
    finally:
        store.remove(probe.name)


@dataclass(frozen=True)
class _Place:
    """Stands for a future among packed arguments."""

    index: int


@contextmanager
def connect(address: Any) -> Iterator[Client]:
    """Connect to a cluster, or to the scheduler at an address. Raises ClusterError if none answers."""
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its traces; errors are reported here in one line
    local = not isinstance(address, str)
    try:
        client = Client(address, timeout="60s" if local else "10s")
    except (OSError, ValueError) as error:
        if local:
            raise no_processes(error) from None
        raise ClusterError(f"--scheduler {address}: no Dask scheduler answers there ({_line(error)})") from None
    try:
        yield client
    finally:
        with suppress(OSError):  # no answer in time, which matters no more: the results are here
            client.close()


def no_processes(error: BaseException) -> ClusterError:
    """Make the error that says that Dask could not start processes on this machine."""
    return ClusterError(
        f"the worker processes could not be started on this machine, which may be overloaded ({_line(error)}); try "
        "again, with fewer --workers, or with --workers 0, which works in this process"
    )


def check_workers(client: Client, address: str, probe: Probe | None) -> None:
    """Wait a few seconds for workers; each must be able to load a task, and see the same files.

    Raises ClusterError, which names a worker's host and what it lacks.
    """
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except TimeoutError:
        raise ClusterError(
            f"--scheduler {address}: has no workers; start some that reach the same files: dask worker {address}"
        ) from None
    found: Mapping[str, Any] = client.run(_prove, pickle.dumps(probe), on_error="return")
    for worker, answer in found.items():
        if isinstance(answer, BaseException):
            raise ClusterError(f"--scheduler {address}: worker {worker} cannot do the work: {_line(answer)}")
    try:
        client.submit(_prove, pickle.dumps(probe), pure=False).result()
    except ClusterError:
        raise
    except Exception as error:
        raise ClusterError(
            f"--scheduler {address}: the scheduler cannot pass on tasks ({_line(error)}); start it where the same "
            "version of iscc-lidar and of its packages is installed"
        ) from None


def pack(probe: Probe | None, function: Any, *arguments: Any) -> bytes:
    """Pack a task, so that one that cannot be loaded on a worker is an error of the task; futures are left out."""
    futures = futures_among(arguments)
    numbers = {id(future): _Place(index) for index, future in enumerate(futures)}

    def without_futures(value: Any) -> Any:
        if isinstance(value, list):
            return [without_futures(item) for item in value]
        return numbers.get(id(value), value)

    return pickle.dumps((pickle.dumps(probe), pickle.dumps((function, *map(without_futures, arguments)))))


def unpack(packed: bytes, results: tuple[Any, ...]) -> list[Any]:
    """Return a packed task's function and arguments, with the results of its futures, after the worker's proof.

    Raises ClusterError where they cannot be loaded, or this worker does not see the client's files.
    """
    probe, task = pickle.loads(packed)  # noqa: S301 - from the client, who may run any code here
    _prove(probe)

    def with_results(value: Any) -> Any:
        if isinstance(value, list):
            return [with_results(item) for item in value]
        return results[value.index] if isinstance(value, _Place) else value

    return [with_results(value) for value in _load(task)]


def futures_among(arguments: tuple[Any, ...]) -> list[Future[Any]]:
    """List the futures among arguments, and in lists among them, each once."""
    found: dict[int, Future[Any]] = {}
    for argument in arguments:
        for value in argument if isinstance(argument, list) else [argument]:
            if isinstance(value, Future):
                found[id(value)] = value
    return list(found.values())


def wait_for(future: Future[Any]) -> Any:
    """Wait for a task's result. Raises what it raised, or ClusterError if scheduler or workers are gone."""
    waited = 0.0
    while True:
        failed = future.status == "error"
        try:
            return future.result(timeout=_PATIENCE_S)
        except CancelledError:
            raise ClusterError(
                "the Dask scheduler was lost; what was finished is kept, run the same command again when it is back"
            ) from None
        except TimeoutError:
            if failed:  # the task's own error
                raise
            if future.status != "pending":  # it was finished just now, or its result takes long to come
                continue
        waited = 0.0 if future.client.scheduler_info()["workers"] else waited + _PATIENCE_S
        if waited:
            print(f"the Dask scheduler has had no workers for {waited:.0f} s", file=sys.stderr, flush=True)
        if waited >= 3 * _PATIENCE_S:
            raise ClusterError("the Dask scheduler has no workers any more; start some and run the same command again")


@cache
def _prove(packed_probe: bytes) -> None:
    """Raise ClusterError where this process does not see what the client sees; looks once per process."""
    probe: Probe | None = _load(packed_probe)
    if probe is None:
        return
    try:
        same = probe.store.read(probe.name) == probe.content
    except (OSError, UserError):
        same = False
    if not same:
        raise _other_files(probe.store.url, "is another folder there than where the command was given")
    for path, size in probe.sizes:
        if not path.is_file():
            raise _other_files(path, "cannot be seen there")
        if path.stat().st_size != size:
            raise _other_files(path, f"has {path.stat().st_size} bytes there, {size} where the command was given")


def _other_files(path: object, what: str) -> ClusterError:
    return ClusterError(
        f"host {socket.gethostname()}: {path}: {what}; all workers need the same files, under the same paths"
    )


def _load(packed: bytes) -> Any:
    try:
        return pickle.loads(packed)  # noqa: S301 - from the client, who may run any code here
    except Exception as error:
        raise ClusterError(
            f"host {socket.gethostname()}: cannot load a task ({_line(error)}); install the same version of iscc-lidar "
            "and of its packages there"
        ) from None


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0] if not isinstance(error, UserError) else str(error)
