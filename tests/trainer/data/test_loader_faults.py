"""Faults of loader processes reach the training process: none ends in a wait for ever, or a stack trace."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.data.loader import steps, unwrap_worker_errors, worker_death_to_user_error
from iscc_lidar.trainer.data.pack import TensorSet
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig

import runs

SMALL_SHM = "mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "
"""Less than a batch; a container's default of 64 MB is less than what its loaders hold of large ones."""


@dataclass(frozen=True)
class Batch(TensorSet):
    values: Tensor
    more: Any = None


@dataclass(frozen=True)
class Faulty(Dataset[Tensor]):
    """Makes tensors of 1 MB, and fails at the fourth."""

    fault: str

    def __getitem__(self, key: int) -> Tensor:
        if key == 3 and self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if key == 3 and self.fault == "bus error":
            os.kill(os.getpid(), signal.SIGBUS)
        if key == 3 and self.fault == "input/output":
            raise OSError(errno.EIO, os.strerror(errno.EIO), "/data/x")
        if key == 3 and self.fault == "memory":
            raise MemoryError
        return torch.full((2**18,), float(key))


@dataclass(frozen=True)
class Collate:
    fault: str

    def __call__(self, samples: list[Tensor]) -> Batch:
        unsendable = self.fault == "cannot be sent" and float(samples[0][0]) == 3
        return Batch(torch.stack(samples), (lambda: 0) if unsendable else None)


def take_all(fault: str, seen: list[float]) -> None:
    made = steps(Faulty(fault), [[n] for n in range(8)], Collate(fault), 1, 1, torch.device("cpu"))  # type: ignore[arg-type]
    with worker_death_to_user_error():
        for (batch,) in unwrap_worker_errors(made):
            seen.append(float(batch.values[0, 0]))


@pytest.mark.parametrize("fault", ["killed", "bus error", "input/output", "memory", "cannot be sent"])
def test_a_fault_is_an_error_in_the_training_process(fault: str):
    seen: list[float] = []
    with pytest.raises(UserError, match=r"a loader worker process has ended|a sample could not be made") as told:
        take_all(fault, seen)
    assert seen == sorted(seen)
    assert "Traceback" not in str(told.value)
    assert "--resume" in str(told.value)


def small_shm(command: list[str]) -> list[str]:
    """Run a command with a /dev/shm of 64 kB, in namespaces of its own."""
    return ["unshare", "-rm", "sh", "-c", SMALL_SHM + '"$@"', "sh", *command]


@pytest.fixture(scope="module")
def namespaces() -> None:
    if shutil.which("unshare") is None or subprocess.run(small_shm(["true"]), capture_output=True).returncode:
        pytest.skip("this system gives no mount namespace to its users")


def test_training_needs_no_shared_memory(namespaces: None, cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, loader_workers=2))
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(config), encoding="utf-8")
    command = [runs.ISCC_TRAIN, "pretrain", "--cache", str(cache_path), "--recipe", str(recipe)]
    status, said = runs.ended(runs.started(small_shm([*command, "--out", str(tmp_path / "run")])))
    assert status == 0, said
    assert pretrain([cache_path], tmp_path / "one", dataclasses.replace(tiny))
    for name in ("encoder.safetensors", "heads.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_without_dev_shm_the_message_names_the_option(
    namespaces: None, cache_path: Path, tiny: IsccConfig, tmp_path: Path
):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(tiny), encoding="utf-8")
    command = [runs.ISCC_TRAIN, "pretrain", "--cache", str(cache_path), "--recipe", str(recipe), "--out"]
    read_only = [word.replace("size=64k", "ro") for word in small_shm([*command, str(tmp_path / "run")])]
    status, said = runs.ended(runs.started([*read_only, "--set", "train.loader_workers=1"]))
    assert (status, "Traceback" in said) == (1, False), said
    assert "train.loader_workers=0" in said
    status, said = runs.ended(runs.started([*read_only, "--set", "train.loader_workers=0", "--resume"]))
    assert status == 0, said
