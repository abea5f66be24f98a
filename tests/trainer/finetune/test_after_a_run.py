"""Dry run, report and export of fine-tuned runs, through the commands."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.export.write import TARGETS
from iscc_lidar.trainer.finetune.encoder import find_encoder
from iscc_lidar.trainer.finetune.learner import FinetuneLearner
from iscc_lidar.trainer.finetune.score import score_run
from iscc_lidar.trainer.finetune.tasks import TASKS
from iscc_lidar.trainer.run.loop import train

from exports import read_back, read_model

TITLES = {"semseg": "semantic segmentation", "detection": "3-D detection"}


@dataclass(frozen=True)
class Tuned:
    """A finished run, and what it was made of."""

    job: Any
    encoder: Path
    learner: FinetuneLearner
    out: Path


def invoke(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def tuned(job: Any, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Long enough to be judged; from a pre-trained encoder, on half of the labels."""
    config = replace(
        job.config,
        train=replace(job.config.train, steps=20, head_learning_rate=2e-3),
        labels=replace(job.config.labels, percent=50.0),
    )
    out = tmp_path_factory.mktemp("runs") / job.name
    learner = replace(job, config=config).learner(find_encoder(pretrained))
    assert train(learner, out)
    return Tuned(job, pretrained, learner, out)


@pytest.mark.parametrize("from_encoder", [False, True])
def test_a_dry_run_tells_what_the_run_would_be_and_writes_nothing(
    job: Any, pretrained: Path, tmp_path: Path, from_encoder: bool
):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(job.config), encoding="utf-8")
    call = ["finetune", job.name, "--train-cache", job.cache, "--out", tmp_path / "run", "--recipe", recipe]
    before = {path: path.read_bytes() for path in pretrained.iterdir() if path.is_file()}
    said = invoke(*call, *(["--encoder", pretrained] if from_encoder else []), "--dry-run")
    sweeps = {"semseg": 12, "detection": 6}[job.name]
    epochs = {"semseg": "1.3", "detection": "2.7"}[job.name]
    assert re.search(rf"{sweeps} labelled sweeps of {sweeps}; 8 steps of 2 are {epochs} epochs", said)
    starts = ["data", "network", "compute", "batch", "memory", "a step", "the run"]
    lines = [line for line in said.splitlines() if not line.startswith(str(pretrained))]  # options of the encoder's
    assert [line[:11].strip() for line in lines] == starts
    assert re.search(r"batch +[\d,]+ voxels; the largest [\d,]+ voxels", said)
    assert re.search(r"the run +8 steps from 0, about \d+ minutes", said)
    assert not (tmp_path / "run").exists()
    assert {path: path.read_bytes() for path in pretrained.iterdir() if path.is_file()} == before
    network = next(line for line in said.splitlines() if line.startswith("network"))
    encoder = sum(t.numel() for k, t in load_file(pretrained / "encoder.safetensors").items() if "running" not in k)
    assert not from_encoder or f"{encoder / 1e6:.2f} M of them in the encoder" in network


def test_a_dry_run_says_where_a_run_would_go_on_and_leaves_it_alone(tuned: Tuned):
    before = {path: path.read_bytes() for path in tuned.out.iterdir() if path.is_file()}
    config = ["--recipe", tuned.out / "config.toml", "--encoder", tuned.encoder]
    call = ["finetune", tuned.job.name, "--train-cache", tuned.job.cache, "--out", tuned.out, *config, "--dry-run"]
    assert "0 steps from 20" in invoke(*call, "--resume")
    assert "20 steps from 0" in invoke(*call, "--overwrite")
    assert {path: path.read_bytes() for path in tuned.out.iterdir() if path.is_file()} == before


def test_the_report_shows_what_there_is(tuned: Tuned, tmp_path: Path):
    page = tmp_path / "report.html"
    invoke("report", tuned.out, "--out", page)
    source = page.read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', source)[:2] == ["health", "curves"]
    losses = {"semseg": ["Loss cross entropy", "Accuracy"], "detection": ["Loss heat", "Loss box"]}[tuned.job.name]
    for expected in (
        f"Fine-tuned for {TITLES[tuned.job.name]}",
        "of 20 steps",
        "All 20 steps are done and saved",
        "Loss falls",
        *losses,
        "Gradient norm",
        "Learning rate",
        str(tuned.encoder),
        "train.freeze_fraction",
    ):
        assert expected in source, expected
    for absent in ("Prototypes", "Occupancy", "Teacher momentum", "InfoNCE", "pairs of sweeps", "Pre-trained by"):
        assert absent not in source, absent
    done = CliRunner().invoke(app, ["report", str(tuned.out), str(tuned.encoder), "--out", str(tmp_path / "two.html")])
    assert done.exit_code == 1
    assert not (tmp_path / "two.html").exists()
    assert "compare runs of one task" in done.output


