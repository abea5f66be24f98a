from __future__ import annotations

import pytest
import torch

from iscc_lidar.trainer.engine.native.layers import SparseConv3d, SparseTensor, sparse_tensor
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

from benchmarks.trainer import time_engine
from synthetic_voxels import synthetic_voxels

CPU = torch.device("cpu")
TINY = ModelConfig(stem_width=4, encoder_widths=(4, 6), decoder_widths=(6, 5))


class Ladder(torch.nn.Module):
    """One layer of each type."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            SparseConv3d(2, 3, 3),
            SparseConv3d(3, 5, 2, 2),
            SparseConv3d(5, 7, 2, 2, transposed=True),
            SparseConv3d(7, 2, 1),
        )

    def forward(self, bxyz: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
        found: SparseTensor = self.layers(sparse_tensor(bxyz, feats))
        return found.feats


def test_the_work_of_each_type_of_layer_is_counted() -> None:
    # Three voxels: the first two touch and share a coarser voxel, the third is alone.
    bxyz = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 6, 6, 6]], dtype=torch.int32)
    work = time_engine.count_work(Ladder(), bxyz, torch.ones(3, 2))
    pairs_times_channels = 5 * 2 * 3 + 3 * 3 * 5 + 3 * 5 * 7 + 3 * 7 * 2
    assert work.flops == 2 * pairs_times_channels
    features = (3 * 2 + 3 * 3) + (3 * 3 + 2 * 5) + (2 * 5 + 3 * 7) + (3 * 7 + 3 * 2)
    weights = 27 * 2 * 3 + 8 * 3 * 5 + 8 * 5 * 7 + 7 * 2
    assert work.values == features + weights
    assert work.depth == 1


def test_ceilings_and_passes_are_measured() -> None:
    bxyz = synthetic_voxels(1, 500)
    feats = torch.randn(500, 4)
    network = SparseUNet(TINY)
    figures = time_engine.measure_pass(network, bxyz, feats, torch.bfloat16, 2)
    assert set(figures) == {"forward_ms", "training_ms"}
    assert min(figures.values()) > 0
    assert all(p.grad is None for p in network.parameters())
    ceilings = time_engine.measure_ceilings(CPU, torch.float32, 2)
    assert min(ceilings.flops_per_s, ceilings.bytes_per_s) > 0
    assert time_engine.maps_ms(bxyz, 2, 2) > 0


def test_shares_are_the_time_at_the_ceiling_over_the_time_taken() -> None:
    figures = {"forward_ms": 10.0, "training_ms": 50.0}
    work, ceilings = time_engine.ConvolutionWork(2e9, 1e6, 4), time_engine.Ceilings(1e12, 1e9)
    found = time_engine.shares(figures, work, ceilings, bytes_each=2)
    assert found == pytest.approx(
        {
            "forward_matmul_share": 0.2,
            "forward_bandwidth_share": 0.2,
            "training_matmul_share": 0.12,
            "training_bandwidth_share": 0.12,
        }
    )


def test_the_clock_counts_the_timed_calls_only() -> None:
    calls: list[int] = []
    assert len(time_engine.times_ms(lambda: calls.append(1), CPU, 3)) == 3
    assert len(calls) == 5
