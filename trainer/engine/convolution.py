"""Sparse convolution over a kernel map: gather, multiply, sum, with a gradient that keeps only x and w.

Through ordinary autograd every gathered copy would be kept for the backward pass, over four times the
memory; here it is gathered again. A chunk's products are summed per output row by ``embedding_bag``,
which reads each product once; ``index_add_`` per offset took 1.3 to 1.5 times as long on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from iscc_lidar.trainer.engine.kernel_map import CENTRE, Chunk, KernelMap

# N_in, N_out rows; C_in, C_out channels; K offsets; M pairs of a chunk, m of one offset


def sparse_convolution(x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve features over a kernel map.

    Args:
        x: [N_in, C_in], float32 or float64; under autocast float32 is cast to autocast's type.
        kernel: [K, C_in, C_out], same dtype.
        kernel_map: which rows meet under which offset.

    Returns:
        [N_out, C_out] of x's (or autocast's) dtype. Differentiable once, in x and kernel.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype is not torch.float64:
        low = torch.get_autocast_dtype(device)
        x, kernel = x.to(low), kernel.to(low)
    out: Tensor = _SparseConvolution.apply(x, kernel, kernel_map)  # type: ignore[no-untyped-call]
    return out


class _SparseConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, kernel)
        ctx.kernel_map = kernel_map
        with torch.autocast(x.device.type, enabled=False):
            return _apply(x, kernel, kernel_map.forward, kernel_map.n_out, kernel_map.has_identity)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernel = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        grad_out = grad_out.contiguous()
        grad_x = grad_kernel = None
        with torch.autocast(x.device.type, enabled=False):
            if ctx.needs_input_grad[1]:
                grad_kernel = _kernel_gradient(x, grad_out, kernel, kernel_map)
            if ctx.needs_input_grad[0]:
                grad_x = _apply(grad_out, kernel.transpose(1, 2), kernel_map.backward, kernel_map.n_in,
                                kernel_map.has_identity)
        return grad_x, grad_kernel, None


def _apply(x: Tensor, kernel: Tensor, chunks: tuple[Chunk, ...], n_out: int, has_identity: bool) -> Tensor:
    weights = kernel.unbind(0)
    out = x.new_empty(n_out, kernel.shape[2])
    gathered = x.new_empty(_largest_part(chunks), kernel.shape[1])
    products = x.new_empty(max(len(c.sources) for c in chunks), kernel.shape[2])
    for chunk in chunks:
        start = 0
        for (offset, m), sources in zip(chunk.parts, _split(chunk.sources, chunk), strict=True):
            rows = gathered[:m]
            torch.index_select(x, 0, sources, out=rows)
            torch.mm(rows, weights[offset], out=products[start : start + m])
            start += m
        summed = embedding_bag(chunk.by_target, products[:start], chunk.bag_starts, mode="sum",
                               include_last_offset=True)
        block = out[chunk.start : chunk.stop]
        if has_identity:
            torch.addmm(summed, x[chunk.start : chunk.stop], weights[CENTRE], out=block)
        else:
            block.copy_(summed)
    return out


def _kernel_gradient(x: Tensor, grad_out: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    # Chunks add up in float32 at least: bfloat16 would lose the small ones.
    exact = torch.promote_types(kernel.dtype, torch.float32)
    grad = torch.zeros(kernel.shape, dtype=exact, device=kernel.device)
    sums = grad.unbind(0)
    most = _largest_part(kernel_map.forward)
    x_rows, grad_rows = x.new_empty(most, x.shape[1]), x.new_empty(most, grad_out.shape[1])
    for chunk in kernel_map.forward:
        rows = zip(chunk.parts, _split(chunk.sources, chunk), _split(chunk.targets, chunk), strict=True)
        for (offset, m), sources, targets in rows:
            torch.index_select(x, 0, sources, out=x_rows[:m])
            torch.index_select(grad_out, 0, targets, out=grad_rows[:m])
            _add_product(sums[offset], x_rows[:m].t(), grad_rows[:m])
    if kernel_map.has_identity:
        _add_product(sums[CENTRE], x.t(), grad_out)
    return grad.to(kernel.dtype)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _split(rows: Tensor, chunk: Chunk) -> tuple[Tensor, ...]:
    return torch.split(rows, [count for _, count in chunk.parts])


def _largest_part(chunks: tuple[Chunk, ...]) -> int:
    return max((count for chunk in chunks for _, count in chunk.parts), default=0)
