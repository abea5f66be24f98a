import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.cli import app
from iscc_lidar.trainer.engine.native import layers
from iscc_lidar.trainer.hardware import device
from iscc_lidar.trainer.pretrain import time_step
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.recipe import resolve_pretrain
from iscc_lidar.trainer.pretrain.time_step import relative_difference, time_training


class WithoutSigns:
    """The native engine with a fault."""

    sparse_tensor = staticmethod(layers.sparse_tensor)

    class SparseConv3d(layers.SparseConv3d):
        def forward(self, x: layers.SparseTensor) -> layers.SparseTensor:
            out = super().forward(x)
            return out.with_feats(out.feats.abs())


@pytest.fixture
def recipe(tiny_model: str, tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(f'{tiny_model}\n[train]\nloader_workers = 0\ndevice = "cpu"\n', encoding="utf-8")
    return path


@pytest.fixture
def small(recipe: Path) -> PretrainConfig:
    return resolve_pretrain([recipe])


def faulty_torchsparse(monkeypatch: pytest.MonkeyPatch) -> None:
    real = device.load_engine
    monkeypatch.setattr(
        device, "load_engine", lambda name, at: WithoutSigns() if name == "torchsparse" else real(name, at)
    )


def test_the_command_times_steps_and_engines(cache_path: Path, recipe: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "--cache", str(cache_path), "--recipe", str(recipe), "--steps", "2"])
    assert done.exit_code == 0, done.output
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["computes"].startswith("device cpu, engine native, precision fp32, processes 1; ")
    assert "s per step in one process; the first: " in lines["loading"]
    assert lines["outputs"] == "agree"
    assert lines["fastest"] == "native; train.engine=auto takes native"
    assert "with 0 loader processes" in lines["training"]
    assert "it needs a CUDA device" in lines["engine"]


def test_an_engine_that_differs_is_named_and_fails_the_command(
    cache_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty_torchsparse(monkeypatch)
    done = CliRunner().invoke(app, ["bench", "--cache", str(cache_path), "--recipe", str(recipe), "--steps", "1"])
    assert done.exit_code == 1
    assert "DIFFER by more than 0.0001: torchsparse" in done.stdout


def test_each_engine_is_compared_with_plain_pytorch(
    cache: Cache, small: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty_torchsparse(monkeypatch)
    times = time_training(cache, small, steps=2)
    plain, native, torchsparse = times.engines
    assert (plain.name, native.name, torchsparse.name) == ("plain PyTorch", "native", "torchsparse")
    assert plain.difference == 0
    assert native.difference < 1e-5
    assert torchsparse.difference > 1e-2
    assert times.disagreeing == ["torchsparse"]
    assert times.absent is None
    assert min(engine.step_s for engine in times.engines) > 0


def test_a_step_waits_for_a_slow_loader(cache: Cache, small: PretrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_s, step_batches = 0.2, time_step.step_batches

    def slow(*args):
        for step in step_batches(*args):
            time.sleep(slow_s)
            yield step

    monkeypatch.setattr(time_step, "step_batches", slow)
    times = time_training(cache, small, steps=3)
    assert times.load_s > slow_s
    assert slow_s < times.wait_s < times.step_s


def test_a_step_does_not_wait_for_batches_that_are_ready(
    cache: Cache, small: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_s, step_batches = 0.1, time_step.step_batches

    def ready(*args):
        step = next(step_batches(*args))
        for _ in range(4):
            yield step

    monkeypatch.setattr(time_step, "step_batches", ready)
    monkeypatch.setattr(time_step, "take_step", lambda *_: time.sleep(step_s))
    times = time_training(cache, small, steps=3)
    assert times.wait_s < step_s / 10
    assert times.step_s >= step_s


def test_micro_batches_and_methods_without_a_teacher_are_timed(cache: Cache, recipe: Path) -> None:
    config = resolve_pretrain([recipe], ["method.name=pointcontrast", "contrast.matches=50", "train.micro_batches=2"])
    times = time_training(cache, config, steps=1)
    assert times.step_s > 0


def test_differences_are_relative_to_the_largest_value() -> None:
    theirs = torch.tensor([1.0, -4.0])
    assert relative_difference(theirs + torch.tensor([0.0, 1.0]), theirs) == 0.25
