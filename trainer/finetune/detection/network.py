"""The network of detection: the encoder's features in a bird's-eye grid, a small 2-D network, a centre head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.shared.config import option
from iscc_lidar.trainer.finetune.detection.targets import CODE
from iscc_lidar.trainer.finetune.task import TaskNetwork
from iscc_lidar.trainer.hardware.compute import ON_CPU, Compute
from iscc_lidar.trainer.model.batch_norm import BatchNorm
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

# V voxels, B scenes, D features, W width, X and Y cells

_FIRST_HEAT = 0.05  # a new head says so everywhere: else all the empty cells would be its first lesson


@dataclass(frozen=True)
class BoxHeadConfig:
    """Sizes of what sits on the encoder."""

    width: int = option(48, "channels of the grid at full resolution")
    deep_width: int = option(64, "channels at half of it")
    layers: int = option(2, "convolutions at each resolution")

    def __post_init__(self) -> None:
        if min(self.width, self.deep_width, self.layers) < 1:
            raise ValueError("head.width, head.deep_width and head.layers must be at least 1")


class DetectionNetwork(TaskNetwork):
    """Sparse U-Net, grid, 2-D network and head."""

    def __init__(
        self, model: ModelConfig, head: BoxHeadConfig, classes: int, shape: tuple[int, int], compute: Compute = ON_CPU
    ) -> None:
        super().__init__()
        self.encoder = SparseUNet(model, compute.engine, compute.recompute)
        self.shape = shape
        self.classes = classes
        width, deep = head.width, head.deep_width
        self.gather = nn.Sequential(nn.Linear(model.out_channels + 3, width), BatchNorm(width), nn.ReLU())
        self.fine = nn.Sequential(*(_convolution(width, width) for _ in range(head.layers)))
        self.coarse = nn.Sequential(
            _convolution(width, deep, stride=2), *(_convolution(deep, deep) for _ in range(head.layers))
        )
        self.up = nn.ConvTranspose2d(deep, width, 2, 2)
        self.join = _convolution(2 * width, width)
        self.head = nn.Conv2d(width, classes + CODE, 1)
        bias = self.head.bias
        assert bias is not None
        nn.init.constant_(bias[:classes], -math.log(1 / _FIRST_HEAT - 1))
        self._half = compute.half

    def forward(self, coords: Tensor, feats: Tensor, cell: Tensor, offset: Tensor, scenes: int) -> Tensor:
        """Logits of heat and codes of boxes: float32 [B, classes + CODE, X, Y].

        Args:
            coords: int32 [V, 4], (scene, x, y, z) in voxels.
            feats: float32 [V, 4].
            cell: int64 [V], (scene * X + x) * Y + y of each voxel's cell in the grid.
            offset: float32 [V, 3], x and y from the cell's middle in cells, and z in metres.
            scenes: how many there are.
        """
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            h = self.encoder(coords, feats)
        of_voxel = self.gather(torch.cat([h.float(), offset], dim=1))
        flat = of_voxel.new_zeros(scenes * self.shape[0] * self.shape[1], of_voxel.shape[1])
        flat = flat.scatter_reduce(0, cell[:, None].expand_as(of_voxel), of_voxel, "amax")  # none is below 0
        grid = flat.view(scenes, *self.shape, -1).permute(0, 3, 1, 2)  # channels last in memory, as is fastest
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            fine = self.fine(grid)
            joined = self.join(torch.cat([fine, functional.relu(self.up(self.coarse(fine)))], dim=1))
        maps: Tensor = self.head(joined.float())
        return maps


class _GridNorm(BatchNorm):
    """Batch normalisation of maps [B, C, X, Y] by all their cells.

    Not by those of one scene, as GroupNorm does: how full a scene is then bends the heights and sizes told in it.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # no copy: channels are last in memory
        return super().forward(rows).view(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _convolution(wide: int, to: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide, to, 3, stride, 1, bias=False), _GridNorm(to), nn.ReLU(inplace=True))
