"""Jobs in real processes: order, what is done stays done, failures told, interruptions handed on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.reproduce import work
from iscc_lidar.trainer.reproduce.plan import Job
from iscc_lidar.trainer.reproduce.work import is_done, run_jobs

KEY = {"standard": "abc"}
FAKE = """
import pathlib, sys, time
out, log, words = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
with log.open("a") as file:
    file.write(out.name + "\\n")
if "draw" in words:
    print("\\rpretrain:   0%|  | 0/5\\rpretrain:  40%|##| 2/5", end="", flush=True)
    time.sleep(1)
if "fail" in words:
    sys.exit("no such luck")
out.write_text("done")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let jobs run a small script instead of iscc-train; returns the log of what was started."""
    (tmp_path / "fake.py").write_text(FAKE)
    real = subprocess.Popen

    def popen(command: list[str], **named):
        return real([sys.executable, str(tmp_path / "fake.py"), *command[3:]], **named)

    monkeypatch.setattr(work.subprocess, "Popen", popen)
    return tmp_path / "started.log"


def job(tmp_path: Path, log: Path, name: str, *words: str, needs: tuple[str, ...] = ()) -> Job:
    product = tmp_path / f"{name}.txt"
    return Job(name, (str(product), str(log), *words), product, "fake", needs)


def test_each_job_runs_once_after_what_it_needs(tmp_path: Path, fake: Path):
    jobs = [
        job(tmp_path, fake, "a"),
        job(tmp_path, fake, "b", needs=("a",)),
        job(tmp_path, fake, "c"),
        job(tmp_path, fake, "d", needs=("b", "c")),
    ]
    run_jobs(jobs, tmp_path / "out", KEY, parallel=2)
    order = [Path(line).stem for line in fake.read_text().split()]
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("a") < order.index("b") < order.index("d")
    run_jobs(jobs, tmp_path / "out", KEY, parallel=2)
    assert len(fake.read_text().split()) == 4


def test_other_arguments_other_input_or_a_lost_product_are_done_anew(tmp_path: Path, fake: Path):
    out = tmp_path / "out"
    first = job(tmp_path, fake, "a")
    run_jobs([first], out, KEY, 1)
    assert is_done(first, out, KEY)
    assert not is_done(job(tmp_path, fake, "a", "more"), out, KEY)
    assert not is_done(first, out, {"standard": "xyz"})
    first.product.unlink()
    assert not is_done(first, out, KEY)
    run_jobs([first], out, KEY, 1)
    assert first.product.exists()


def test_the_bar_says_where_the_jobs_bars_stand(
    tmp_path: Path, fake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(work, "_DRAW_EVERY_S", 0)
    run_jobs([job(tmp_path, fake, "a", "draw"), job(tmp_path, fake, "b")], tmp_path / "out", KEY, 1)
    said = capsys.readouterr().err
    assert "a 40%" in said
    assert "b 40%" not in said


def test_a_job_that_fails_is_named_with_what_it_said_and_the_others_stay_done(tmp_path: Path, fake: Path):
    jobs = [job(tmp_path, fake, "good"), job(tmp_path, fake, "bad", "fail", needs=("good",))]
    with pytest.raises(UserError, match=r"(?s)bad failed with status 1.*no such luck"):
        run_jobs(jobs, tmp_path / "out", KEY, 1)
    assert is_done(jobs[0], tmp_path / "out", KEY)
    assert not is_done(jobs[1], tmp_path / "out", KEY)


@pytest.fixture(scope="module")
def command(
    cache_path: Path, other_cache_path: Path, tiny_model: str, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """``iscc-train reproduce`` of two experiments whose jobs take seconds, but for ``--out``."""
    folder = tmp_path_factory.mktemp("preset")
    (folder / "tiny.toml").write_text(tiny_model + TINY_PRETRAIN)
    (folder / "tune.toml").write_text(tiny_model + TINY_TUNE)
    (folder / "preset.toml").write_text(
        f'experiments = ["scratch", "iscc"]\npercents = [20.0]\nseeds = [0]\njobs = 1\n'
        f'pretrain_recipes = ["{folder}/tiny.toml"]\nfinetune_recipes = ["{folder}/tune.toml"]\n'
    )
    return [
        *(sys.executable, "-m", "iscc_lidar.trainer", "reproduce", "--preset", str(folder / "preset.toml")),
        *("--cache", f"standard={cache_path}", "--test-cache", str(other_cache_path)),
    ]


@pytest.fixture(scope="module")
def uninterrupted(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves where nothing interrupts it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert subprocess.run([*command, "--out", str(out)], capture_output=True).returncode == 0
    return out


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_call_hands_the_signal_on_and_the_next_one_ends_like_an_uninterrupted_one(
    command: list[str], uninterrupted: Path, tmp_path: Path, number: signal.Signals
):
    process = subprocess.Popen([*command, "--out", str(tmp_path / "cut")], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "cut/pretrain/iscc/seed0/metrics.jsonl"
    end = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "saving and stopping pretrain/iscc/seed0" in said
    assert (tmp_path / "cut/pretrain/iscc/seed0/resume.pt").exists(), "the job was asked to save before it ended"
    assert not (tmp_path / "cut/results.csv").exists()
    assert subprocess.run([*command, "--out", str(tmp_path / "cut")], capture_output=True).returncode == 0
    assert (tmp_path / "cut/results.csv").read_text() == (uninterrupted / "results.csv").read_text()
    rows = (tmp_path / "cut/results.csv").read_text().splitlines()
    assert len(rows) == 3
    assert {row.split(",")[0] for row in rows[1:]} == {"scratch", "iscc"}
    assert "<svg" in (tmp_path / "cut/index.html").read_text()
    assert json.loads((tmp_path / "cut/config.json").read_text())["experiments"] == ["scratch", "iscc"]


TINY_PRETRAIN = """
[prototypes]
count = 10
buffer_size = 128

[train]
steps = 40
log_every = 1
checkpoint_every = 10
loader_workers = 0
device = "cpu"
"""
TINY_TUNE = """
[train]
steps = 4
loader_workers = 0
device = "cpu"
"""
