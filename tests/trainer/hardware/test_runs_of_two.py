"""``iscc-train pretrain`` under torchrun, as users start it: two processes on this machine."""

import dataclasses
import json
import math
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run import loop
from iscc_lidar.trainer.run.checkpoint import checkpoint_step, read_checkpoint
from iscc_lidar.trainer.run.stop_signal import StoppedError

import runs

LOSSES = ("loss", "loss_global", "loss_local", "loss_occupancy")
ROUNDING = (5, 1e-5)
"""Largest relative difference of a loss over the first steps, in which rounding has not yet grown."""
GROWN = 1e-2
"""And over all sixteen; from one batch to the next losses differ by ten times that."""
SLOW_END = """
import sys
if any("iscc-train" in word for word in sys.orig_argv):
    import time
    import torch.distributed as distributed
    end = distributed.destroy_process_group
    distributed.destroy_process_group = lambda *words: (time.sleep(1), end(*words))
"""
WEIGHTS_TOLERANCE = 1e-2
"""Of all weights together; AdamW makes much of small gradients."""


@pytest.fixture(scope="module")
def config(tiny: IsccConfig) -> PretrainConfig:
    return dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, steps=16, batch_size=4))


@pytest.fixture(scope="module")
def of_one(cache_path: Path, config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    assert pretrain([cache_path], out, config)
    return out


class Torchrun:
    """The command under torchrun."""

    def __init__(self, cache: Path, recipe: Path) -> None:
        self.start = [*runs.TORCHRUN, runs.ISCC_TRAIN, "pretrain", "--cache", str(cache), "--recipe", str(recipe)]

    def started(self, out: Path, *more: str):
        return runs.started([*self.start, "--out", str(out), *more])

    def ended(self, out: Path, *more: str) -> tuple[int, str]:
        return runs.ended(self.started(out, *more))


@pytest.fixture(scope="module")
def torchrun(cache_path: Path, config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Torchrun:
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    recipe.write_text(to_toml(config), encoding="utf-8")
    return Torchrun(cache_path, recipe)


def trainers(torchrun_pid: int) -> list[int]:
    """The processes that torchrun has started itself."""
    family = runs.family(torchrun_pid)
    return [pid for pid in family[1:3] if "iscc-train" in Path(f"/proc/{pid}/cmdline").read_text()]


def ours(said: str) -> str:
    """What our program said, without torchrun's own stack trace and table at the end."""
    return "\n".join(
        line for line in said.split("torch/distributed/elastic")[0].split("\nTraceback")[0].splitlines() if line.strip()
    )


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def largest_differences(run: Path, other: Path, steps: int | None = None) -> dict[str, float]:
    """Of each loss, relative to the other run, over the first steps or all."""
    pairs = list(zip(log(run), log(other), strict=True))
    assert [a["step"] for a, _ in pairs] == [b["step"] for _, b in pairs] == list(range(len(pairs)))
    return {name: max(abs(a[name] - b[name]) / abs(b[name]) for a, b in pairs[:steps]) for name in LOSSES}


def assert_alike(run: Path, other: Path) -> None:
    found = largest_differences(run, other)
    print({name: f"{value:.1e}" for name, value in found.items()}, end=" ")
    assert {name: value for name, value in found.items() if not value <= GROWN} == {}
    first = largest_differences(run, other, ROUNDING[0])
    assert {name: value for name, value in first.items() if not value <= ROUNDING[1]} == {}
    assert sorted(path.name for path in run.iterdir()) == sorted(runs.FILES)
    weights = [read_checkpoint(out)["network"] for out in (run, other)]
    length = math.sqrt(sum(float(w.double().square().sum()) for w in weights[1].values()))
    apart = math.sqrt(sum(float((w - weights[1][k]).double().square().sum()) for k, w in weights[0].items()))
    print(f"weights {apart / length:.1e}")
    assert apart < WEIGHTS_TOLERANCE * length


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_one_process_goes_on_with_it(
    torchrun: Torchrun, cache_path: Path, config: PretrainConfig, of_one: Path, tmp_path: Path, monkeypatch
):
    """Also where the other one takes longer to end than torchrun to send it SIGTERM."""
    out = tmp_path / "run"
    (tmp_path / "sitecustomize.py").write_text(SLOW_END)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    process = torchrun.started(out)
    monkeypatch.undo()
    runs.wait_until(lambda: (out / "resume.pt").exists(), process)
    family = runs.family(process.pid)
    os.kill(trainers(process.pid)[1], signal.SIGKILL)
    status, said = runs.ended(process)
    assert status != 0
    assert "another process of this run has ended" in said, said
    assert "--resume" in said
    assert "Traceback" not in ours(said)
    assert runs.outlived(family, 15) == []
    assert not list(out.glob(".*.tmp"))
    assert 0 < checkpoint_step(out) < config.train.steps
    assert pretrain([cache_path], out, config, resume=True)
    assert_alike(out, of_one)


@pytest.mark.slow
def test_two_processes_log_what_one_does(torchrun: Torchrun, of_one: Path, tmp_path: Path):
    out = tmp_path / "run"
    status, said = torchrun.ended(out)
    assert status == 0, said
    assert said.count("finished: encoder") == 1
    assert "Warning" not in said
    assert_alike(out, of_one)


@pytest.mark.slow
def test_from_one_process_to_two_and_back(
    torchrun: Torchrun, cache_path: Path, config: PretrainConfig, of_one: Path, tmp_path: Path, monkeypatch
):
    out = tmp_path / "run"
    stopped_after(monkeypatch, 4)
    with pytest.raises(StoppedError, match="step 5 is saved"):
        pretrain([cache_path], out, config)
    monkeypatch.undo()
    process = torchrun.started(out, "--resume")
    runs.wait_until(lambda: runs.lines(out) > 7, process)
    process.terminate()
    runs.ended(process)
    assert 8 <= checkpoint_step(out) < config.train.steps
    assert pretrain([cache_path], out, config, resume=True)
    assert_alike(out, of_one)


def stopped_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    real = loop.take_step

    def step_taken(learner, state, *rest):
        if state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(learner, state, *rest)

    monkeypatch.setattr(loop, "take_step", step_taken)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_to_torchrun_saves_once(torchrun: Torchrun, tmp_path: Path, workers: int):
    """It passes the signal on to both processes and their loaders, and waits 30 s for them."""
    out = tmp_path / "run"
    process = torchrun.started(out, "--set", f"train.loader_workers={workers}")
    runs.wait_until(lambda: runs.lines(out) > 1, process)
    family = runs.family(process.pid)
    process.terminate()
    status, said = runs.ended(process)
    assert status != 0
    step = checkpoint_step(out)
    assert said.count(f"stopped by SIGTERM: step {step} is saved, --resume continues from it") == 1
    assert runs.lines(out) == step
    assert "forcefully" not in said
    assert "Traceback" not in ours(said)
    assert runs.outlived(family, 1) == []


@pytest.mark.slow
def test_the_main_process_killed_while_loaders_run(torchrun: Torchrun, tmp_path: Path):
    out = tmp_path / "run"
    process = torchrun.started(out, "--set", "train.loader_workers=1")
    runs.wait_until(lambda: (out / "resume.pt").exists(), process)
    family = runs.family(process.pid)
    os.kill(trainers(process.pid)[0], signal.SIGKILL)
    status, said = runs.ended(process)
    assert status != 0
    assert "process 1: another process of this run has ended" in said
    assert runs.outlived(family, 15) == []
    assert 0 < checkpoint_step(out) < 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "train.batch_size=3"], "cannot be cut evenly among 2 processes"),
        (["--set", "train.seed=1"], "train.seed is 0 there, 1 here"),
        ([], r"holds an unfinished run .* add --resume to continue"),
    ],
)
def test_a_mistake_is_told_once_and_ends_all(
    torchrun: Torchrun, cache_path: Path, config: PretrainConfig, tmp_path: Path, monkeypatch, more, message
):
    out = tmp_path / "run"
    stopped_after(monkeypatch, 1)
    with pytest.raises(StoppedError):
        pretrain([cache_path], out, config)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    process = torchrun.started(out, *more)
    status, said = runs.ended(process)
    assert status == 1
    assert len(re.findall(message, said)) == 1, said
    assert said.count("error: ") == 1 + said.count("error: <N/A>")
    assert "Traceback" not in ours(said)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_that_one_process_meets_ends_all(torchrun: Torchrun, cache_path: Path, tmp_path: Path, workers: int):
    broken = tmp_path / "cache"
    shutil.copytree(cache_path, broken)
    shutil.rmtree(broken / "01/arrays.zarr/label")
    process = torchrun.started(tmp_path / "run", "--cache", str(broken), "--set", f"train.loader_workers={workers}")
    status, said = runs.ended(process)
    assert status == 1
    assert "01/arrays.zarr/label/zarr.json: damaged" in said
    assert "Traceback" not in ours(said)
