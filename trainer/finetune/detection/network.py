"""Network for detection: backbone features in a bird's-eye-view grid, a small 2-D network, heat maps and boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.finetune.detection.targets import CODE, Z
from iscc_lidar.trainer.finetune.learner import TaskNetwork
from iscc_lidar.trainer.hardware.device import ON_CPU, Compute
from iscc_lidar.trainer.model.batch_norm import BatchNorm
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet

# V voxels, B scenes, C classes, D features, W width, X and Y cells, R places

_INITIAL_HEAT = 0.05  # of a new head everywhere: else the loss of all the empty cells would dominate at first
_GROUND_WINDOW, _GROUND_SMOOTHING = 11, 5  # cells


class GridFeatures(NamedTuple):
    """Features of scenes on the grid.

    Attributes:
        heat: float32 [B, C, X, Y], logits.
        grid: float32 [B, X, Y, W], input of the box head.
        ground: float32 [B, X, Y], z of the ground, metres.
    """

    heat: Tensor
    grid: Tensor
    ground: Tensor


@dataclass(frozen=True)
class BoxHeadConfig:
    """Sizes of the layers on top of the backbone."""

    voxel_width: int = option(
        64, "channels between the features and position of a voxel and the grid", at_least=1, at_most=4096
    )
    width: int = option(48, "channels of the grid at full resolution", at_least=1, at_most=4096)
    deep_width: int = option(64, "channels at half of it", at_least=1, at_most=4096)
    layers: int = option(2, "convolutions at each resolution", at_least=1, at_most=64)
    patch: int = option(
        5, "edge of the square of cells around a centre from which its box is predicted, odd", at_least=1, at_most=99
    )
    box_width: int = option(128, "channels between that and the box", at_least=1, at_most=4096)

    def __post_init__(self) -> None:
        check_ranges(self, "head")
        if self.patch % 2 == 0:
            raise ValueError(f"head.patch must be odd, for a cell in its middle, not {self.patch}")


class BoxHead(nn.Module):
    """Predict the box at a centre from the ``patch`` x ``patch`` cells around it.

    Two layers, the last one separate for each class. Evaluated at a few hundred places of a scene instead of all its
    cells, it can be wider and see farther than a convolution at almost no cost.
    """

    def __init__(self, width: int, classes: int, patch: int, hidden: int) -> None:
        super().__init__()
        self.patch = patch
        self.classes = classes
        self.hidden = nn.Linear(width * patch**2, hidden)
        self.code = nn.Linear(hidden, classes * CODE)

    def forward(self, grid: Tensor, ground: Tensor, at: Tensor) -> Tensor:
        """Predict codes of boxes, float32 [R, CODE].

        Args:
            grid: float32 [B, X, Y, W].
            ground: float32 [B, X, Y], z of the ground, metres, added to the predicted bottoms.
            at: int64 [R], places and classes: ((scene * C + class) * X + x) * Y + y.
        """
        scene, label, x, y = torch.unravel_index(at, (len(grid), self.classes, *ground.shape[1:]))
        half = self.patch // 2
        along = torch.arange(self.patch, device=at.device)
        rows = functional.pad(grid, (0, 0, half, half, half, half))
        first = (scene * rows.shape[1] + x) * rows.shape[2] + y  # the patch's lower corner
        cells = first[:, None, None] + along[:, None] * rows.shape[2] + along
        # Indexing would accumulate gradients in the order of the threads, which differs from run to run.
        patch = functional.embedding(cells, rows.flatten(0, 2))
        codes: Tensor = self.code(functional.relu(self.hidden(patch.flatten(1)))).view(-1, self.classes, CODE)
        code = (codes * functional.one_hot(label, self.classes)[:, :, None]).sum(dim=1)
        code[:, Z] += ground[scene, x, y]
        return code

    @torch.no_grad()
    def start_from(self, code: Tensor) -> None:
        """Initialise the bias to codes [C, CODE], with bottoms relative to the ground."""
        self.code.bias.copy_(code.flatten())


class DetectionNetwork(TaskNetwork):
    """Sparse U-Net, grid, 2-D network, heat maps and boxes."""

    def __init__(
        self, model: ModelConfig, head: BoxHeadConfig, classes: int, shape: tuple[int, int], compute: Compute = ON_CPU
    ) -> None:
        super().__init__()
        self.encoder = SparseUNet(model, compute.engine, compute.activation_checkpointing)
        self.shape = shape
        width, deep = head.width, head.deep_width
        # Two layers: the first recognises the voxel, the second weighs its position in the cell by that.
        self.gather = nn.Sequential(*_layer(model.out_channels + 3, head.voxel_width), *_layer(head.voxel_width, width))
        self.fine = nn.Sequential(*(_convolution(width, width) for _ in range(head.layers)))
        self.coarse = nn.Sequential(
            _convolution(width, deep, stride=2), *(_convolution(deep, deep) for _ in range(head.layers))
        )
        self.up = nn.ConvTranspose2d(deep, width, 2, 2)
        self.join = _convolution(2 * width, width)
        self.heat = nn.Conv2d(width, classes, 1)
        assert self.heat.bias is not None
        nn.init.constant_(self.heat.bias, -math.log(1 / _INITIAL_HEAT - 1))
        self.box = BoxHead(width, classes, head.patch, head.box_width)
        self._half = compute.half

    def forward(
        self, coords: Tensor, feats: Tensor, cell: Tensor, offset: Tensor, scenes: int, at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute logits of heat, float32 [B, C, X, Y], and box codes at places [R], see grid_features and BoxHead."""
        heat, grid, ground = self.grid_features(coords, feats, cell, offset, scenes)
        return heat, self.box(grid, ground, at)

    def grid_features(self, coords: Tensor, feats: Tensor, cell: Tensor, offset: Tensor, scenes: int) -> GridFeatures:
        """Compute GridFeatures of scenes.

        Args:
            coords: int32 [V, 4], (scene, x, y, z) in voxels.
            feats: float32 [V, 4].
            cell: int64 [V], (scene * X + x) * Y + y of each voxel's cell in the grid.
            offset: float32 [V, 3], x and y from the cell's middle in cells, and z in metres.
            scenes: B.
        """
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            h = self.encoder(coords, feats)
        ground = local_ground(cell, offset[:, 2], scenes, self.shape)
        above = offset[:, 2] - ground.flatten()[cell]
        of_voxel = self.gather(torch.cat([h.float(), offset[:, :2], above[:, None]], dim=1))
        flat = of_voxel.new_zeros(scenes * self.shape[0] * self.shape[1], of_voxel.shape[1])
        flat = flat.scatter_reduce(0, cell[:, None].expand_as(of_voxel), of_voxel, "amax")  # none is below 0
        grid = flat.view(scenes, *self.shape, -1).permute(0, 3, 1, 2)  # channels last in memory: fastest
        with torch.autocast(feats.device.type, dtype=self._half, enabled=self._half is not None):
            fine = self.fine(grid)
            joined = self.join(torch.cat([fine, functional.relu(self.up(self.coarse(fine)))], dim=1))
        joined = joined.float()
        return GridFeatures(self.heat(joined), joined.permute(0, 2, 3, 1), ground)


