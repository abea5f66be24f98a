"""The backbone for Pointcept: ``type="ISCC-SparseUNet"``, under DefaultSegmentorV2. From iscc-lidar, Apache-2.0."""

from __future__ import annotations

from typing import Any

import spconv.pytorch as spconv
import torch
from pointcept.models.builder import MODELS
from pointcept.models.utils import offset2batch
from torch import Tensor, nn

from .iscc_network import SpconvUNet, padded_shape

__all__ = ["ISCCSparseUNet"]


@MODELS.register_module("ISCC-SparseUNet")
class ISCCSparseUNet(nn.Module):
    """Features [N, D] for Pointcept's voxels; the arguments are those of SpconvUNet."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.network = SpconvUNet(**options)

    def forward(self, data: Any) -> Tensor:
        """Map ``grid_coord`` [N, 3] (x, y, z), ``feat`` [N, C] (coord, strength) and ``offset`` to features."""
        voxels = data["grid_coord"].int()
        batch = offset2batch(data["offset"])
        x = spconv.SparseConvTensor(
            features=data["feat"],
            indices=torch.cat([batch[:, None].int(), voxels], dim=1).contiguous(),
            spatial_shape=padded_shape((voxels.amax(0) + 1).tolist(), self.network.depth),
            batch_size=len(data["offset"]),
        )
        features: Tensor = self.network(x)[0].features
        return features
