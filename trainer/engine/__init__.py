"""Sparse convolution, behind a seam that two engines fill; ``choose.load_engine`` picks one by name.

``native``, ours, runs anywhere; ``torchsparse_engine`` runs TorchSparse on a GPU.

An engine offers two things (the Protocols below): ``sparse_tensor``, which puts features on sorted
voxels, and ``SparseConv3d``, a layer over such tensors. What makes engines exchangeable:

- ``SparseConv3d.kernel`` is [K, C_in, C_out] ([C_in, C_out] for kernel 1) in TorchSparse's order of
  offsets (see native/kernel_map), so that a state dict loads into either engine;
- a strided layer halves coordinates (``in = 2 out + offset``) and drops no border cell; a transposed
  one returns to the voxels, and the row order, that the matching strided one came from;
- features at the input's resolution stay in the order of the rows given.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from iscc_lidar.trainer.engine.native import layers


class FeatureTensor(Protocol):
    """A sparse tensor, as a network sees it: features to read, and to replace row by row."""

    @property
    def feats(self) -> Tensor:
        """Features [N, C]."""

    def with_feats(self, feats: Tensor) -> Any:
        """The same voxels with other features [N, C']."""


class Engine(Protocol):
    """What a network asks of an engine."""

    def sparse_tensor(self, bxyz: Tensor, feats: Tensor) -> Any:
        """Put features [N, C] on voxels int32 [N, 4], sorted by (batch, x, y, z): a FeatureTensor."""

    def SparseConv3d(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        transposed: bool = False,
        bias: bool = False,
    ) -> nn.Module:
        """Make a layer from FeatureTensor to FeatureTensor with a parameter ``kernel``."""


NATIVE: Engine = layers
"""The engine of this package, on CPU and GPU."""
