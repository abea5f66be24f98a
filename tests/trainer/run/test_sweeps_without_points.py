"""Sweeps with too few points to train on are replaced, counted, and never end a run, whatever the task and method."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from iscc_lidar.shared.base.config import resolve, to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.dataset import SweepDataset
from iscc_lidar.trainer.data.pairs import SampleKey
from iscc_lidar.trainer.evaluation.evaluate import EvaluationConfig, evaluate
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.samples import BoxDataset, collate
from iscc_lidar.trainer.finetune.semseg.config import SemsegConfig
from iscc_lidar.trainer.finetune.semseg.learner import SemsegLearner
from iscc_lidar.trainer.finetune.semseg.samples import LabelledDataset
from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
from iscc_lidar.trainer.pretrain.method import method_names
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain
from iscc_lidar.trainer.report.report import ReportConfig, write_report
from iscc_lidar.trainer.run.loop import train

import runs
from steps import KilledError, die_in_step

SMALL = ["train.steps=6", "train.batch_size=1", "train.loader_workers=0", "train.device=cpu", "train.log_every=1"]
MODEL = ["model.voxel_size=0.5", "model.stem_width=8", "model.encoder_widths=[8,8]", "model.decoder_widths=[8,8]"]
GRID = ["grid.x_min_m=-25.6", "grid.x_max_m=25.6", "grid.y_min_m=-25.6", "grid.y_max_m=25.6", "head.width=8"]


def counted(out: Path) -> list[float | None]:
    return [json.loads(line).get("sweeps_left_out") for line in (out / "metrics.jsonl").read_text().splitlines()]


def semseg(cache: Cache, places: list[tuple[str, int]]) -> LabelledDataset:
    return LabelledDataset(cache, places, resolve(SemsegConfig, None, [*SMALL, *MODEL]))


def detection(cache: Cache, places: list[tuple[str, int]]) -> BoxDataset:
    config = resolve(DetectionConfig, None, [*SMALL, *MODEL, *GRID, "paste.fill_to=[0,0,0]"])
    return BoxDataset(cache, places, places, config)


@pytest.mark.parametrize("method", method_names())
def test_every_method_trains(sparse_path: Path, tiny_recipe: Path, tmp_path: Path, method: str):
    config = resolve_pretrain([tiny_recipe], [f"method.name={method}", *SMALL, "train.steps=12"])
    assert train(PretrainLearner([Cache(sparse_path)], config), tmp_path / "run")
    found = counted(tmp_path / "run")
    assert found[-1] is not None
    assert found[-1] >= 2  # three points may lie far enough apart
    assert [value or 0 for value in found] == sorted(value or 0 for value in found)


def test_segmentation_trains(sparse_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    places = [(sequence, index) for sequence in ("00", "01") for index in range(6)]
    config = resolve(SemsegConfig, None, [*SMALL, *MODEL])
    assert train(SemsegLearner(Cache(sparse_path), places, config), tmp_path / "run")
    assert (counted(tmp_path / "run")[-1] or 0) > 0
    assert re.search(r"too few points to train on, others are taken instead: 0\d/[14]", capfd.readouterr().err)


def test_detection_makes_samples(sparse_path: Path):
    dataset = detection(Cache(sparse_path), [("00", index) for index in range(6)])
    samples = [dataset[SampleKey(0, place)] for place in range(3)]
    assert [sample.left_out for sample in samples] == [(), ("00/1",), ()]
    assert collate(samples).left_out == ("00/1",)


@pytest.mark.parametrize("make", [semseg, detection])
def test_no_sweep_with_points_is_an_error(empty_path: Path, make: Callable[..., SweepDataset[Any, Any]]):
    dataset = make(Cache(empty_path), [("00", index) for index in range(3)])
    with pytest.raises(UserError, match="no sweep has enough points to train on"):
        dataset[SampleKey(0, 1)]


def test_a_run_on_empty_sweeps_ends_with_a_line(empty_path: Path, tiny: IsccConfig, tmp_path: Path):
    with pytest.raises(UserError, match="no sweep has enough points to train on"):
        pretrain([empty_path], tmp_path / "run", tiny)


def test_a_resumed_run_counts_on(sparse_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert pretrain([sparse_path], tmp_path / "whole", tiny)
    with monkeypatch.context() as patch:
        die_in_step(patch, 5)
        with pytest.raises(KilledError):
            pretrain([sparse_path], tmp_path / "run", tiny)
    assert pretrain([sparse_path], tmp_path / "run", tiny, resume=True)
    assert runs.differences(tmp_path / "run", tmp_path / "whole") == []
    assert torch.load(tmp_path / "run/resume.pt", weights_only=True)["left_out"] == counted(tmp_path / "whole")[-1]


def test_sound_sweeps_are_not_counted(cache_path: Path, tiny: IsccConfig, tmp_path: Path):
    assert pretrain([cache_path], tmp_path / "run", tiny)
    assert set(counted(tmp_path / "run")) == {None}
    assert "left_out" not in torch.load(tmp_path / "run/resume.pt", weights_only=True)


@pytest.mark.slow
def test_two_processes_stay_in_step(sparse_path: Path, tiny: IsccConfig, tmp_path: Path):
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, batch_size=4, steps=6))
    assert pretrain([sparse_path], tmp_path / "one", config)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml(config), encoding="utf-8")
    command = [*runs.TORCHRUN, runs.ISCC_TRAIN, "pretrain", "--cache", str(sparse_path), "--recipe", str(recipe)]
    status, said = runs.ended(runs.started([*command, "--out", str(tmp_path / "two")]))
    assert status == 0, said
    assert counted(tmp_path / "two") == counted(tmp_path / "one")


def test_evaluation_and_report_take_such_sweeps(sparse_path: Path, tiny: IsccConfig, tmp_path: Path):
    assert pretrain([sparse_path], tmp_path / "run", tiny)
    config = EvaluationConfig(labelled_sweeps=0)
    result = evaluate(tmp_path / "run", sparse_path, sparse_path, config, tmp_path / "evaluation.json")
    assert 0 < result["linear_probe"]["pre-trained"]["miou"] <= 1
    write_report(tmp_path / "run", None, tmp_path / "report.html", ReportConfig(sweeps=0, drawn=12))
    assert "Sweeps left out" in (tmp_path / "report.html").read_text()
