"""A run as pre-training leaves it, made without training: random weights, and batch norms that have seen something."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.config import to_dict, to_toml
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.voxelize import Voxels
from iscc_lidar.trainer.evaluation.frozen import voxelize_sweep
from iscc_lidar.trainer.export.source import TrainedRun, read_run
from iscc_lidar.trainer.export.write import export
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig

STEPS = 6


def random_encoder(config: PretrainConfig) -> SparseUNet:
    torch.manual_seed(3)
    encoder = SparseUNet(config.model)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return encoder


@pytest.fixture(scope="session")
def config(tiny: IsccConfig) -> PretrainConfig:
    """Stages whose width changes and one whose width does not, two blocks each, two levels joined."""
    model = replace(tiny.model, stem_width=8, encoder_widths=(8, 16), decoder_widths=(16, 8), blocks=2, out_levels=2)
    return replace(tiny, model=model, train=replace(tiny.train, steps=STEPS))


@pytest.fixture(scope="session")
def make_run(config: PretrainConfig, cache_path: Path) -> Callable[[Path], Path]:
    """A function that writes the run's folder."""

    def make(path: Path) -> Path:
        path.mkdir(parents=True)
        digest = files.sha256(cache_path / "manifest.json")
        read = {"cache": str(cache_path), "cache_manifest_sha256": digest}
        provenance = read | {"task": "pretrain", "steps": STEPS, "versions": {"torch": "9.9"}}
        (path / "config.toml").write_text(to_toml(config), encoding="utf-8")
        (path / "config.json").write_text(json.dumps(to_dict(config) | {"provenance": provenance}), encoding="utf-8")
        about = {"iscc_lidar": json.dumps({"step": STEPS, "model": to_dict(config.model)})}
        weights = {k: v.contiguous() for k, v in random_encoder(config).state_dict().items()}
        (path / "encoder.safetensors").write_bytes(safetensors.torch.save(weights, about))
        rows = [{"step": step, "loss": 8.0 - step, "loss_local": 2.0, "groups": 5.0} for step in range(STEPS)]
        (path / "metrics.jsonl").write_text(
            "".join(json.dumps(r) + "\n" for r in rows) + '{"step": 6', encoding="utf-8"
        )
        return path

    return make


@pytest.fixture(scope="session")
def run_path(make_run: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return make_run(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="session")
def run(run_path: Path) -> TrainedRun:
    return read_run(run_path)


@pytest.fixture(scope="session")
def exported(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives the folder of a target's export. Read only."""
    folder = tmp_path_factory.mktemp("exports")

    def folder_of(target: str) -> Path:
        return folder / target if (folder / target).exists() else export(run_path, target, folder / target)

    return folder_of


@pytest.fixture
def encoder(config: PretrainConfig) -> SparseUNet:
    return random_encoder(config).eval()


@pytest.fixture(scope="session")
def sweeps(cache: Cache, config: PretrainConfig) -> list[Voxels]:
    """Two sweeps, voxelised."""
    return [voxelize_sweep(cache.sweep("00", 0), config), voxelize_sweep(cache.sweep("01", 3), config)]
