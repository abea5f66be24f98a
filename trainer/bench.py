"""What ``iscc-train bench`` measures: the sparse engine, the loader and the training step."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from iscc_lidar.shared.bench_file import add_figures
from iscc_lidar.shared.cache_reader import Cache, use_fast_codecs
from iscc_lidar.trainer.checkpoint import new_state
from iscc_lidar.trainer.config import PretrainConfig
from iscc_lidar.trainer.data.batch import Batch, collate
from iscc_lidar.trainer.data.dataset import PairDataset
from iscc_lidar.trainer.data.pairs import keys_of_step
from iscc_lidar.trainer.engine.bench import bench_engine, synthetic_voxels
from iscc_lidar.trainer.hardware.compute import choose_compute, pick_device
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.train_step import train_step


def bench_training(out: Path, config: PretrainConfig, cache: Path, steps: int) -> None:
    """Measure, print tables and add the figures to bench.json.

    Args:
        out: folder of bench.json.
        config: of the loader and the step; the engine is measured with its model.
        cache: where the step's sweeps come from.
        steps: timed steps after one to warm up.
    """
    engine = _engine(config.model)
    _show("engine: one training pass of the U-Net, 2 made-up sweeps", engine)
    add_figures(out, "engine", engine)
    training = _step(config, Cache(cache), steps)
    _show(f"training: a step of {config.train.batch_size} pairs of {cache}", training)
    add_figures(out, "training", training)


def _engine(model: ModelConfig) -> dict[str, float]:
    voxels = synthetic_voxels().to(pick_device("auto"))
    network = SparseUNet(model).to(voxels.device)
    return bench_engine(network, voxels, model.in_channels)


def _step(config: PretrainConfig, cache: Cache, steps: int) -> dict[str, float]:
    use_fast_codecs()
    train = config.train
    compute = choose_compute(train.device, train.engine, train.precision, train.recompute)
    began = time.perf_counter()
    batches = _load(config, cache, steps + 1)
    load_s = (time.perf_counter() - began) / (steps + 1)
    state = new_state(config, compute)
    train_step(state, state.student, [batches[0].to(compute.device)], config)
    began = time.perf_counter()
    for batch in batches[1:]:
        figures = train_step(state, state.student, [batch.to(compute.device)], config)
        loss = float(figures["loss"])  # reading it waits for the device
    step_s = (time.perf_counter() - began) / steps
    pairs = config.train.batch_size
    return {
        "load_s": load_s,
        "step_s": step_s,
        "samples_per_s_one_loader": pairs / load_s,
        "samples_per_s_step": pairs / step_s,
        "voxels_view1": sum(len(b.view1.coords) for b in batches) / len(batches),
        "last_loss": loss,
    }


def _load(config: PretrainConfig, cache: Cache, steps: int) -> list[Batch]:
    dataset = PairDataset(cache, config)
    train = config.train
    keys = (keys_of_step(step, len(dataset), train.seed, train.batch_size) for step in itertools.count())
    return [collate([dataset[key] for key in next(keys)]) for _ in range(steps)]


def _show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:<28}{value:>14,.3f}")
