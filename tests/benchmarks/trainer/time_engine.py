"""Time and memory of a network's passes with an engine, and the device's best rates, measured in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iscc_lidar.trainer.engine.native.kernel_map import KernelMap
from iscc_lidar.trainer.engine.native.layers import SparseConv3d, SparseTensor

from benchmarks.trainer.matmul_floor import all_maps

# N voxels of the input, C its channels

Network = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ConvolutionWork:
    """Least work of the sparse convolutions of a forward pass; a training pass does three times as much.

    Attributes:
        flops: 2 for each pair of voxels that meet and each pair of channels.
        values: numbers read and written if every input, output and weight moves once.
        depth: the coarsest level.
    """

    flops: float
    values: float
    depth: int


@dataclass(frozen=True)
class Ceilings:
    """Best rates of a device: matrix products in flop/s, copies in byte/s (read and written)."""

    flops_per_s: float
    bytes_per_s: float


def count_work(network: nn.Module, bxyz: Tensor, feats: Tensor) -> ConvolutionWork:
    """Count the work of a network of native SparseConv3d, called as network(bxyz, feats)."""
    found: list[tuple[float, float, int]] = []

    def record(layer: SparseConv3d, inputs: tuple[SparseTensor], out: SparseTensor) -> None:
        x = inputs[0]
        channels = layer.in_channels * layer.out_channels
        moved = x.feats.numel() + out.feats.numel() + layer.kernel.numel()
        found.append((2.0 * _pairs(layer, x) * channels, moved, out.level))

    layers = [m for m in network.modules() if isinstance(m, SparseConv3d)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    with torch.no_grad():
        network(bxyz, feats)
    for hook in hooks:
        hook.remove()
    flops, values, levels = zip(*found, strict=True)
    return ConvolutionWork(sum(flops), sum(values), max(levels))


def measure_ceilings(device: torch.device, dtype: torch.dtype, repeats: int) -> Ceilings:
    """Time products of large square matrices and copies of a large tensor."""
    n = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    matmul_ms = min(times_ms(lambda: torch.mm(left, right, out=product), device, repeats))
    source = torch.zeros(2**28 if device.type == "cuda" else 2**22, device=device)
    target = torch.empty_like(source)
    copy_ms = min(times_ms(lambda: target.copy_(source), device, repeats))
    return Ceilings(2e3 * n**3 / matmul_ms, 2e3 * source.numel() * source.element_size() / copy_ms)


def measure_pass(
    network: nn.Module, bxyz: Tensor, feats: Tensor, half: torch.dtype | None, repeats: int
) -> dict[str, float]:
    """Time a network's forward pass and its training pass, kernel maps included.

    Args:
        network: called as network(bxyz, feats).
        bxyz: int32 [N, 4], sorted voxels.
        feats: float32 [N, C].
        half: type of autocast, None for float32.
        repeats: timed passes after two to warm up; the median counts.

    Returns:
        forward_ms, training_ms (forward and backward) and, on CUDA, peak_gb of a training pass.
    """
    device = bxyz.device

    def forward() -> None:
        with torch.no_grad(), precision(device, half):
            network(bxyz, feats)

    def train() -> None:
        with precision(device, half):
            loss = network(bxyz, feats).float().square().mean()
        loss.backward()
        network.zero_grad(set_to_none=True)

    figures = {"forward_ms": statistics.median(times_ms(forward, device, repeats))}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    figures["training_ms"] = statistics.median(times_ms(train, device, repeats))
    if device.type == "cuda":
        figures["peak_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return figures


def shares(figures: dict[str, float], work: ConvolutionWork, ceilings: Ceilings, bytes_each: int) -> dict[str, float]:
    """Return the share of a pass's time that its convolutions would take at each ceiling; the rest is overhead."""
    found = {}
    for name, passes in (("forward", 1), ("training", 3)):
        seconds = figures[f"{name}_ms"] / 1e3
        found[f"{name}_matmul_share"] = passes * work.flops / ceilings.flops_per_s / seconds
        found[f"{name}_bandwidth_share"] = passes * work.values * bytes_each / ceilings.bytes_per_s / seconds
    return found


def maps_ms(bxyz: Tensor, depth: int, repeats: int) -> float:
    """Return the median time of all of the native engine's kernel maps down to a level."""
    return statistics.median(times_ms(lambda: all_maps(bxyz, depth), bxyz.device, repeats))


def output(network: nn.Module, bxyz: Tensor, feats: Tensor, half: torch.dtype | None) -> Tensor:
    """Compute the network's features, float32."""
    with torch.no_grad(), precision(bxyz.device, half):
        found: Tensor = network(bxyz, feats).float()
    return found


def precision(device: torch.device, half: torch.dtype | None) -> AbstractContextManager[Any]:
    """Return autocast to a type, or a context that does nothing."""
    return torch.autocast(device.type, dtype=half) if half is not None else nullcontext()


def times_ms(run: Callable[[], object], device: torch.device, repeats: int) -> Sequence[float]:
    """Time repeated calls after two to warm up: by CUDA events on a GPU, by the clock elsewhere."""
    for _ in range(2):
        run()
    if device.type != "cuda":
        return [_clock_ms(run) for _ in range(repeats)]
    event: Callable[..., Any] = torch.cuda.Event
    events = [[event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    with torch.cuda.device(device):
        for begin, end in events:
            begin.record()
            run()
            end.record()
        torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in events]


def _clock_ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def _pairs(layer: SparseConv3d, x: SparseTensor) -> int:
    if layer.kernel_size == 1:
        return len(x.feats)
    if layer.kernel_size == 2:
        # Every voxel of the finer level has one coarser one.
        return len(x.maps.coordinates(x.level - 1 if layer.transposed else x.level))
    kernel_map: KernelMap = x.maps.submanifold(x.level)
    return kernel_map.n_out + len(kernel_map.to_outputs.sources)
