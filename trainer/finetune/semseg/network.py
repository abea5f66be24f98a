"""Network for segmentation: backbone and linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iscc_lidar.trainer.finetune.learner import TaskNetwork
from iscc_lidar.trainer.hardware.device import ON_CPU, Compute
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet


class SegmentationNetwork(TaskNetwork):
    """Sparse U-Net and one linear layer on its features."""

    def __init__(self, model: ModelConfig, classes: int, compute: Compute = ON_CPU) -> None:
        super().__init__()
        self.encoder = SparseUNet(model, compute.engine, compute.activation_checkpointing)
        self.head = nn.Linear(model.out_channels, classes)
        self._half = compute.half

    def forward(self, coords: Tensor, feats: Tensor) -> Tensor:
        """Compute logits float32 [V, classes] of voxels int32 [V, 4] (scene, x, y, z) with features [V, 4]."""
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            h = self.encoder(coords, feats)
        logits: Tensor = self.head(h.float())
        return logits
