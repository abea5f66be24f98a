"""mmdetection3d's MinkUNetBackbone on spconv, without its loss at the border. From iscc-lidar, Apache-2.0.

The grid that MinkUNetBackbone gives to spconv ends at the last occupied voxel, and a strided convolution
of spconv drops the last cell of an odd axis: the voxels there get nothing from the coarser levels.
"""

from __future__ import annotations

import torch
from mmdet3d.models.backbones import MinkUNetBackbone
from mmengine.registry import MODELS
from spconv.pytorch import SparseConvTensor
from torch import Tensor


@MODELS.register_module()
class PaddedMinkUNetBackbone(MinkUNetBackbone):  # type: ignore[misc]
    """Same arguments, weights and layers; ``sparseconv_backend`` must be spconv."""

    def forward(self, voxel_features: Tensor, coors: Tensor) -> Tensor:
        """Map features [N, C] at ``coors`` int32 [N, 4], (batch, x, y, z), to features [N, D]."""
        cell = 1 << self.num_stages
        shape = [-(-size // cell) * cell for size in (coors[:, 1:].amax(0) + 1).tolist()]
        x = SparseConvTensor(voxel_features, coors.int(), shape, int(coors[:, 0].max()) + 1)
        skips = [x := self.conv_input(x)]
        for stage in self.encoder:
            skips.append(x := stage(x))
        skips.pop()
        for up, blocks in self.decoder:
            x = up(x)
            x = blocks(x.replace_feature(torch.cat([x.features, skips.pop().features], dim=1)))
        features: Tensor = x.features
        return features
