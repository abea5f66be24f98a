"""One process at a time trains into a folder: tried with real ones."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store import claims
from iscc_lidar.shared.store.owner import ClaimedError, this_process, to_json
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run import loop
from iscc_lidar.trainer.run.checkpoint import checkpoint_step

import runs


@pytest.fixture(scope="module")
def command(cache_path: Path, tiny_recipe: Path) -> list[str]:
    options = ["--cache", str(cache_path), "--recipe", str(tiny_recipe), "--set", "train.steps=12"]
    return [runs.ISCC_TRAIN, "pretrain", *options]


@pytest.fixture(scope="module")
def undisturbed(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    status, said = runs.ended(runs.started([*command, "--out", str(out)]))
    assert status == 0, said
    return out


def test_a_second_process_is_refused_whatever_its_options_and_changes_nothing(
    command: list[str], undisturbed: Path, tmp_path: Path
):
    out = tmp_path / "run"
    first = runs.started([*command, "--out", str(out)])
    runs.wait_until(lambda: (out / "resume.pt").exists(), first)
    os.kill(first.pid, signal.SIGSTOP)  # slow is not dead
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert ".owner" in before
    others = [runs.started([*command, "--out", str(out), *more]) for more in ([], ["--resume"], ["--overwrite"])]
    ends = [runs.ended(other) for other in others]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    os.kill(first.pid, signal.SIGCONT)
    assert runs.ended(first)[0] == 0
    wanted = f"error: {out}: process {first.pid} on {socket.gethostname()} writes there; wait for its end, or stop it\n"
    assert ends == [(1, wanted)] * 3
    assert runs.differences(out, undisturbed) == []


def test_a_killed_process_does_not_hinder_the_one_that_resumes(command: list[str], undisturbed: Path, tmp_path: Path):
    out = tmp_path / "run"
    first = runs.started([*command, "--out", str(out)])
    runs.wait_until(lambda: (out / "resume.pt").exists(), first)
    os.kill(first.pid, signal.SIGKILL)
    assert runs.ended(first)[0] == -signal.SIGKILL
    assert (out / ".owner").exists()
    assert json.loads((out / ".owner").read_text())["pid"] == first.pid
    assert 0 < checkpoint_step(out) < 12
    status, said = runs.ended(runs.started([*command, "--out", str(out), "--resume"]))
    assert status == 0, said
    assert runs.differences(out, undisturbed) == []


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.2)
    monkeypatch.setattr(claims, "DEAD_AFTER_S", 2.0)


def short(config: IsccConfig) -> IsccConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=1))


def elsewhere(beat: int) -> str:
    """A claim as process 7 of another host writes it."""
    written = json.loads(to_json(this_process(), token="a", beat=beat))
    return json.dumps(written | {"host": "elsewhere", "machine": "another", "pid": 7})


@pytest.mark.usefixtures("fast")
def test_a_process_on_another_host_that_stopped_beating_is_taken_over(
    cache_path: Path, tiny: IsccConfig, tmp_path: Path
):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".owner").write_text(elsewhere(0))
    before = time.monotonic()
    assert pretrain([cache_path], out, short(tiny))
    assert time.monotonic() - before >= 2
    assert {path.name for path in out.iterdir()} == runs.FILES


@pytest.mark.usefixtures("fast")
def test_a_process_on_another_host_is_named_while_it_beats(
    cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".owner").write_text(elsewhere(0))
    monkeypatch.setattr(time, "sleep", lambda _: (out / ".owner").write_text(elsewhere(time.time_ns())))
    with pytest.raises(ClaimedError, match="process 7 on elsewhere writes there"):
        pretrain([cache_path], out, short(tiny))
    assert [path.name for path in out.iterdir()] == [".owner"]


def test_a_run_whose_folder_was_taken_over_saves_nothing_there(
    cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As one that stood still for minutes: the checkpoint there is that of another process."""
    out, real = tmp_path / "run", loop.take_step

    def taken_over(learner, state, *rest):
        if state.step == 4:
            (out / ".owner").write_text(elsewhere(0))
            for name in runs.FILES - {"metrics.jsonl"}:
                (out / name).write_text("of another process")
        return real(learner, state, *rest)

    monkeypatch.setattr(loop, "take_step", taken_over)
    with pytest.raises(UserError, match="another took over its work"):
        pretrain([cache_path], out, tiny)
    assert {(out / name).read_text() for name in runs.FILES - {"metrics.jsonl"}} == {"of another process"}
    assert json.loads((out / ".owner").read_text())["host"] == "elsewhere"


def test_a_folder_that_is_not_a_run_is_not_claimed(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    before = tmp_path.stat().st_mtime_ns
    for overwrite in (False, True):
        with pytest.raises(UserError, match="not a run of this program"):
            pretrain([cache_path], tmp_path, tiny, overwrite=overwrite)
    assert tmp_path.stat().st_mtime_ns == before


def test_the_claim_ends_with_the_run_also_on_an_error(
    cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop, "take_step", lambda *_: 1 / 0)
    with contextlib.suppress(ZeroDivisionError):
        pretrain([cache_path], tmp_path / "run", tiny)
    assert not list((tmp_path / "run").glob(".*"))
