"""One process at a time writes to a folder, on whatever host: tried with real processes."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store import claims
from iscc_lidar.shared.store.open import claim_folder
from iscc_lidar.shared.store.owner import ClaimedError, this_process, to_json

OWNER = """
import socket, sys, time
from pathlib import Path
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store import claims
from iscc_lidar.shared.store.open import claim_folder
from iscc_lidar.shared.store.owner import ClaimedError
host, wait = sys.argv[2], float(sys.argv[3])
if host:
    socket.gethostname = lambda: host
    claims.BEAT_S, claims.DEAD_AFTER_S = 0.2, 2.0
try:
    with claim_folder(Path(sys.argv[1])) as check_still_held:
        print("claimed", flush=True)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            time.sleep(0.1)
            check_still_held()
except ClaimedError:
    print("refused", flush=True)
except UserError as error:
    print(error, flush=True)
"""


def start(folder: Path, host: str = "", wait: float = 600.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), host, str(wait)], stdout=subprocess.PIPE, text=True
    )


@contextmanager
def owner(folder: Path, host: str = "") -> Iterator[subprocess.Popen[str]]:
    process = start(folder, host)
    try:
        assert read_line(process) == "claimed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def enter(folder: Path) -> None:
    with claim_folder(folder) as check_still_held:
        assert (folder / ".owner").exists()
        check_still_held()


def is_refused(folder: Path, process: subprocess.Popen[str], host: str) -> bool:
    with pytest.raises(ClaimedError, match=f"process {process.pid} on {host} writes there; wait for its end"):
        enter(folder)
    return True


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.2)
    monkeypatch.setattr(claims, "DEAD_AFTER_S", 2.0)


def test_a_second_process_on_the_same_host_is_refused_as_long_as_the_first_one_lives(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with owner(folder) as process:
        assert is_refused(folder, process, socket.gethostname())
        process.send_signal(signal.SIGSTOP)  # slow is not dead
        assert is_refused(folder, process, socket.gethostname())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but its parent has not looked: a zombie
        before = time.monotonic()
        enter(folder)
        assert time.monotonic() - before < 2
    assert list(folder.iterdir()) == []


def test_a_process_that_got_the_pid_of_a_dead_one_is_not_taken_for_it(tmp_path: Path) -> None:
    alive = this_process()
    (tmp_path / ".owner").write_bytes(to_json(alive, token="a"))
    with pytest.raises(ClaimedError, match=f"process {os.getpid()} on"):
        enter(tmp_path)
    earlier = json.loads(to_json(alive, token="a")) | {"started": "1"}
    (tmp_path / ".owner").write_text(json.dumps(earlier))
    before = time.monotonic()
    enter(tmp_path)
    assert time.monotonic() - before < 2


@pytest.mark.usefixtures("fast")
def test_an_owner_on_another_host_lives_as_long_as_its_heartbeat(tmp_path: Path) -> None:
    with owner(tmp_path, "elsewhere") as process:
        time.sleep(3)
        assert is_refused(tmp_path, process, "elsewhere")
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        before = time.monotonic()
        with claim_folder(tmp_path) as check_still_held:
            assert time.monotonic() - before >= 2
            process.send_signal(signal.SIGCONT)
            assert "another took over its work" in read_line(process)
            process.wait(20)
            check_still_held()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fast")
def test_a_killed_owner_on_another_host_does_not_hinder(tmp_path: Path) -> None:
    with owner(tmp_path, "elsewhere"):
        pass
    enter(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fast")
def test_a_pid_of_another_container_is_not_looked_up_here(tmp_path: Path) -> None:
    here = json.loads(to_json(this_process(), token="a"))
    (tmp_path / ".owner").write_text(json.dumps(here | {"machine": "another", "pid": 2**22 + 1}))
    before = time.monotonic()
    enter(tmp_path)
    assert time.monotonic() - before >= 2


def test_of_many_that_take_over_at_once_one_works(tmp_path: Path) -> None:
    with owner(tmp_path):
        pass
    racers = [start(tmp_path, wait=5) for _ in range(5)]
    assert sorted(racer.communicate()[0] for racer in racers) == ["claimed\n"] + ["refused\n"] * 4


def test_where_there_are_no_hard_links_the_file_is_created_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with claim_folder(tmp_path), pytest.raises(ClaimedError):
        enter(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_claim_ends_with_the_context_also_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mistake"), claim_folder(tmp_path):
        raise UserError("mistake")
    assert list(tmp_path.iterdir()) == []
