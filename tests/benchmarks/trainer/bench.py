"""Benchmarks of training: the native sparse engine, the loader, the training step, the detection score."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.engine.native.cpu_library import description
from iscc_lidar.trainer.hardware.device import pick_device
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig

from benchmarks.bench_file import add_figures
from benchmarks.trainer.average_precision import bench_average_precision
from benchmarks.trainer.matmul_floor import bench_engine
from benchmarks.trainer.step import bench_step
from synthetic_voxels import synthetic_voxels

_KITTI_VAL_FRAMES: Final = 3769


def bench_training(out: Path, config: PretrainConfig, cache: Path | str, steps: int) -> None:
    """Measure all of it, print tables and add the figures to bench.json.

    Args:
        out: folder of bench.json.
        config: of the loader and the step; the engine is measured on its model.
        cache: whose sweeps the step takes.
        steps: timed steps after one to warm up.
    """
    engine = _engine(config.model)
    _show(f"engine: one training pass of the U-Net, 2 synthetic sweeps (on a CPU: {description()})", engine)
    add_figures(out, "engine", engine)
    training = bench_step(config, Cache(cache), steps)
    _show(f"training: a step of {config.train.batch_size} pairs of {cache}", training)
    add_figures(out, "training", training)
    scored = bench_average_precision(_KITTI_VAL_FRAMES)
    _show("detection score: 10 labels and 24 detections per frame, random", scored)
    add_figures(out, "average_precision", scored)


def _engine(model: ModelConfig) -> dict[str, float]:
    voxels = synthetic_voxels().to(pick_device("auto"))
    network = SparseUNet(model).to(voxels.device)
    return bench_engine(network, voxels, model.in_channels)


def _show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:<28}{value:>14,.3f}")
