"""What ``iscc-train bench`` measures: the sparse engine, the loader, the training step, the score of detection."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from iscc_lidar.shared.base.bench_file import add_figures
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.benchmarks.average_precision import bench_average_precision
from iscc_lidar.trainer.benchmarks.matmul_floor import bench_engine, synthetic_voxels
from iscc_lidar.trainer.benchmarks.step import bench_step
from iscc_lidar.trainer.engine.native.cpu_library import description
from iscc_lidar.trainer.hardware.device import pick_device
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig

_KITTI_VAL_FRAMES: Final = 3769


def bench_training(out: Path, config: PretrainConfig, cache: Path | str, steps: int) -> None:
    """Measure, print tables and add the figures to bench.json.

    Args:
        out: folder of bench.json.
        config: of the loader and the step; the engine is measured with its model.
        cache: where the step's sweeps come from.
        steps: timed steps after one to warm up.
    """
    engine = _engine(config.model)
    _show(f"engine: one training pass of the U-Net, 2 made-up sweeps (on a CPU: {description()})", engine)
    add_figures(out, "engine", engine)
    training = bench_step(config, Cache(cache), steps)
    _show(f"training: a step of {config.train.batch_size} pairs of {cache}", training)
    add_figures(out, "training", training)
    scored = bench_average_precision(_KITTI_VAL_FRAMES)
    _show("score of detection: 10 labels and 24 detections a frame, made up", scored)
    add_figures(out, "average_precision", scored)


def _engine(model: ModelConfig) -> dict[str, float]:
    voxels = synthetic_voxels().to(pick_device("auto"))
    network = SparseUNet(model).to(voxels.device)
    return bench_engine(network, voxels, model.in_channels)


def _show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:<28}{value:>14,.3f}")