def local_ground(cell: Tensor, z: Tensor, scenes: int, shape: tuple[int, int]) -> Tensor:
    """Estimate z of the ground, [B, X, Y]: the lowest voxel nearby, smoothed; 0 far from any.

    On a slope the sensor's height does not predict a car's. The mean of each cell's lowest within 1.8 m lies 0.5 m
    above where boxes stand, mean deviation 0.32 m (synthetic scenes; PandaSet 0.8 and 0.36): a car occludes its own
    ground. The lowest within 2.2 m lies 0.06 m below, mean deviation 0.13 m (0.06 and 0.14).
    """
    empty = z.new_full((scenes * shape[0] * shape[1],), math.inf)
    lowest = empty.scatter_reduce(0, cell, z, "amin").view(scenes, 1, *shape)
    lowest = -functional.max_pool2d(-lowest, _GROUND_WINDOW, 1, _GROUND_WINDOW // 2)
    known = lowest.isfinite()
    maps = torch.cat([torch.where(known, lowest, 0.0), known.float()])
    near: Tensor = functional.avg_pool2d(maps, _GROUND_SMOOTHING, 1, _GROUND_SMOOTHING // 2).view(2, scenes, *shape)
    return near[0] / near[1].clamp(min=1e-6)


class _GridNorm(BatchNorm):
    """Batch normalisation of maps [B, C, X, Y] over all their cells.

    GroupNorm normalises each scene by itself, so that its point density would distort predicted heights and sizes.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # no copy: channels are last in memory
        return super().forward(rows).view(x.shape[0], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)


def _layer(channels: int, out: int) -> list[nn.Module]:
    return [nn.Linear(channels, out), BatchNorm(out), nn.ReLU()]


def _convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), _GridNorm(out), nn.ReLU(inplace=True))
