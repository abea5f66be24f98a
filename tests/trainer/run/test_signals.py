"""Signals to a run: within this process, and to the real command with a loader process."""

import contextlib
import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run import loop, stop_signal
from iscc_lidar.trainer.run.checkpoint import checkpoint_step
from iscc_lidar.trainer.run.stop_signal import StoppedError

import runs

STEPS = 12
CUT_SHORT = -signal.SIGKILL


@pytest.fixture(scope="module")
def whole(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert pretrain([cache_path], out, tiny)
    return out


def signal_during(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: int) -> None:
    """Let this process be signalled while it takes a step."""
    real = loop.take_step

    def step_taken(learner, state, *rest):
        number_of_step = state.step
        figures = real(learner, state, *rest)
        for number in numbers if number_of_step == step else ():
            os.kill(os.getpid(), number)
        return figures

    monkeypatch.setattr(loop, "take_step", step_taken)


@pytest.mark.parametrize(
    ("step", "number", "status"), [(0, signal.SIGTERM, 143), (1, signal.SIGINT, 130), (4, signal.SIGTERM, 143)]
)
def test_a_signal_saves_the_step_and_the_resumed_run_is_the_same(
    cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path, monkeypatch, step: int, number, status
):
    with monkeypatch.context() as patch:
        signal_during(patch, step, number)
        with pytest.raises(StoppedError, match=rf"step {step + 1} is saved, --resume") as stop:
            pretrain([cache_path], tmp_path / "run", tiny)
    assert stop.value.exit_status == status
    assert checkpoint_step(tmp_path / "run") == step + 1
    assert pretrain([cache_path], tmp_path / "run", tiny, resume=True)
    assert runs.differences(tmp_path / "run", whole) == []


def test_a_signal_during_the_last_step_finishes_the_run(
    cache_path: Path, tiny: IsccConfig, whole: Path, tmp_path: Path, monkeypatch
):
    signal_during(monkeypatch, tiny.train.steps - 1, signal.SIGTERM)
    assert pretrain([cache_path], tmp_path / "run", tiny)
    assert runs.differences(tmp_path / "run", whole) == []


def test_a_second_ctrl_c_does_not_wait_for_the_step(cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch):
    signal_during(monkeypatch, 4, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        pretrain([cache_path], tmp_path / "run", tiny)
    assert checkpoint_step(tmp_path / "run") == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Command:
    """The real ``iscc-train pretrain`` on a run of twelve steps."""

    def __init__(self, cache: Path, recipe: Path) -> None:
        self.start = [runs.ISCC_TRAIN, "pretrain", "--cache", str(cache), "--recipe", str(recipe), "--resume"]

    def started(self, out: Path):
        return runs.started([*self.start, "--out", str(out)])

    def finished(self, out: Path) -> Path:
        status, said = runs.ended(self.started(out))
        assert status == 0, said
        return out


@pytest.fixture(scope="module")
def command(cache_path: Path, tiny: IsccConfig, tmp_path_factory: pytest.TempPathFactory) -> Command:
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, steps=STEPS, loader_workers=1))
    recipe.write_text(to_toml(config), encoding="utf-8")
    return Command(cache_path, recipe)


