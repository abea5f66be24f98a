"""Worker processes of this machine: closed to other users, and ended by one signal with one line."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client

from iscc_lidar.preprocess.run.cluster import ClusterError
from iscc_lidar.preprocess.run.executor import Executor, result_of, start_executor
from iscc_lidar.preprocess.run.private_cluster import local_cluster

from caches import TINY


class NotThere:
    """An argument that only the process that made it can load, as one of a module that workers do not have."""

    def __reduce__(self):
        return load, (os.getpid(),)


def load(process: int) -> None:
    if os.getpid() != process:
        raise ModuleNotFoundError("No module named 'there'")


def test_only_its_user_can_reach_it() -> None:
    with local_cluster(1) as cluster, Client(cluster) as client:
        assert client.submit(os.getpid).result() != os.getpid()
        addresses = [cluster.scheduler_address, *client.scheduler_info()["workers"]]
        for address in addresses:
            scheme, _, path = address.partition("://")
            status = Path(path).parent.stat()
            assert (scheme, stat.S_IMODE(status.st_mode), status.st_uid) == ("private", 0o700, os.getuid())
        here = psutil.Process()
        found = [
            c for p in (here, *here.children(recursive=True)) for c in p.net_connections("inet") if c.status == "LISTEN"
        ]
        assert {connection.laddr.ip for connection in found} <= {"127.0.0.1", "::1"}
    assert not Path(path).parent.exists()


def test_a_long_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with local_cluster(1) as cluster, Client(cluster) as client:
        assert client.submit(sum, [1, 2]).result() == 3


def test_a_task_that_cannot_be_loaded_is_an_error() -> None:
    with start_executor(Executor(workers=1)) as (submit, _):
        with pytest.raises(ClusterError, match=r"cannot load a task \(ModuleNotFoundError: No module named 'there'\)"):
            result_of(submit(str, NotThere()))
        assert result_of(submit(max, [submit(int, "3"), submit(int, "5"), 4])) == 5


@pytest.mark.parametrize(
    ("number", "begun"),
    [
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_all_processes_with_one_line(
    number: signal.Signals, begun: bool, tiny_streets: Path, tmp_path: Path
) -> None:
    """To all processes of the terminal or job at once; also while the workers are started."""
    cache = tmp_path / "cache"
    call = [sys.executable, "-m", "iscc_lidar.preprocess", "run", "synthetic", "--root", str(tiny_streets), *TINY]
    call += ["--cache", str(cache), "--workers", "2"]
    run = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    started = psutil.Process(run.pid)
    for _ in range(6000):
        if any(cache.glob(".steps/*/segmented*")) if begun else len(started.children()) >= 2:
            break
        assert run.poll() is None
        time.sleep(0.01)
    processes = started.children(recursive=True)
    os.killpg(run.pid, number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert "Traceback" not in out + err
    assert err.rstrip().splitlines()[-1] == "interrupted; finished work is kept"
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert not (cache / "manifest.json").exists()
