"""Sparse convolution for CUDA in one kernel, which gathers, multiplies and sums without intermediate results in memory.

The plain path (convolution.py) writes every gathered row and every product to memory and reads them again. Here a
tile of the output is summed in registers over all offsets ("implicit GEMM"). Products of float16 and bfloat16 are
summed in float32; float32 is multiplied exactly unless ``torch.backends.cuda.matmul`` allows TF32. Results are the
same in every run: no atomics, and tile sizes that depend on shapes only.

The first run of a network compiles its launches (for the U-Net at full width 80, about a minute); Triton caches them
on disk. What is compiled does not depend on the number of voxels, except for two heights of tiles.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native import tile_sizes
from iscc_lidar.trainer.engine.native.kernel_map import KernelMap, MapCache
from iscc_lidar.trainer.engine.native.neighbour_table import mirrored, splits_of, tables_of

# N_in, N_out rows; C_in, C_out channels; K offsets; S splits

Convolution = Callable[[Tensor, Tensor, KernelMap], Tensor]

_SWITCH = "ISCC_FUSED"
_TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
_MIN_CAPABILITY = (8, 0)
_enabled = True


def takes(x: Tensor, plain: Convolution) -> bool:
    """Return whether ``convolve`` supports these features: on CUDA, float16, bfloat16 or float32, and it works there.

    The first call for each device and dtype compares a small problem with the plain path; if Triton is missing, fails
    to compile or gives another result, a warning says so once. ISCC_FUSED=0 in the environment switches it off.
    """
    if not (x.is_cuda and _enabled and x.dtype in _TOLERANCE and os.environ.get(_SWITCH) != "0"):
        return False
    return _works(x.device, x.dtype, plain)


@contextmanager
def switched_off() -> Iterator[None]:
    """Switch the fused kernels off within the block, for comparison."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def convolve(x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve features [N_in, C_in] with a kernel [K, C_in, C_out] of the same dtype: [N_out, C_out].

    Differentiable once, in x and kernel; the backward pass keeps only these. Runs on CUDA and in Triton's interpreter.
    """
    out: Tensor = _FusedConvolution.apply(x, kernel, kernel_map)  # type: ignore[no-untyped-call]
    return out


class _FusedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        x, kernel = x.contiguous(), kernel.contiguous()
        ctx.save_for_backward(x, kernel)
        ctx.kernel_map = kernel_map
        return _gather_multiply(x, kernel, kernel_map, gradient=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernel = ctx.saved_tensors
        grad_out = grad_out.contiguous()
        needs_x, needs_kernel, _ = ctx.needs_input_grad
        grad_x = _gather_multiply(grad_out, kernel, ctx.kernel_map, gradient=True) if needs_x else None
        grad_kernel = _kernel_gradient(x, grad_out, ctx.kernel_map) if needs_kernel else None
        return grad_x, grad_kernel, None


def _gather_multiply(x: Tensor, kernel: Tensor, kernel_map: KernelMap, *, gradient: bool) -> Tensor:
    """Compute the output or, with the output's gradient as x, the input's gradient."""
    n_offsets, c_in, c_out = kernel.shape[0], x.shape[1], kernel.shape[1 if gradient else 2]
    n_out = kernel_map.n_in if gradient else kernel_map.n_out
    sizes = tile_sizes.gather_sizes(n_out, c_in, c_out, x.dtype, _tf32())
    tables = tables_of(kernel_map, tile_sizes.n_tables(n_offsets, c_in, c_out), gradient=gradient)
    out = x.new_empty(n_out, c_out)
    sums = out if len(tables) == 1 else x.new_empty(n_out, c_out, dtype=torch.float32)
    with _device_of(x):
        for i, table in enumerate(tables):
            tiles = table.tiles(sizes.rows)
            _kernels().gather_multiply[len(tiles.needed) * -(-c_out // sizes.cols),](
                *(x, kernel, table.rows, tiles.needed, tiles.offsets, tiles.sources, sums),
                *(out if i == len(tables) - 1 else sums, n_out),
                J=table.sources.shape[0],
                C_IN=c_in,
                C_OUT=c_out,
                LAST_OFFSET=n_offsets - 1 if gradient and mirrored(kernel_map) else -1,
                GRADIENT=gradient,
                ADD=i > 0,
                ROWS=sizes.rows,
                COLS=sizes.cols,
                DEPTH=sizes.depth,
                **_launch(x, sizes),
            )
    return out


def _kernel_gradient(x: Tensor, grad_out: Tensor, kernel_map: KernelMap) -> Tensor:
    n_offsets, c_in, c_out = kernel_map.n_offsets, x.shape[1], grad_out.shape[1]
    sizes = tile_sizes.pair_sizes(c_in, c_out, x.dtype, _tf32(), _major(x))
    splits = splits_of(kernel_map, tile_sizes.n_splits(c_in, c_out, sizes))
    partial = x.new_empty(len(splits.start), c_in, c_out, dtype=torch.float32)
    grad = x.new_empty(n_offsets, c_in, c_out)
    with _device_of(x):
        _kernels().multiply_pairs[len(splits.start), -(-c_in // sizes.rows) * -(-c_out // sizes.cols)](
            *(x, grad_out, splits.sources, splits.targets, splits.start, splits.stop, partial),
            C_IN=c_in,
            C_OUT=c_out,
            IN=sizes.rows,
            OUT=sizes.cols,
            PAIRS=sizes.depth,
            **_launch(x, sizes),
        )
        block = 1024
        _kernels().add_splits[n_offsets, -(-c_in * c_out // block)](
            partial, splits.first, grad, SIZE=c_in * c_out, BLOCK=block, enable_fp_fusion=True
        )
    return grad


def _launch(x: Tensor, sizes: tile_sizes.TileSizes) -> dict[str, Any]:
    return {
        "PRECISION": "tf32" if x.dtype is not torch.float32 or _tf32() else "ieee",
        "num_warps": sizes.warps,
        "num_stages": sizes.stages,
        "enable_fp_fusion": True,  # float32 products depend on it, and Triton's default is about to change
    }


def _tf32() -> bool:
    return str(torch.backends.cuda.matmul.fp32_precision) == "tf32"


def _major(x: Tensor) -> int:
    return torch.cuda.get_device_capability(x.device)[0] if x.is_cuda else 0


def _device_of(x: Tensor) -> AbstractContextManager[None]:
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@cache
def _kernels() -> ModuleType:
    from iscc_lidar.trainer.engine.native import triton_kernels

    return triton_kernels


@cache
def _works(device: torch.device, dtype: torch.dtype, plain: Convolution) -> bool:
    try:
        error = largest_error(device, dtype, plain)
        tolerance = 2e-3 if dtype is torch.float32 and _tf32() else _TOLERANCE[dtype]
        if error <= tolerance:
            return True
        reason = f"its results differ by {error:.2g} of the largest value, {tolerance:.2g} is allowed"
    except Exception as failure:  # a compiler or driver can raise anything
        reason = f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0]}"
    warnings.warn(
        f"the fused sparse convolution is not used for {dtype} on {device} ({reason}); "
        "the plain one replaces it: same results, slower",
        stacklevel=2,
    )
    return False


def largest_error(device: torch.device, dtype: torch.dtype, plain: Convolution, n_voxels: int = 40_000) -> float:
    """Compare the three types of layer and their gradients with ``plain`` in float64 on random voxels.

    Returns:
        The largest difference, relative to the largest value of the compared tensor.

    Raises:
        RuntimeError: the GPU is too old for the kernels; Triton can raise other errors.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < _MIN_CAPABILITY:
        raise RuntimeError("Triton uses tensor cores from compute capability 8.0 (Ampere) on")
    random = torch.Generator().manual_seed(0)
    cells = torch.randint(0, max(2, round((4 * n_voxels) ** (1 / 3))), (n_voxels, 3), generator=random)
    bxyz = torch.unique(torch.nn.functional.pad(cells, (1, 0)), dim=0).int().to(device)
    maps = MapCache(sorted_coordinates(bxyz))
    down = maps.downsampling(0)
    errors = []
    # Channels that use the widest tiles and partly masked tiles, in both directions.
    for kernel_map, c_in, c_out in ((maps.submanifold(0), 20, 130), (down, 64, 96), (down.transposed(), 96, 64)):
        shapes = (kernel_map.n_in, c_in), (kernel_map.n_offsets, c_in, c_out), (kernel_map.n_out, c_out)
        tensors = [torch.randn(shape, generator=random).to(device, dtype) for shape in shapes]
        ours = _results(convolve, tensors, kernel_map)
        exact = _results(plain, [t.double() for t in tensors], kernel_map)
        errors += [float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(ours, exact, strict=True)]
    return max(errors)


def _results(run: Convolution, tensors: list[Tensor], kernel_map: KernelMap) -> list[Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        x, kernel, weight = (t.clone().requires_grad_() for t in tensors)
        out = run(x, kernel, kernel_map)
        return [out.detach(), *torch.autograd.grad(out, (x, kernel), weight.detach())]
