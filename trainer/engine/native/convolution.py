"""Sparse convolution over a kernel map by the fused kernels (fused, fused_cpu) or in plain PyTorch.

The plain path gathers, multiplies and sums. Ordinary autograd would keep every gathered copy for the backward pass,
over four times the memory; here rows are gathered again. A chunk's products are summed per output row by
``embedding_bag``, which reads each product once; ``index_add_`` per offset took 1.3 to 1.5 times as long on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from iscc_lidar.trainer.engine.native import fused, fused_cpu
from iscc_lidar.trainer.engine.native.kernel_map import CENTRE, KernelMap, Pairs

# N_in, N_out rows; C_in, C_out channels; K offsets; M pairs of a chunk, m of one offset


def sparse_convolution(x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve features over a kernel map.

    Args:
        x: [N_in, C_in], floating; under autocast all but float64 is cast to autocast's dtype.
        kernel: [K, C_in, C_out], same dtype.
        kernel_map: the pairs of input and output rows under each offset.

    Returns:
        [N_out, C_out] of x's (or autocast's) dtype. Differentiable once, in x and kernel.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype is not torch.float64:
        low = torch.get_autocast_dtype(device)
        x, kernel = x.to(low), kernel.to(low)
    if device == "cpu" and x.dtype in (torch.float16, torch.bfloat16):
        # Half types take a CPU six times as long as float32. A GPU also sums products of rounded numbers in float32.
        with torch.autocast(device, enabled=False):
            return sparse_convolution(x.float(), kernel.float(), kernel_map).to(x.dtype)
    if fused.takes(x, plain_convolution):
        return fused.convolve(x, kernel, kernel_map)
    if fused_cpu.takes(x, kernel):
        return fused_cpu.convolve(x, kernel, kernel_map)
    return plain_convolution(x, kernel, kernel_map)


def plain_convolution(x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve like sparse_convolution, but always in plain PyTorch, on any device."""
    out: Tensor = _SparseConvolution.apply(x, kernel, kernel_map)  # type: ignore[no-untyped-call]
    return out


class _SparseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, kernel)
        ctx.kernel_map = kernel_map
        with torch.autocast(x.device.type, enabled=False):
            return _convolve(x, kernel, kernel_map.to_outputs, kernel_map.has_identity)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor, None]:
        x, kernel = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        grad_out = grad_out.contiguous()
        # At least float32 for the sum over chunks: bfloat16 would lose small ones.
        exact = torch.promote_types(kernel.dtype, torch.float32)
        sums = torch.zeros(kernel.shape, dtype=exact, device=kernel.device)

        def add_kernel_gradient(offset: int, grad_rows: Tensor, x_rows: Tensor) -> None:
            _add_product(sums[offset], torch.index_select(x, 0, x_rows).t(), grad_rows)

        with torch.autocast(x.device.type, enabled=False):
            if kernel_map.has_identity:
                _add_product(sums[CENTRE], x.t(), grad_out)
            transposed = kernel.transpose(1, 2)
            grad_x = _convolve(grad_out, transposed, kernel_map.to_inputs, kernel_map.has_identity, add_kernel_gradient)
        return grad_x, sums.to(kernel.dtype), None


def _convolve(
    x: Tensor,
    kernel: Tensor,
    pairs: Pairs,
    has_identity: bool,
    on_gathered: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Convolve; pass each offset's gathered rows of x and their output rows to on_gathered."""
    chunks, weights = pairs.chunks, kernel.unbind(0)
    out = x.new_empty(pairs.n_out, kernel.shape[2])
    largest = max((count for chunk in chunks for _, count in chunk.offset_counts), default=0)
    gathered = x.new_empty(largest, kernel.shape[1])
    products = x.new_empty(max(len(c.sources) for c in chunks), kernel.shape[2])
    for chunk in chunks:
        start = 0
        for offset, m in chunk.offset_counts:
            stop = start + m
            rows = torch.index_select(x, 0, chunk.sources[start:stop], out=gathered[:m])
            torch.mm(rows, weights[offset], out=products[start:stop])
            if on_gathered is not None:
                on_gathered(offset, rows, chunk.targets[start:stop])
            start = stop
        summed = embedding_bag(
            chunk.by_target, products[:start], chunk.bag_starts, mode="sum", include_last_offset=True
        )
        block = out[chunk.start : chunk.stop]
        if has_identity:
            torch.addmm(summed, x[chunk.start : chunk.stop], weights[CENTRE], out=block)
        else:
            block.copy_(summed)
    return out


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
