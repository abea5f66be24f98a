"""The network of detection: the encoder's features in a bird's-eye grid, a small 2-D network, heat and boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.finetune.detection.box_head import BoxHead
from iscc_lidar.trainer.finetune.learner import TaskNetwork
from iscc_lidar.trainer.hardware.device import ON_CPU, Compute
from iscc_lidar.trainer.model.batch_norm import BatchNorm
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

# V voxels, B scenes, C classes, D features, W width, X and Y cells, R places

_FIRST_HEAT = 0.05  # a new head says so everywhere: else all the empty cells would be its first lesson
_LOWEST_OF, _SMOOTHED_OVER = 11, 5  # cells: where the ground is looked for


class GridFeatures(NamedTuple):
    """What the network makes of scenes.

    Attributes:
        heat: float32 [B, C, X, Y], logits.
        grid: float32 [B, X, Y, W], what boxes are told from.
        ground: float32 [B, X, Y], z of the ground, metres.
    """

    heat: Tensor
    grid: Tensor
    ground: Tensor


@dataclass(frozen=True)
class BoxHeadConfig:
    """Sizes of what sits on the encoder."""

    voxel_width: int = option(64, "channels between a voxel's feature and place, and what the grid gathers of it")
    width: int = option(48, "channels of the grid at full resolution")
    deep_width: int = option(64, "channels at half of it")
    layers: int = option(2, "convolutions at each resolution")
    patch: int = option(5, "edge of the square around a centre that its box is told from, cells, odd")
    box_width: int = option(128, "channels between that and the box")

    def __post_init__(self) -> None:
        if min(self.voxel_width, self.width, self.deep_width, self.layers, self.box_width) < 1:
            names = "head.voxel_width, head.width, head.deep_width, head.layers and head.box_width"
            raise ValueError(f"{names} must be at least 1")
        if self.patch < 1 or self.patch % 2 == 0:
            raise ValueError(f"head.patch must be odd, for a cell in its middle, not {self.patch}")


class DetectionNetwork(TaskNetwork):
    """Sparse U-Net, grid, 2-D network, heat maps and boxes."""

    def __init__(
        self, model: ModelConfig, head: BoxHeadConfig, classes: int, shape: tuple[int, int], compute: Compute = ON_CPU
    ) -> None:
        super().__init__()
        self.encoder = SparseUNet(model, compute.engine, compute.activation_checkpointing)
        self.shape = shape
        width, deep = head.width, head.deep_width
        # Two layers: what a voxel is, which the encoder tells, then decides what its place says of a box.
        self.gather = nn.Sequential(*_layer(model.out_channels + 3, head.voxel_width), *_layer(head.voxel_width, width))
        self.fine = nn.Sequential(*(_convolution(width, width) for _ in range(head.layers)))
        self.coarse = nn.Sequential(
            _convolution(width, deep, stride=2), *(_convolution(deep, deep) for _ in range(head.layers))
        )
        self.up = nn.ConvTranspose2d(deep, width, 2, 2)
        self.join = _convolution(2 * width, width)
        self.heat = nn.Conv2d(width, classes, 1)
        assert self.heat.bias is not None
        nn.init.constant_(self.heat.bias, -math.log(1 / _FIRST_HEAT - 1))
        self.box = BoxHead(width, classes, head.patch, head.box_width)
        self._half = compute.half

    def forward(
        self, coords: Tensor, feats: Tensor, cell: Tensor, offset: Tensor, scenes: int, at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of heat, float32 [B, C, X, Y], and the boxes told ``at`` [R], see ``look`` and BoxHead."""
        seen = self.look(coords, feats, cell, offset, scenes)
        return seen.heat, self.tell(seen, at)

    def look(self, coords: Tensor, feats: Tensor, cell: Tensor, offset: Tensor, scenes: int) -> GridFeatures:
        """GridFeatures at scenes.

        Args:
            coords: int32 [V, 4], (scene, x, y, z) in voxels.
            feats: float32 [V, 4].
            cell: int64 [V], (scene * X + x) * Y + y of each voxel's cell in the grid.
            offset: float32 [V, 3], x and y from the cell's middle in cells, and z in metres.
            scenes: how many there are.
        """
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            h = self.encoder(coords, feats)
        ground = local_ground(cell, offset[:, 2], scenes, self.shape)
        above = offset[:, 2] - ground.flatten()[cell]
        of_voxel = self.gather(torch.cat([h.float(), offset[:, :2], above[:, None]], dim=1))
        flat = of_voxel.new_zeros(scenes * self.shape[0] * self.shape[1], of_voxel.shape[1])
        flat = flat.scatter_reduce(0, cell[:, None].expand_as(of_voxel), of_voxel, "amax")  # none is below 0
        grid = flat.view(scenes, *self.shape, -1).permute(0, 3, 1, 2)  # channels last in memory, as is fastest
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            fine = self.fine(grid)
            joined = self.join(torch.cat([fine, functional.relu(self.up(self.coarse(fine)))], dim=1))
        joined = joined.float()
        return GridFeatures(self.heat(joined), joined.permute(0, 2, 3, 1), ground)

    def tell(self, seen: GridFeatures, at: Tensor) -> Tensor:
        """Codes of boxes, float32 [R, CODE], at places int64 [R], see BoxHead."""
        codes: Tensor = self.box(seen.grid, seen.ground, at)
        return codes


def local_ground(cell: Tensor, z: Tensor, scenes: int, shape: tuple[int, int]) -> Tensor:
    """Where about the ground is, [B, X, Y]: the lowest voxel around, smoothed; 0 far from any.

    On a hill the sensor's own height tells little of a car's. The mean of each cell's lowest within 1.8 m lies .5 m
    above where boxes stand, with .32 m of mean deviation (synthetic streets; PandaSet .8 and .36): a car hides its own
    ground. The lowest within 2.2 m lies .06 m below, with .13 m (.06 and .14).
    """
    empty = z.new_full((scenes * shape[0] * shape[1],), math.inf)
    lowest = empty.scatter_reduce(0, cell, z, "amin").view(scenes, 1, *shape)
    lowest = -functional.max_pool2d(-lowest, _LOWEST_OF, 1, _LOWEST_OF // 2)
    known = lowest.isfinite()
    maps = torch.cat([torch.where(known, lowest, 0.0), known.float()])
    near: Tensor = functional.avg_pool2d(maps, _SMOOTHED_OVER, 1, _SMOOTHED_OVER // 2).view(2, scenes, *shape)
    return near[0] / near[1].clamp(min=1e-6)


class _GridNorm(BatchNorm):
    """Batch normalisation of maps [B, C, X, Y] by all their cells.

    Not by those of one scene, as GroupNorm does: how full a scene is then bends the heights and sizes told in it.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # no copy: channels are last in memory
        return super().forward(rows).view(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _layer(wide: int, to: int) -> list[nn.Module]:
    return [nn.Linear(wide, to), BatchNorm(to), nn.ReLU()]


def _convolution(wide: int, to: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide, to, 3, stride, 1, bias=False), _GridNorm(to), nn.ReLU(inplace=True))
