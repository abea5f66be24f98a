from __future__ import annotations

import torch

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native.kernel_map import MapCache
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

from benchmarks.trainer.matmul_floor import bench_engine
from synthetic_voxels import synthetic_voxels


def test_synthetic_voxels_are_sorted_surfaces() -> None:
    bxyz = synthetic_voxels(2, 10_000)
    assert torch.equal(bxyz, synthetic_voxels(2, 10_000))
    coordinates = sorted_coordinates(bxyz)
    assert len(coordinates) == 20_000
    pairs = sum(len(chunk.sources) for chunk in MapCache(coordinates).submanifold(0).to_outputs.chunks)
    assert 4 < pairs / 20_000 < 12


def test_the_benchmark_counts_convolutions_and_products() -> None:
    config = ModelConfig(stem_width=4, encoder_widths=(4, 4), decoder_widths=(4, 4))
    found = bench_engine(SparseUNet(config), synthetic_voxels(1, 2_000), config.in_channels, repeats=1)
    assert found["voxels"] == 2_000
    assert min(found.values()) > 0
    assert found["ratio"] == found["convolutions_s"] / found["matmul_floor_s"]
