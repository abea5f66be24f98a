"""The engine's sparse tensor and convolution layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from iscc_lidar.trainer.engine.coordinates import Coordinates, sorted_coordinates
from iscc_lidar.trainer.engine.native.convolution import sparse_convolution
from iscc_lidar.trainer.engine.native.kernel_map import MapCache

# N voxels of the tensor's level, C channels, K kernel offsets


@dataclass(frozen=True)
class SparseTensor:
    """Features on the occupied voxels of one level.

    Attributes:
        feats: [N, C], in the order of the level's voxels.
        level: 0 at the input's resolution, cells 2**level times as large.
        maps: coordinates and kernel maps, shared by all tensors of one forward pass.
    """

    feats: Tensor
    level: int
    maps: MapCache

    @property
    def coordinates(self) -> Coordinates:
        """The voxels of this level, in cells of this level."""
        return self.maps.coordinates(self.level)

    @property
    def stride(self) -> int:
        """Edge of this level's cell in cells of the input."""
        return 1 << self.level

    def with_feats(self, feats: Tensor) -> SparseTensor:
        """The same voxels with other features [N, C']."""
        return replace(self, feats=feats)


def sparse_tensor(bxyz: Tensor, feats: Tensor) -> SparseTensor:
    """Put features [N, C] on voxels int32 [N, 4] (batch, x, y, z) that are >= 0, unique and sorted.

    Raises ValueError where the rows do not match or the voxels are not as stated.
    """
    if len(bxyz) != len(feats):
        raise ValueError(f"{len(bxyz)} voxels but {len(feats)} rows of features")
    return SparseTensor(feats, 0, MapCache(sorted_coordinates(bxyz)))


class SparseConv3d(nn.Module):
    """A sparse convolution: kernel 3 stride 1 (submanifold), kernel 2 stride 2, its transpose, or kernel 1.

    The transposed layer returns to the voxels from which the strided one came. ``kernel`` is
    [K, C_in, C_out], for kernel 1 [C_in, C_out], in TorchSparse's layout and order of offsets.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        transposed: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if (kernel_size, stride, transposed) not in _SUPPORTED:
            raise ValueError(
                f"no sparse convolution of kernel {kernel_size}, stride {stride}, "
                f"transposed {transposed}; there are (3, 1), (2, 2), (2, 2, transposed), (1, 1)"
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.transposed = kernel_size, stride, transposed
        offsets = [] if kernel_size == 1 else [kernel_size**3]
        self.kernel = nn.Parameter(torch.empty(*offsets, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as He et al. (2015) for ReLU, with the fan-in of a dense convolution."""
        # A transposed kernel 2 stride 2 reaches each output through one offset only.
        offsets = 1 if self.transposed else self.kernel_size**3
        nn.init.normal_(self.kernel, std=math.sqrt(2 / (offsets * self.in_channels)))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve; the result lies on the same level, one coarser (stride 2) or one finer (transposed)."""
        if self.kernel_size == 1:
            level, feats = x.level, x.feats @ self.kernel
        elif self.kernel_size == 3:
            level, feats = x.level, sparse_convolution(x.feats, self.kernel, x.maps.submanifold(x.level))
        elif not self.transposed:
            level = x.level + 1
            feats = sparse_convolution(x.feats, self.kernel, x.maps.downsampling(x.level))
        elif x.level == 0:
            raise ValueError("a transposed convolution needs an input that a strided one has made")
        else:
            level = x.level - 1
            feats = sparse_convolution(x.feats, self.kernel, x.maps.downsampling(level).transposed())
        return SparseTensor(feats if self.bias is None else feats + self.bias, level, x.maps)

    def extra_repr(self) -> str:
        """Shape of the layer, for printing."""
        transposed = ", transposed" if self.transposed else ""
        return f"{self.in_channels}, {self.out_channels}, kernel {self.kernel_size}, stride {self.stride}{transposed}"


_SUPPORTED = {(3, 1, False), (2, 2, False), (2, 2, True), (1, 1, False)}