@pytest.fixture(scope="module")
def whole_of_command(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return command.finished(tmp_path_factory.mktemp("runs") / "command")


def all_started(pid: int) -> bool:
    """Whether the loader process is there, if not yet ready: the run, torch's helper for it, and itself."""
    return len(runs.family(pid)) >= 3


def signalled(command: Command, out: Path, when: Callable[[int], bool], tell: Callable[[int], None]) -> tuple[int, str]:
    """Start the command, signal it, and see that it and its processes end. Exit status and what was said."""
    process = command.started(out)
    runs.wait_until(lambda: when(process.pid), process)
    family = runs.family(process.pid)
    tell(process.pid)
    status, said = runs.ended(process)
    assert runs.outlived(family, 15) == []
    return status, said


def to_all(number: int) -> Callable[[int], None]:
    return lambda pid: os.killpg(pid, number)


def to_one(number: int) -> Callable[[int], None]:
    return lambda pid: os.kill(pid, number)


def test_sigterm_to_all_processes_while_the_loader_starts(command: Command, cache_path: Path, tmp_path: Path):
    """The earliest that a machine's shutdown can come: the loader process has not even imported torch."""
    status, said = signalled(command, tmp_path / "run", all_started, to_all(signal.SIGTERM))
    assert status == 143, said
    assert "stopped by SIGTERM: step 1 is saved, --resume continues from it" in said
    assert "Traceback" not in said
    assert checkpoint_step(tmp_path / "run") == 1
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to", [to_all, to_one])
@pytest.mark.parametrize("early", [True, False])
def test_signals_to_the_command(command: Command, whole_of_command: Path, tmp_path: Path, number, to, early):
    out = tmp_path / "run"
    status, said = signalled(command, out, all_started if early else lambda _: runs.lines(out) > 1, to(number))
    assert status == 128 + number, said
    assert f"stopped by {number.name}: step {checkpoint_step(out)} is saved" in said
    assert "Traceback" not in said
    assert runs.differences(command.finished(out), whole_of_command) == []


@pytest.mark.slow
def test_a_second_ctrl_c_to_the_command(command: Command, whole_of_command: Path, tmp_path: Path):
    out = tmp_path / "run"

    def twice(pid: int) -> None:
        for _ in range(2):
            os.killpg(pid, signal.SIGINT)
            time.sleep(0.03)

    status, said = signalled(command, out, lambda _: runs.lines(out) > 4, twice)
    assert status == 130
    assert "Traceback" not in said
    assert runs.differences(command.finished(out), whole_of_command) == []


@pytest.mark.slow
def test_the_command_killed_at_random_moments(command: Command, whole_of_command: Path, tmp_path: Path):
    out, rng = tmp_path / "run", random.Random(0)
    ends = [killed(command, out, rng.randrange(STEPS), rng.uniform(0, 0.3)) for _ in range(8)]
    print(f"random kills: {ends.count(CUT_SHORT)}")
    assert ends.count(CUT_SHORT) > 3
    assert runs.differences(command.finished(out), whole_of_command) == []


def killed(command: Command, out: Path, lines: int, later_s: float) -> int:
    """Kill the command once its log has some lines, and see that nothing of it goes on. Its exit status."""
    process = command.started(out)
    with contextlib.suppress(AssertionError):  # it was finished before
        runs.wait_until(lambda: runs.lines(out) >= lines and all_started(process.pid), process)
        time.sleep(later_s)
    family = runs.family(process.pid)
    process.kill()
    status, _ = runs.ended(process)
    assert runs.outlived(family, 30) == []
    return status


@pytest.mark.slow
@pytest.mark.parametrize("later_s", [0.2, 0.6, 1.0, 1.5, 2.0, 3.0])
def test_a_loader_process_does_not_outlive_a_run_that_is_killed_while_it_starts(
    command: Command, tmp_path: Path, later_s: float
):
    assert killed(command, tmp_path / "run", 0, later_s) == CUT_SHORT


@pytest.mark.slow
def test_a_loader_process_that_is_killed_ends_the_run_plainly(command: Command, whole_of_command: Path, tmp_path: Path):
    out = tmp_path / "run"
    kill_the_youngest = lambda pid: os.kill(runs.family(pid)[-1], signal.SIGKILL)  # noqa: E731
    status, said = signalled(command, out, lambda _: runs.lines(out) > 1, kill_the_youngest)
    assert status == 1
    assert "error: a loader worker process has ended" in said
    assert "train.loader_workers" in said
    assert "Traceback" not in said
    assert runs.differences(command.finished(out), whole_of_command) == []


@pytest.mark.parametrize(("processes", "ignored"), [(1, False), (2, True)])
def test_a_process_of_several_that_fails_still_prints_why(monkeypatch, processes: int, ignored: bool):
    """Torchrun ends it with SIGTERM as soon as another one has ended."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(stop_signal, "world_size", lambda: processes)
    try:
        with pytest.raises(RuntimeError, match="why"), stop_signal.stop_requests():
            raise RuntimeError("why")
        assert signal.getsignal(signal.SIGTERM) == (signal.SIG_IGN if ignored else before)
    finally:
        signal.signal(signal.SIGTERM, before)
