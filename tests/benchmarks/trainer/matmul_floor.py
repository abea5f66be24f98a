"""Speed of the native engine: a training pass of a U-Net compared with the same matrix products alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.engine.native.kernel_map import KernelMap, MapCache
from iscc_lidar.trainer.engine.native.layers import SparseConv3d, SparseTensor

# N voxels, M pairs of one offset


def bench_engine(network: nn.Module, bxyz: Tensor, in_channels: int, repeats: int = 3) -> dict[str, float]:
    """Time a network's training pass, its sparse convolutions, and the matrix products they consist of.

    Everything is measured in one run, as the best of ``repeats``, on the device of ``bxyz``.

    Args:
        network: called as network(bxyz, feats), built of SparseConv3d.
        bxyz: int32 [N, 4], sorted voxels.
        in_channels: channels of the features, which are random.
        repeats: timed passes after one to warm up.

    Returns:
        voxels, parameters, threads; seconds: network_s (forward + backward), maps_s (all kernel maps),
        convolutions_s (forward + backward of every convolution with kernel 2 or 3), matmul_floor_s
        (their products without gather and sum); ratio = convolutions_s / matmul_floor_s. Where C kernels convolve,
        c_kernel_lanes is the number of floats in one of their registers, and plain_convolutions_s and plain_ratio
        are PyTorch's figures; elsewhere c_kernel_lanes is 0 and the two repeat convolutions_s and ratio.
    """
    feats = torch.randn((len(bxyz), in_channels), device=bxyz.device)
    calls = _record_convolutions(network, bxyz, feats)
    maps = calls[0][1].maps
    depth = max(x.level for _, x in calls)

    def convolutions() -> float:
        return sum(_best(_pass(layer, x), repeats, bxyz) for layer, x in calls)

    floor = sum(_best(_products(layer, _map_of(layer, x)), repeats, bxyz) for layer, x in calls)
    by_c = bxyz.device.type == "cpu" and cpu_library.available()
    ours = convolutions()
    with cpu_library.switched_off():
        plain = convolutions() if by_c else ours
    return {
        "voxels": len(maps.coordinates(0)),
        "parameters": sum(p.numel() for p in network.parameters()),
        "threads": torch.get_num_threads(),
        "network_s": _best(lambda: network(bxyz, feats).square().mean().backward(), repeats, bxyz),
        "maps_s": _best(lambda: all_maps(bxyz, depth), repeats, bxyz),
        "convolutions_s": ours,
        "matmul_floor_s": floor,
        "ratio": ours / floor,
        "c_kernel_lanes": cpu_library.lanes() if by_c else 0,
        "plain_convolutions_s": plain,
        "plain_ratio": plain / floor,
    }


def _record_convolutions(network: nn.Module, bxyz: Tensor, feats: Tensor) -> list[tuple[SparseConv3d, SparseTensor]]:
    calls: list[tuple[SparseConv3d, SparseTensor]] = []

    def record(layer: SparseConv3d, inputs: tuple[SparseTensor], _: Any) -> None:
        x = inputs[0]
        calls.append((layer, x.with_feats(x.feats.detach().clone())))

    layers = [m for m in network.modules() if isinstance(m, SparseConv3d) and m.kernel_size > 1]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    with torch.no_grad():
        network(bxyz, feats)
    for hook in hooks:
        hook.remove()
    return calls


def _pass(layer: SparseConv3d, x: SparseTensor) -> Callable[[], None]:
    """Return a forward and backward pass whose output gradient exists already; no parameter's gradient is changed."""
    with torch.no_grad():
        g = torch.ones_like(layer(x).feats)
    x = x.with_feats(x.feats.requires_grad_())

    def run() -> None:
        torch.autograd.grad(layer(x).feats, (x.feats, layer.kernel), g)

    return run


def _map_of(layer: SparseConv3d, x: SparseTensor) -> KernelMap:
    if layer.kernel_size == 3:
        return x.maps.submanifold(x.level)
    return x.maps.downsampling(x.level - 1).transposed() if layer.transposed else x.maps.downsampling(x.level)


def _products(layer: SparseConv3d, kernel_map: KernelMap) -> Callable[[], None]:
    """Return the forward product and both products of the backward pass, per offset, on operands in memory."""
    offsets = kernel_map.to_outputs.offsets
    sizes: list[int] = torch.bincount(offsets, minlength=kernel_map.n_offsets).tolist()
    if kernel_map.has_identity:
        sizes[len(sizes) // 2] = kernel_map.n_in
    kernel = layer.kernel.detach()
    # Random, because denormal numbers in uninitialised memory multiply slowly.
    x = torch.randn((max(sizes), layer.in_channels), device=kernel.device)
    y = torch.randn((max(sizes), layer.out_channels), device=kernel.device)
    out, grad_x = torch.empty_like(y), torch.empty_like(x)

    def run() -> None:
        for offset, m in enumerate(sizes):
            torch.mm(x[:m], kernel[offset], out=out[:m])
            torch.mm(y[:m], kernel[offset].t(), out=grad_x[:m])
            torch.mm(x[:m].t(), y[:m])

    return run


def all_maps(bxyz: Tensor, depth: int) -> MapCache:
    """Make every kernel map that one pass over sorted voxels int32 [N, 4] needs."""
    maps = MapCache(sorted_coordinates(bxyz))
    for level in range(depth + 1):
        maps.submanifold(level)
        if level < depth:
            maps.downsampling(level)
    return maps


def _best(run: Callable[[], object], repeats: int, on: Tensor) -> float:
    seconds = []
    for _ in range(repeats + 1):
        _wait(on)
        start = time.perf_counter()
        run()
        _wait(on)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _wait(on: Tensor) -> None:
    if on.is_cuda:
        torch.cuda.synchronize(on.device)
