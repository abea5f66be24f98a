"""Sparse tensor and sparse convolution layer of the native engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from iscc_lidar.trainer.engine.coordinates import sorted_coordinates
from iscc_lidar.trainer.engine.native.convolution import sparse_convolution
from iscc_lidar.trainer.engine.native.kernel_map import MapCache

# N voxels of the tensor's level, C channels, K kernel offsets

_SUPPORTED = {(3, 1, False), (2, 2, False), (2, 2, True), (1, 1, False)}  # kernel size, stride, transposed


@dataclass(frozen=True)
class SparseTensor:
    """Features on the occupied voxels of one level.

    Attributes:
        feats: [N, C], in the order of the level's voxels.
        level: 0 at the input's resolution; a level's cells are 2**level times as large.
        maps: coordinates and kernel maps, shared by all tensors of a forward pass.
    """

    feats: Tensor
    level: int
    maps: MapCache

    def with_feats(self, feats: Tensor) -> SparseTensor:
        """Return the same voxels with other features [N, C']."""
        return replace(self, feats=feats)

    def parent_rows(self) -> Tensor:
        """Return the row, one level coarser, of the cell that contains each voxel, int64 [N]."""
        return self.maps.parent_rows(self.level)


def sparse_tensor(bxyz: Tensor, feats: Tensor) -> SparseTensor:
    """Put features [N, C] on voxels int32 [N, 4] (batch, x, y, z) that are >= 0, unique and sorted.

    Raises ValueError if the rows do not match or the voxels are not as stated.
    """
    if len(bxyz) != len(feats):
        raise ValueError(f"{len(bxyz)} voxels but {len(feats)} rows of features")
    return SparseTensor(feats, 0, MapCache(sorted_coordinates(bxyz)))


class SparseConv3d(nn.Module):
    """Sparse convolution without bias: kernel 3 stride 1 (submanifold), kernel 2 stride 2, its transpose, or kernel 1.

    The transposed layer returns to the input voxels of the strided one. ``kernel`` is [K, C_in, C_out], for kernel
    size 1 [C_in, C_out], in TorchSparse's layout and order of offsets.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, transposed: bool = False
    ) -> None:
        super().__init__()
        if (kernel_size, stride, transposed) not in _SUPPORTED:
            raise ValueError(
                f"no sparse convolution with kernel {kernel_size}, stride {stride}, transposed {transposed}; "
                "supported are (3, 1), (2, 2), (2, 2, transposed) and (1, 1)"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.transposed = kernel_size, stride, transposed
        offsets = [] if kernel_size == 1 else [kernel_size**3]
        self.kernel = nn.Parameter(torch.empty(*offsets, in_channels, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as He et al. (2015) for ReLU, with the fan-in of a dense convolution."""
        # A transposed kernel 2 stride 2 reaches each output through one offset only.
        offsets = 1 if self.transposed else self.kernel_size**3
        nn.init.normal_(self.kernel, std=math.sqrt(2 / (offsets * self.in_channels)))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve to the same level, one coarser (stride 2) or one finer (transposed)."""
        if self.kernel_size == 1:
            return x.with_feats(x.feats @ self.kernel)
        if self.transposed and x.level == 0:
            raise ValueError("a transposed convolution needs an input made by a strided one")
        if self.kernel_size == 3:
            level, kernel_map = x.level, x.maps.submanifold(x.level)
        elif self.transposed:
            level, kernel_map = x.level - 1, x.maps.downsampling(x.level - 1).transposed()
        else:
            level, kernel_map = x.level + 1, x.maps.downsampling(x.level)
        return SparseTensor(sparse_convolution(x.feats, self.kernel, kernel_map), level, x.maps)

    def extra_repr(self) -> str:
        """Describe the layer's shape, for printing."""
        transposed = ", transposed" if self.transposed else ""
        return f"{self.in_channels}, {self.out_channels}, kernel {self.kernel_size}, stride {self.stride}{transposed}"
