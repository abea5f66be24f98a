"""Interchangeable engines for sparse convolution; ``choose.load_engine`` loads one by name.

``native`` is this package's own and runs anywhere; ``torchsparse_engine`` runs TorchSparse on a GPU.

An engine provides the two members of ``Engine``. Its sparse tensors have features ``feats`` [N, C], a method
``with_feats(feats)`` that returns the same voxels with other features [N, C'], and a method ``parent_rows()`` that
returns the row, one level coarser, of the cell that contains each voxel. What makes engines interchangeable:

- ``SparseConv3d.kernel`` is [K, C_in, C_out] ([C_in, C_out] for kernel size 1) in TorchSparse's order of offsets
  (see native/kernel_map), so that a state dict loads into either engine;
- a strided layer halves coordinates (``in = 2 out + offset``) and drops no border cell; a transposed one returns to
  the voxels, and the row order, of the matching strided layer's input;
- features at the input's resolution stay in the order of the input rows.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from iscc_lidar.trainer.engine.native import layers


class Engine(Protocol):
    """What a network needs from an engine."""

    def sparse_tensor(self, bxyz: Tensor, feats: Tensor) -> Any:
        """Make a sparse tensor of features [N, C] on voxels int32 [N, 4], sorted by (batch, x, y, z)."""

    def SparseConv3d(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, *, transposed: bool = False
    ) -> nn.Module:
        """Make a layer from sparse tensor to sparse tensor with a parameter ``kernel``, without bias."""


NATIVE: Engine = layers
"""The engine of this package, on CPU and GPU."""
