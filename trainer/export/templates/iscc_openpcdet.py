"""The 3D backbone for OpenPCDet: ``BACKBONE_3D: NAME: ISCCUNet``. From iscc-lidar, Apache-2.0."""

from __future__ import annotations

from typing import Any

import spconv.pytorch as spconv
import torch
from torch import nn

from .iscc_network import SpconvUNet, padded_shape


class ISCCUNet(nn.Module):
    """Features for OpenPCDet's voxels, and its coarsest level for a head on a bird's-eye view."""

    def __init__(
        self, model_cfg: Any, input_channels: int, grid_size: Any, voxel_size: Any, point_cloud_range: Any, **_: Any
    ) -> None:
        super().__init__()
        self.model_cfg = model_cfg
        self.network = SpconvUNet(
            input_channels,
            model_cfg.STEM_WIDTH,
            model_cfg.ENCODER_WIDTHS,
            model_cfg.DECODER_WIDTHS,
            model_cfg.BLOCKS,
            model_cfg.OUT_LEVELS,
            model_cfg.INPUT_SCALE,
        )
        self.sparse_shape = padded_shape([int(n) for n in grid_size][::-1], self.network.depth)
        self.voxel_size = voxel_size
        self.point_cloud_range = point_cloud_range
        self.num_point_features = self.network.out_channels

    def forward(self, batch_dict: dict[str, Any]) -> dict[str, Any]:
        """Add the input of a head, from ``voxel_features`` [N, C] and ``voxel_coords`` [N, 4] (batch, z, y, x).

        ``point_features`` [N, D], ``point_coords`` [N, 4] (batch and the voxel's centre, metres),
        ``encoded_spconv_tensor`` (the coarsest level) and ``encoded_spconv_tensor_stride``.
        """
        voxels = batch_dict["voxel_coords"].int()
        x = spconv.SparseConvTensor(batch_dict["voxel_features"], voxels, self.sparse_shape, batch_dict["batch_size"])
        finest, coarsest = self.network(x)
        size = torch.tensor(list(self.voxel_size), dtype=torch.float32, device=voxels.device)
        corner = torch.tensor(list(self.point_cloud_range[:3]), dtype=torch.float32, device=voxels.device)
        centre = (voxels[:, [3, 2, 1]].float() + 0.5) * size + corner
        batch_dict["point_features"] = finest.features
        batch_dict["point_coords"] = torch.cat([voxels[:, :1].float(), centre], dim=1)
        batch_dict["encoded_spconv_tensor"] = coarsest
        batch_dict["encoded_spconv_tensor_stride"] = 1 << self.network.depth
        return batch_dict
