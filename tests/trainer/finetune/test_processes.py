"""``iscc-train finetune semseg`` as users start it: killed and resumed, and by two processes."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.trainer.finetune.encoder import find_encoder
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.run.checkpoint import checkpoint_step

import runs
from steps import finetune

TOLERANCE = 1e-4
"""Largest relative difference of a loss: rounding, and what it grows to."""


@pytest.fixture(scope="module")
def config(tuning: SemsegConfig) -> SemsegConfig:
    train = dataclasses.replace(tuning.train, steps=24, batch_size=2, freeze_fraction=0.5)
    labels = dataclasses.replace(tuning.labels, percent=100.0)
    return dataclasses.replace(tuning, train=train, labels=labels)


@pytest.fixture(scope="module")
def command(
    cache_path: Path, config: SemsegConfig, pretrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    recipe.write_text(to_toml(config), encoding="utf-8")
    options = ["--train-cache", str(cache_path), "--recipe", str(recipe), "--encoder", str(pretrained)]
    return [runs.ISCC_TRAIN, "finetune", "semseg", *options]


@pytest.fixture(scope="module")
def of_one(cache_path: Path, config: SemsegConfig, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    assert finetune(SemsegLearner, cache_path, out, config, find_encoder(pretrained))
    return out


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_bit_for_bit_the_same(command: list[str], of_one: Path, tmp_path: Path):
    out = tmp_path / "run"
    process = runs.started([*command, "--out", str(out)])
    runs.wait_until(lambda: (out / "resume.pt").exists(), process)
    os.kill(process.pid, signal.SIGKILL)
    runs.ended(process)
    assert 0 < checkpoint_step(out) < 24
    status, said = runs.ended(runs.started([*command, "--out", str(out), "--resume"]))
    assert status == 0, said
    for name in ("segmentation.safetensors", "metrics.jsonl", "labelled.txt"):
        assert (out / name).read_bytes() == (of_one / name).read_bytes()


@pytest.mark.slow
def test_two_processes_log_what_one_does(command: list[str], of_one: Path, tmp_path: Path):
    out = tmp_path / "run"
    status, said = runs.ended(runs.started([*runs.TORCHRUN, *command, "--out", str(out)]))
    assert status == 0, said
    assert "Warning" not in said
    pairs = list(zip(losses(out), losses(of_one), strict=True))
    assert len(pairs) == 24
    assert max(abs(a - b) / b for a, b in pairs) < TOLERANCE
