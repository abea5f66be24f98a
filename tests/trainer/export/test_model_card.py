"""What an export says about itself."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.model_card import model_card
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.write import TARGETS
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig


def snippets(card: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card, flags=re.DOTALL)


@pytest.mark.parametrize("target", TARGETS)
def test_card_tells_where_the_weights_come_from(exported: Callable[[str], Path], encoder: SparseUNet, target: str):
    card = (exported(target) / "MODEL_CARD.md").read_text(encoding="utf-8")
    parameters = sum(p.numel() for p in encoder.parameters())
    for text in (
        f"{parameters:,} parameters; {encoder.config.out_channels} features per voxel of 0.5 m",
        "Dataset `fake`; sequences: 2, sweeps: 12",
        "Steps: 6, batches of 2 (pairs of sweeps), seed 0; finished",
        "torch 9.9",
        "| loss | 5.5000 |",  # 8 - step, steps 0 to 5; the torn last line does not count
        "steps (0 to 5)",
        "None: the run was not evaluated",
        "| z | mean z, metres | 0.33333334 |",
        "cubes of 0.5 m",
        "Weights inherit the terms",
        "voxel_size = 0.5",
    ):
        assert text in card, text


def test_card_of_an_unfinished_run_that_was_evaluated(run: TrainedRun):
    figures = {
        "options": {"labelled_sweeps": 6},
        "linear_probe": {"untrained": {"miou": 0.055}, "pre-trained": {"miou": 0.145}},
        "neighbour_probe": {"untrained": {"miou": 0.05}, "pre-trained": {"miou": 0.121}},
        "occupancy": {"decoder": {"accuracy": 0.7, "balanced": 0.724}},
    }
    card = model_card(
        replace(run, step=4, evaluation=figures, metrics=()), "native", Export("layout", "scaling", {}, "how")
    )
    assert "**unfinished**: checkpoint at step 4 of 6" in card
    assert "| linear probe, pre-trained: mIoU | 0.145 |" in card
    assert "| nearest neighbours, pre-trained: mIoU | 0.121 |" in card
    assert '`{"labelled_sweeps": 6}`' in card
    assert "| occupancy, decoder: balanced accuracy | 0.724 |" in card
    assert "no metrics.jsonl" in card


def test_snippet_of_the_native_export_runs(
    exported: Callable[[str], Path], config: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = exported("native")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    points = np.random.default_rng(0).uniform([-20, -20, -2, 0], [20, 20, 2, 1], (2000, 4)).astype(np.float32)
    points.tofile(tmp_path / "sweep.bin")
    monkeypatch.chdir(tmp_path)
    names: dict[str, np.ndarray] = {}
    (code,) = snippets((folder / "MODEL_CARD.md").read_text(encoding="utf-8"))
    exec(code, names)  # type: ignore[arg-type]
    assert names["features"].shape == (2000, config.model.out_channels)
    assert np.isfinite(names["features"]).all()


def test_batch_norm_is_stated_as_it_is(exported: Callable[[str], Path], encoder: SparseUNet):
    (used,) = {(m.eps, m.momentum) for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm1d)}
    stated = json.loads((exported("native") / "config.json").read_text(encoding="utf-8"))["batch_norm"]
    assert (stated["eps"], stated["momentum"]) == used
    network = (exported("pointcept") / "iscc_network.py").read_text(encoding="utf-8")
    (given,) = re.findall(r"^EPS, MOMENTUM = (.*)$", network, flags=re.MULTILINE)
    assert ast.literal_eval(given) == used


def test_input_is_stated_as_the_trainer_makes_it(exported: Callable[[str], Path], sweeps: list, config: PretrainConfig):
    stated = json.loads((exported("native") / "config.json").read_text(encoding="utf-8"))["input"]
    assert stated["voxel_size_m"] == config.model.voxel_size
    assert [f["name"] for f in stated["features"]] == ["x", "y", "z", "intensity"]
    times = np.array([f["times"] for f in stated["features"]], np.float32)
    np.testing.assert_array_equal(sweeps[0].xyz * times[:3], sweeps[0].feats[:, :3])
    cells = np.floor(sweeps[0].xyz / np.float32(stated["voxel_size_m"]))
    np.testing.assert_array_equal(cells - cells.min(axis=0), sweeps[0].coords)
