"""Kernels between our layout and spconv 2's.

Ours is TorchSparse's: [K, C_in, C_out], offsets numbered as in engine/native/kernel_map. spconv's is
[C_out, k, k, k, C_in], whose three kernel axes follow the three spatial columns of the voxel indices.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Axes = Literal["xyz", "zyx"]
"""Order of the spatial columns of the voxel indices."""


def to_spconv(kernel: Tensor, axes: Axes) -> Tensor:
    """Bring a kernel [27 or 8, C_in, C_out] to [C_out, k, k, k, C_in]."""
    k = _edge(len(kernel))
    grid = kernel.reshape(k, k, k, *kernel.shape[1:])
    if _slowest_axis(k) != axes[0]:
        grid = grid.transpose(0, 2)
    return grid.permute(4, 0, 1, 2, 3).contiguous()


def from_spconv(weight: Tensor, axes: Axes) -> Tensor:
    """Bring a kernel [C_out, k, k, k, C_in] to [27 or 8, C_in, C_out], the inverse of to_spconv."""
    k = _edge(weight.shape[1] ** 3)
    grid = weight.permute(1, 2, 3, 4, 0)
    if _slowest_axis(k) != axes[0]:
        grid = grid.transpose(0, 2)
    return grid.reshape(k**3, weight.shape[4], weight.shape[0]).contiguous()


def _edge(offsets: int) -> int:
    edges = {27: 3, 8: 2}
    if offsets not in edges:
        raise ValueError(f"a kernel has 27 or 8 offsets, not {offsets}")
    return edges[offsets]


def _slowest_axis(k: int) -> str:
    # kernel 3: (dx+1) + 3 (dy+1) + 9 (dz+1); kernel 2: dz + 2 dy + 4 dx
    return "z" if k == 3 else "x"
