"""Runs that are killed, or whose disk fails, at one of the things they do to their folder, and then resumed."""

import contextlib
import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run.checkpoint import CHECKPOINT_FILE, checkpoint_step

import runs
from faulty_disk import Ended, Forks

SETTINGS = ["--set", "train.steps=4", "--set", "train.checkpoint_every=2"]
differences = runs.differences


LATE = ("torch._dynamo", "pyarrow.dataset", "zarr", "iscc_lidar.trainer.pretrain.learner")
"""What a run imports as it goes on: once for all of them."""


class Trainer:
    """Runs ``iscc-train pretrain`` again and again."""

    def __init__(self, cache: Path, recipe: Path, log: Path) -> None:
        self.options = ["pretrain", "--cache", str(cache), "--recipe", str(recipe), *SETTINGS]
        self.forks = Forks("iscc_lidar.trainer.cli", LATE, log)

    def run(self, out: Path, *more: str, fault: str = "none", n: int = 0, error: int = 0) -> Ended:
        """Train in ``out`` with a fault at the n-th operation on it."""
        return self.forks.run(out, [*self.options, "--out", str(out), *more], fault, n, error)


@pytest.fixture(scope="module")
def trainer(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    folder = tmp_path_factory.mktemp("trainer")
    (folder / "tiny.toml").write_text(to_toml(tiny), encoding="utf-8")
    trainer = Trainer(cache_path, folder / "tiny.toml", folder / "log")
    yield trainer
    trainer.forks.stop()


@pytest.fixture(scope="module")
def whole(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    ended = trainer.run(out)
    assert ended.status == 0, ended.said
    return out


@pytest.fixture(scope="module")
def operations(trainer: Trainer, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What such a run does to its folder, in order, as 'rename resume.pt'."""
    out = tmp_path_factory.mktemp("runs") / "counted"
    ended = trainer.run(out)
    assert differences(out, whole) == []
    return [re.sub(r"\.(.+)\.\d+\.tmp", r"\1", operation) for operation in ended.done]


def places(operations: list[str], *wanted: str) -> list[int]:
    """Where operations stand, from 1."""
    return [n for n, operation in enumerate(operations, 1) if operation in wanted]


def after_a_kill(trainer: Trainer, out: Path, whole: Path, fault: str, n: int, kills: int = 1, *more: str) -> list[str]:
    """Kill a run, and what resumes it, at the n-th operation of each; then resume it in peace. What differs?"""
    for _ in range(kills):
        if trainer.run(out, "--resume", *more, fault=fault, n=n).status != -9:
            break
    ended = trainer.run(out, "--resume", *more)
    found = differences(out, whole) if ended.status == 0 else [ended.said]
    shutil.rmtree(out)
    return found


def test_a_comparison_sees_what_differs(trainer: Trainer, whole: Path, tmp_path: Path):
    shutil.copytree(whole, tmp_path / "run")
    assert differences(tmp_path / "run", whole) == []
    content = torch.load(whole / "resume.pt", weights_only=True)
    content["optimizer"]["state"][0]["exp_avg"].view(-1)[0] += 1e-6
    torch.save(content, tmp_path / "run/resume.pt")
    (tmp_path / "run/metrics.jsonl").write_text((whole / "metrics.jsonl").read_text().replace("1", "2", 1))
    (tmp_path / "run/.x.1.tmp").touch()
    assert differences(tmp_path / "run", whole) == [".x.1.tmp", "metrics.jsonl", "resume.pt"]


def test_killed_around_each_rename_and_in_a_line_of_the_log(
    trainer: Trainer, whole: Path, operations: list[str], tmp_path: Path
):
    points = [("torn", places(operations, "write config.toml")[0])]
    points += [("kill", places(operations, "rename config.json")[0])]
    points += [("torn", places(operations, "write metrics.jsonl")[-1])]
    points += [("kill", places(operations, f"rename {name}")[-1]) for name in ("heads.safetensors", "resume.pt")]
    found = {p: after_a_kill(trainer, tmp_path / "run", whole, *p) for p in points}
    assert {p: d for p, d in found.items() if d} == {}


@pytest.mark.slow
def test_killed_at_everything_it_does(
    trainer: Trainer, whole: Path, operations: list[str], tmp_path: Path, record_property
):
    every = range(1, len(operations) + 1)
    points = [("kill", n, kills) for n in every for kills in (1, 3)]
    points += [("torn", n, 1) for n in every if operations[n - 1].startswith("write")]
    found = {p: after_a_kill(trainer, tmp_path / "run", whole, *p) for p in points}
    different = {(operations[p[1] - 1], *p): d for p, d in found.items() if d}
    record_property("kill_points", len(points))
    print(f"kill points tried: {len(points)}, runs that differ: {len(different)}")
    assert different == {}


@pytest.mark.slow
def test_killed_at_checkpoints_with_a_loader_process(
    trainer: Trainer, whole: Path, operations: list[str], tmp_path: Path
):
    more = ("--set", "train.loader_workers=1")
    points = [("kill", n) for n in places(operations, "rename encoder.safetensors", "rename resume.pt")]
    points += [("torn", places(operations, "write metrics.jsonl")[-1])]
    found = {p: after_a_kill(trainer, tmp_path / "run", whole, *p, 1, *more) for p in points}
    only_the_option = {"config.json", "config.toml"}
    assert {p: d for p, d in found.items() if set(d) - only_the_option} == {}


@pytest.fixture(scope="module")
def claiming(trainer: Trainer, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many operations a run needs to claim a folder that is there, before it changes anything else."""
    out = Path(shutil.copytree(whole, tmp_path_factory.mktemp("runs") / "claimed"))
    done = trainer.run(out, "--overwrite").done
    first = done.index("unlink resume.pt")
    assert "rename .owner" in done[:first]
    assert all(re.fullmatch(r"mkdir \.|fsync \.|rename \.owner|\w+ \.aside\.\d+\.tmp", word) for word in done[:first])
    return first


def overwriting(trainer: Trainer, whole: Path, out: Path, n: int, then: str) -> list[str]:
    """Kill a run that overwrites a finished one at its n-th operation, then run with another option."""
    shutil.copytree(whole, out)
    (out / "tensorboard").mkdir()
    (out / "tensorboard/events.1").touch()
    assert trainer.run(out, "--overwrite", fault="kill", n=n).status == -9
    ended = trainer.run(out, then)
    found = differences(out, whole) if ended.status == 0 else [ended.said]
    shutil.rmtree(out)
    return [] if then == "--resume" and found == ["tensorboard"] else found


def test_killed_while_it_overwrites_a_run(trainer: Trainer, whole: Path, claiming: int, tmp_path: Path):
    points = [(claiming + 3, "--overwrite"), (claiming + 2, "--resume")]
    assert {p: d for p in points if (d := overwriting(trainer, whole, tmp_path / "run", *p))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("then", ["--overwrite", "--resume"])
def test_killed_anywhere_while_it_overwrites_a_run(
    trainer: Trainer, whole: Path, claiming: int, tmp_path: Path, then: str
):
    found = {n: overwriting(trainer, whole, tmp_path / "run", n, then) for n in range(1, claiming + 30)}
    assert {n: d for n, d in found.items() if d} == {}


def after_a_disk_error(trainer: Trainer, out: Path, whole: Path, fault: str, n: int, error: int) -> list[str]:
    """Let the disk fail a run at its n-th operation, then resume it. What was wrong, or differs?"""
    failed = trainer.run(out, fault=fault, n=n, error=error)
    wrong = []
    last = [line for line in failed.said.splitlines() if line.strip()][-1]
    if failed.status != 1 or "Traceback" in failed.said:
        wrong.append(f"status {failed.status}: {failed.said}")
    said = rf"error: {re.escape(str(out))}.*: {os.strerror(error)}\. .*free some space.*run the command again"
    if not re.match(said, last):
        wrong.append(f"unclear: {last}")
    if ".tmp" in last or not any(f"/{name}: " in last for name in (*runs.FILES, ".owner")):
        wrong.append(f"names no file of the run: {last}")
    if out.exists() and (torn := list(out.glob(".*"))):
        wrong.append(f"left behind: {torn}")
    if (out / CHECKPOINT_FILE).exists() and checkpoint_step(out) not in (2, 4):
        wrong.append("checkpoint not whole")
    ended = trainer.run(out, "--resume")
    wrong += differences(out, whole) if ended.status == 0 else [ended.said]
    shutil.rmtree(out)
    return wrong


def test_a_disk_that_fails_is_named_and_costs_only_what_came_after_the_checkpoint(
    trainer: Trainer, whole: Path, operations: list[str], tmp_path: Path
):
    points = [("once", places(operations, "rename resume.pt")[-1] + 1, errno.EIO)]  # the folder's fsync
    points += [("from", places(operations, "write metrics.jsonl")[-1], errno.ENOSPC)]
    found = {p: after_a_disk_error(trainer, tmp_path / "run", whole, *p) for p in points}
    assert {p: d for p, d in found.items() if d} == {}


@pytest.mark.slow
def test_a_disk_that_fails_at_anything(trainer: Trainer, whole: Path, operations: list[str], tmp_path: Path):
    kinds = [("once", errno.EIO), ("once", errno.ENOSPC), ("from", errno.ENOSPC)]
    points = [
        (fault, n, error)
        for n, operation in enumerate(operations, 1)
        for fault, error in kinds
        if operation.startswith(("open", "write", "fsync") if fault == "from" else ("open", "write", "fsync", "rename"))
    ]
    found = {p: after_a_disk_error(trainer, tmp_path / "run", whole, *p) for p in points}
    print(f"disk errors tried: {len(points)}")
    assert {(operations[p[1] - 1], *p): d for p, d in found.items() if d} == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB: room for one checkpoint, not for the next beside it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here: mount -t tmpfs needs the right to")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_really_full(trainer: Trainer, whole: Path, small_disk: Path):
    out = small_disk / "run"
    failed = trainer.run(out)
    assert failed.status == 1
    assert f"error: {out / 'resume.pt'}: No space left on device. What was finished before is kept" in failed.said
    assert "Traceback" not in failed.said
    assert checkpoint_step(out) == 2
    assert not list(out.glob(".*"))
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2000))
    for name in (".owner", "metrics.jsonl"):
        failed = trainer.run(out, "--resume")
        assert failed.status == 1
        assert f"error: {out / name}: No space left on device." in failed.said
        assert "Traceback" not in failed.said
        os.truncate(filler, filler.stat().st_size - 4096)  # room for a page: the claim, and no more
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert trainer.run(out, "--resume").status == 0
    assert differences(out, whole) == []
