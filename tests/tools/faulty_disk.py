"""Runs of a command that are killed, or whose disk fails, at the n-th thing they do to a folder.

``Forks`` starts them. As a script, python faulty_disk.py APP MODULE... < PLAN, with one JSON list a line: [folder, log,
arguments, fault, n, errno]. APP is the module of the command's ``app``; it and the modules are imported once, and each
run is a fork that has computed nothing before. Prints for each run [exit status, operations done], in JSON.

Faults: "none"; "kill": SIGKILL before the n-th operation; "torn": SIGKILL in the middle of the n-th, where it is a
write; "once": the n-th operation fails with errno, a write after half of it; "from": so do all that need space
from the n-th on, as on a full disk. An operation is opening for writing, a write, fsync, rename, unlink, mkdir, rmdir;
of a folder in an object store, whose URL has ://, a PUT or a removal.
"""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

NEEDS_SPACE = ("open", "write", "fsync", "mkdir")


class Ended(NamedTuple):
    """How a run ended: exit status, negative for a signal; what it did to its folder; what it printed."""

    status: int
    done: list[str]
    said: str


class Forks:
    """Runs a command again and again in forks of one process that has imported what it needs."""

    def __init__(self, app: str, modules: Sequence[str], log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, __file__, app, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def run(
        self, folder: Path | str, arguments: Sequence[str], fault: str = "none", n: int = 0, error: int = 0
    ) -> Ended:
        """Run it with a fault at the n-th operation on a folder."""
        self.log.unlink(missing_ok=True)
        plan = [str(folder), str(self.log), list(arguments), fault, n, error]
        self.process.stdin.write(json.dumps(plan) + "\n")
        self.process.stdin.flush()
        status, done = json.loads(self.process.stdout.readline())
        return Ended(status, done, self.log.read_text(encoding="utf-8"))

    def stop(self) -> None:
        """Start no more."""
        self.process.stdin.close()
        self.process.wait(60)


class Disk:
    """Counts what is done to a folder, and fails at the n-th."""

    def __init__(self, folder: str, fault: str, n: int, errno: int) -> None:
        self.folder, self.fault, self.n, self.errno = folder, fault, n, errno
        self.done: list[str] = []

    def do(self, kind: str, path: str, act: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Do it, or fail."""
        # A heartbeat comes when it comes: counted, it would make another operation the n-th.
        if not path.startswith(self.folder) or "_beat" in threading.current_thread().name:
            return act()
        self.done.append(f"{kind} {os.path.relpath(path, self.folder)}")
        here = len(self.done) == self.n
        if here and self.fault in ("kill", "torn"):
            if self.fault == "torn" and half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        full = self.fault == "from" and len(self.done) >= self.n and kind in NEEDS_SPACE
        if full or (here and self.fault == "once"):
            if half is not None:
                half()
            raise OSError(self.errno, os.strerror(self.errno))
        return act()


class File:
    """A file open for writing."""

    def __init__(self, real: Any, path: str, disk: Disk) -> None:
        self.real, self.path, self.disk = real, path, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        self.real.close()

    def write(self, data: bytes) -> int:
        def half() -> None:
            self.real.write(data[: len(data) // 2])
            self.real.flush()

        return self.disk.do("write", self.path, lambda: self.real.write(data), half)


def install(disk: Disk) -> None:
    """Let all that Python does to files go by the disk."""

    def watch(name: str, kind: str, path_of: Callable[..., str]) -> None:
        real = getattr(os, name)
        setattr(os, name, lambda *a, **k: disk.do(kind, path_of(*a, **k), lambda: real(*a, **k)))

    def named(path: Any, *_: Any, dir_fd: int | None = None) -> str:
        above = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
        return os.path.join(above, os.fspath(path))

    for name in ("unlink", "remove", "mkdir", "rmdir"):
        watch(name, name, named)
    for name in ("replace", "rename", "link"):
        watch(name, "rename", lambda _, to, **__: os.fspath(to))
    watch("fsync", "fsync", lambda handle: os.readlink(f"/proc/self/fd/{handle}"))
    real_open = pathlib.Path.open

    def opened(path: pathlib.Path, mode: str = "r", *a: Any, **k: Any) -> Any:
        if mode[0] == "r" and "+" not in mode:
            return real_open(path, mode, *a, **k)
        file = disk.do("open", str(path), lambda: real_open(path, mode, *a, **k))
        return File(file, str(path), disk)

    pathlib.Path.open = opened


def install_store(disk: Disk) -> None:
    """Let all that is changed in an object store go by the disk."""
    from iscc_lidar.shared.store.remote import RemoteStore

    real = RemoteStore._fs.fget
    disk.folder = disk.folder.partition("://")[2]

    class Watched:
        def __init__(self, store: Any) -> None:
            self.file_system = real(store)

        def __getattr__(self, name: str) -> Any:
            act = getattr(self.file_system, name)
            if name not in ("pipe_file", "put_file", "rm"):
                return act
            place = 1 if name == "put_file" else 0
            return lambda *a, **k: disk.do("remove" if name == "rm" else "put", a[place], lambda: act(*a, **k))

    RemoteStore._fs = property(Watched)


def run(disk: Disk, arguments: list[str]) -> int:
    """Run the command; its exit status."""
    command = importlib.import_module(sys.argv[1])
    (install_store if "://" in disk.folder else install)(disk)
    try:
        command.app(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def in_a_fork(folder: str, log: str, arguments: list[str], fault: str, n: int, errno: int) -> tuple[int, list[str]]:
    """Run as told; exit status as of a shell's, and the operations done."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with open(log, "ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        disk = Disk(folder, fault, n, errno)
        status = run(disk, arguments)
        os.write(writer, json.dumps(disk.done).encode())
        sys.stderr.flush()
        os._exit(status)
    os.close(writer)
    with open(reader, "rb") as told:
        done = told.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(done or b"[]")


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)

    for line in sys.stdin:
        print(json.dumps(in_a_fork(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