def test_the_report_compares_fine_tuned_runs(tuned: Tuned, tmp_path: Path):
    other = Path(shutil.copytree(tuned.out, tmp_path / "other"))
    score_run(TASKS[tuned.job.name], tuned.out, tuned.job.cache)
    score_run(TASKS[tuned.job.name], other, tuned.job.cache)
    scores = other / TASKS[tuned.job.name].score_file
    content = json.loads(scores.read_text())
    (content["ap_r11"]["3d"]["Car"] if "ap_r11" in content else content).update(miou=0.1234, easy=12.34)
    scores.write_text(json.dumps(content))
    invoke("report", tuned.out, other, "--out", tmp_path / "two.html")
    source = (tmp_path / "two.html").read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', source) == ["runs", "scores", "curves", "differences"]
    for expected in (f"fine-tuned for {TITLES[tuned.job.name]}", ">12.3<", "Learning rate: encoder"):
        assert expected in source, expected
    assert source.count('<table class="scores">') >= 2
    invoke("report", other, "--out", tmp_path / "one.html")
    assert ">12.3<" in (tmp_path / "one.html").read_text(encoding="utf-8")


def test_runs_of_other_classes_are_not_compared(tuned: Tuned, tmp_path: Path):
    other = Path(shutil.copytree(tuned.out, tmp_path / "other"))
    config, recipe = (other / name for name in ("config.json", "config.toml"))
    config.write_text(config.read_text().replace('"wall"', '"hedge"'))
    recipe.write_text(recipe.read_text().replace('"Car"', '"Hedge"'))
    done = CliRunner().invoke(app, ["report", str(tuned.out), str(other), "--out", str(tmp_path / "two.html")])
    assert done.exit_code == 1
    assert "compare runs of the same classes" in done.output
    assert "hedge" in done.output.lower()


def test_the_command_in_the_report_makes_the_same_run_again(tuned: Tuned, tmp_path: Path):
    invoke("report", tuned.out, "--out", tmp_path / "report.html")
    (command,) = re.findall(r"<h3>Again</h3><pre>(.*?)</pre>", (tmp_path / "report.html").read_text(), re.DOTALL)
    words = shlex.split(html.unescape(command).replace("\\\n", " "))
    assert words[:3] == ["iscc-train", "finetune", tuned.job.name]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    invoke(*words[1:], "--set", "train.device=cpu", "--set", "train.loader_workers=0", "--set", "train.log_every=1")
    for name in (tuned.learner.network_file, "labelled.txt", "metrics.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tuned.out / name).read_bytes(), name


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_holds_the_encoder_of_the_network(tuned: Tuned, tmp_path: Path, target: str):
    out = tmp_path / target
    invoke("export", tuned.out, "--to", target, "--out", out)
    network = load_file(tuned.out / tuned.learner.network_file)
    wanted = {k.removeprefix("encoder."): t for k, t in network.items() if k.startswith("encoder.")}
    found = read_back(out, target)
    assert found.keys() == wanted.keys()
    assert {name for name, tensor in wanted.items() if not torch.equal(found[name], tensor)} == set()
    assert read_model(out) == tuned.learner.config.model
    before = load_file(tuned.encoder / "encoder.safetensors")
    assert any(not torch.equal(found[name], tensor) for name, tensor in before.items())  # it was trained
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    for expected in (
        f"fine-tuned for {TITLES[tuned.job.name]}, for {target}",
        f"starting from the backbone: {tuned.encoder}",
        f"Labels of {len(tuned.learner.places)} sweeps.",
        "Steps: 20, batches of 2 (labelled sweeps), seed 0; finished",
        "without the head that it was fine-tuned with, which is not part of the export",
        "[labels]",
    ):
        assert expected in card, expected
    assert "Teacher" not in card


def test_the_native_export_is_read_as_its_card_says(tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    invoke("export", tuned.out, "--to", "native", "--out", tmp_path / "native")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "native/MODEL_CARD.md").read_text(), flags=re.DOTALL)
    points = np.random.default_rng(0).uniform([2, -20, -2, 0], [20, 20, 1, 1], (2000, 4)).astype(np.float32)
    points[:100, 0] = 1000.0  # out of range
    points.tofile(tmp_path / "native/sweep.bin")
    monkeypatch.chdir(tmp_path / "native")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["features"].shape == (1900, tuned.learner.config.model.out_channels)
    assert np.isfinite(names["features"]).all()


def test_an_exported_encoder_starts_another_fine_tuning(tuned: Tuned, tmp_path: Path):
    invoke("export", tuned.out, "--to", "native", "--out", tmp_path / "native")
    encoder = find_encoder(tmp_path / "native/encoder.safetensors")
    config = replace(tuned.job.config, train=replace(tuned.job.config.train, steps=1))
    assert train(replace(tuned.job, config=config).learner(encoder), tmp_path / "run")
