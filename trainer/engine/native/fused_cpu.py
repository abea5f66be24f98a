"""Sparse convolution in float32 on a CPU by the C kernels; the backward pass keeps only x and the kernel.

Neither gathered rows nor products are written to memory: each tile of pairs is read, multiplied and summed in
registers. The result does not depend on the number of threads, not even in the last bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from iscc_lidar.trainer.engine.native import cpu_library
from iscc_lidar.trainer.engine.native.kernel_map import CENTRE, KernelMap, Pairs

# N_in, N_out rows; C_in, C_out channels; K offsets


def takes(x: Tensor, kernel: Tensor) -> bool:
    """Return whether the C kernels are available and support these operands."""
    operands = (x, kernel)
    return all(t.device.type == "cpu" and t.dtype is torch.float32 for t in operands) and cpu_library.available()


def convolve(x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve x [N_in, C_in] with kernel [K, C_in, C_out], which ``takes`` accepts, like sparse_convolution."""
    expected = (kernel_map.n_in, kernel.shape[1]), (kernel_map.n_offsets, *kernel.shape[1:])
    if (tuple(x.shape), tuple(kernel.shape)) != expected:
        fits = f"a map of {kernel_map.n_in} input rows and {kernel_map.n_offsets} offsets"
        raise ValueError(f"x {list(x.shape)} and kernel {list(kernel.shape)} do not fit {fits}")
    out: Tensor = _Convolution.apply(x, kernel, kernel_map)  # type: ignore[no-untyped-call]
    return out


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, kernel)
        ctx.kernel_map = kernel_map
        return _convolve(x, kernel, kernel_map.to_outputs, kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernel = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        grad_out = grad_out.contiguous()
        grad_x = grad_kernel = None
        if ctx.needs_input_grad[0]:
            grad_x = _convolve(grad_out, kernel.transpose(1, 2), kernel_map.to_inputs, kernel_map)
        if ctx.needs_input_grad[1]:
            grad_kernel = cpu_library.outer_products(x, grad_out, kernel_map.to_outputs.blocks, _identity(kernel_map))
        return grad_x, grad_kernel, None


def _convolve(x: Tensor, kernel: Tensor, pairs: Pairs, kernel_map: KernelMap) -> Tensor:
    return cpu_library.convolve(x, kernel, pairs.blocks, pairs.n_out, _identity(kernel_map))


def _identity(kernel_map: KernelMap) -> int:
    return CENTRE if kernel_map.has_identity else -1
