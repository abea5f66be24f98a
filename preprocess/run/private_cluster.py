"""Dask workers on this machine, which no other user can reach: they talk over sockets in a folder of this user alone.

Dask's own TCP connections on the loopback address accept work from every user of the machine, and its TLS needs a
further package to make certificates. So the connections here are Dask's, over Unix sockets instead of TCP.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, Final

import dask
from distributed import LocalCluster, Nanny, Worker
from distributed.comm.registry import Backend, backends
from distributed.comm.tcp import MAX_BUFFER_SIZE, TCP, TCPConnector, TCPListener, convert_stream_closed_error
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_unix_socket
from tornado.tcpserver import TCPServer

from iscc_lidar.preprocess.run.cluster import no_processes
from iscc_lidar.preprocess.run.signals import postponed

_SCHEME: Final = "private"
_LONGEST_FOLDER: Final = 60  # bytes: the path of a socket has at most 104
_SETTINGS: Final = {
    "distributed.worker.profile.enabled": False,
    # Every process of the cluster monitors itself; the default, twice per second, takes 2 % of a core each.
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.dashboard.link": "http://127.0.0.1:{port}/status",
}


@contextmanager
def local_cluster(workers: int) -> Iterator[LocalCluster]:
    """Start worker processes of one thread each, with a dashboard on the loopback address; stop them at the end.

    Much of the work keeps the GIL, hence processes; without a profiler that samples them all the time.
    """
    resource_tracker.ensure_running()  # which unblocks SIGINT in the thread that first starts a process
    short = len(tempfile.gettempdir().encode()) <= _LONGEST_FOLDER
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="iscc-", dir=None if short else "/tmp"))
        stack.enter_context(dask.config.set(_SETTINGS))
        with postponed():
            try:
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    protocol=f"{_SCHEME}://",
                    host=folder,  # only its owner may enter it
                    dashboard_address="127.0.0.1:8787",
                    worker_class=_PrivateNanny,
                )
            except (OSError, RuntimeError) as error:
                raise no_processes(error) from None
            stack.callback(_stop, cluster)
        yield cluster


def _stop(cluster: LocalCluster) -> None:
    with suppress(OSError):  # a process that does not end in time is killed with this one
        cluster.__exit__(None, None, None)


class _PrivateWorker(Worker):
    """A worker process imports this module with this class, and so knows the sockets."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches every process of a terminal; the main one stops it
        super().__init__(*arguments, **options)


class _PrivateNanny(Nanny):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Of the thread that starts the processes, which inherit it: until they have imported this module.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        super().__init__(*arguments, **(options | {"worker_class": _PrivateWorker}))


class _Connector(TCPConnector):
    prefix = f"{_SCHEME}://"

    async def connect(self, address: str, deserialize: bool = True, **_: Any) -> TCP:
        stream = IOStream(socket.socket(socket.AF_UNIX), max_buffer_size=int(MAX_BUFFER_SIZE))
        try:
            await stream.connect(_path(address))
        except StreamClosedError as error:
            convert_stream_closed_error(self, error)
        return TCP(stream, self.prefix, self.prefix + address, deserialize)


class _Listener(TCPListener):
    prefix = f"{_SCHEME}://"

    async def start(self) -> None:
        self.path = os.path.join(_path(self.ip), uuid.uuid4().hex[:16])
        server: Any = TCPServer(max_buffer_size=int(MAX_BUFFER_SIZE))
        server.handle_stream = self._handle_stream
        self.tcp_server = server
        server.add_socket(bind_unix_socket(self.path, mode=0o600, backlog=2048))

    async def _handle_stream(self, stream: IOStream, _address: Any) -> None:
        if self.tcp_server is None:  # stopped meanwhile
            stream.close()
            return
        comm = TCP(stream, self.listen_address, self.prefix, self.deserialize)
        comm.allow_offload = self.allow_offload
        try:
            await self.on_connection(comm)
        except OSError:  # closed before the handshake
            return
        await self.comm_handler(comm)

    @property
    def listen_address(self) -> str:
        return f"{self.prefix}{self.path}"

    @property
    def contact_address(self) -> str:
        return self.listen_address


class _Sockets(Backend):
    """See Backend of distributed; the address of a process is the path of its socket."""

    def get_connector(self) -> _Connector:
        return _Connector()

    def get_listener(self, loc: str, handle_comm: Any, deserialize: bool, **arguments: Any) -> _Listener:
        make: Any = _Listener  # whose __init__ has no types
        listener: _Listener = make(loc, handle_comm, deserialize, **arguments)
        return listener

    def get_address_host(self, loc: str) -> str:
        return "127.0.0.1"

    def get_address_host_port(self, loc: str) -> tuple[str, int]:
        return loc, 0

    def resolve_address(self, loc: str) -> str:
        return loc

    def get_local_address_for(self, loc: str) -> str:
        return os.path.dirname(_path(loc))


def _path(loc: str) -> str:
    return loc.removesuffix(":0")


backends[_SCHEME] = _Sockets()
# It reports for every connection that a Unix socket has no TCP timeouts.
logging.getLogger("distributed.comm.tcp").setLevel(logging.CRITICAL)
