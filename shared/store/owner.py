"""The process that holds a claim: how others recognise it and find out whether it still runs."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.errors import UserError

CLAIM_FILE: Final = ".owner"
"""Names the only owner of a folder; with ``-NAME`` appended, one of several owners."""


class ClaimedError(UserError):
    """Another process holds the claim. The message names it."""


@dataclass(frozen=True)
class Process:
    """A process as a claim names it.

    Attributes:
        host: name of its host.
        pid: its process id.
        machine: boot and namespace in which the pid is valid, empty if unknown: containers may share a host's name.
        started: its start in clock ticks since the boot, empty if unknown: a pid may be used again.
    """

    host: str
    pid: int
    machine: str
    started: str

    @property
    def is_local(self) -> bool:
        """Whether its pid can be looked up here."""
        return (self.host, self.machine) == (socket.gethostname(), _machine())

    @property
    def is_running(self) -> bool:
        """Whether it runs; only for a local one."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's, which /proc may hide
            return _started(self.pid) in ("", self.started)
        return _started(self.pid) == self.started


def this_process() -> Process:
    """Describe the calling process."""
    return Process(socket.gethostname(), os.getpid(), _machine(), _started(os.getpid()))


def to_json(process: Process, **more: str | int) -> bytes:
    """Write the content of a claim's file."""
    return json.dumps(asdict(process) | more).encode()


def from_json(content: bytes) -> tuple[Process | None, dict[str, Any]]:
    """Read the content of a claim's file: the process, None if it is damaged, and all that is written there."""
    try:
        found = json.loads(content)
        names = ("machine", "started")
        return Process(str(found["host"]), int(found["pid"]), *(str(found.get(name, "")) for name in names)), found
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, {}


def claimed_error(url: str, owner: Process | None, activity: str) -> ClaimedError:
    """Return the error for a claim of this owner; ``activity`` is what it does there, as in "works on it"."""
    who = f"process {owner.pid} on {owner.host}" if owner else "another process"
    return ClaimedError(f"{url}: {who} {activity}; wait for its end, or stop it")


def _machine() -> str:
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _started(pid: int) -> str:
    """Read when a process started; empty where it does not run (any more) or the system is not Linux."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]  # 22nd of proc_pid_stat(5); a zombie has ended
