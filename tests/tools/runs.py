"""Real processes of ``iscc-train``, how to watch them, and what differs between the runs that they leave."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Set
from pathlib import Path

import torch

OF_ANY_RUN = {"resume.pt", "metrics.jsonl", "config.toml", "config.json"}
FILES = OF_ANY_RUN | {"encoder.safetensors", "heads.safetensors"}
ISCC_TRAIN = shutil.which("iscc-train", path=os.path.dirname(sys.executable)) or "iscc-train"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--no-python"]
PATIENCE_S = 180


def started(command: list[str]) -> "subprocess.Popen[str]":
    """Start a process in a group of its own; all that it says goes to its stdout."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait for something that a process does."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for the end; exit status and what was said."""
    said, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


def lines(out: Path) -> int:
    """How many lines the log of a run has."""
    log = out / "metrics.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def family(pid: int) -> list[int]:
    """A living process and all that descend from it, eldest first within each generation."""
    found = [pid]
    for parent in found:
        found += sorted(child for child, its in _parents().items() if its == parent)
    return found


def outlived(pids: list[int], seconds: float) -> list[int]:
    """Which processes are still there after so long, at most."""
    end = time.monotonic() + seconds
    while (alive := sorted(set(pids) & _parents().keys())) and time.monotonic() < end:
        time.sleep(0.1)
    return alive


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    return parents


def differences(run: Path, whole: Path, files: Set[str] = FILES) -> list[str]:
    """Files of two runs that differ, bit for bit; of resume.pt what it holds. All of ``files`` must be there."""
    names = {path.name for path in run.iterdir()} | files
    return sorted(name for name in names if not _same(run / name, whole / name))


def _same(one: Path, other: Path) -> bool:
    if not (one.exists() and other.exists()):
        return False
    if one.suffix == ".pt":
        return _equal(torch.load(one, weights_only=True), torch.load(other, weights_only=True))
    return one.read_bytes() == other.read_bytes()


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and one == other
