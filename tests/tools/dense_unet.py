"""The U-Net with PyTorch's dense convolutions on a grid masked to the occupied voxels: none of our engine.

Reads kernels by spconv's convention, [C_out, k, k, k, C_in] over the axes of the grid: a cross-correlation like
conv3d, whose inverse convolution is conv_transpose3d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv3d, conv_transpose3d, max_pool3d, relu

from iscc_lidar.trainer.model.unet import ModelConfig

# B scenes, C channels, X Y Z the grid's axes, N voxels


class Layer(NamedTuple):
    """A convolution's kernel [C_out, k, k, k, C_in] and its batch norm's tensors."""

    kernel: Tensor
    norm: dict[str, Tensor]


Layers = Callable[[str], Layer]
"""Layers by our names: stem.0, encoder.0.down, encoder.0.blocks.1.conv2, decoder.0.up, ..."""


def dense_unet(layers: Layers, model: ModelConfig, voxels: Tensor, feats: Tensor, training: bool) -> Tensor:
    """Features [N, D] of voxels int [N, 4] (scene, then the grid's axes) with features [N, C]."""
    cell = 2 ** len(model.encoder_widths)
    sizes = [-(-(int(n) + 1) // cell) * cell for n in voxels[:, 1:].amax(0)]
    b, i, j, k = voxels.long().unbind(1)
    x = feats.new_zeros(int(b.max()) + 1, feats.shape[1], *sizes)
    x[b, :, i, j, k] = feats
    masks = [feats.new_zeros(len(x), 1, *sizes)]
    masks[0][b, 0, i, j, k] = 1
    for _ in model.encoder_widths:
        masks.append(max_pool3d(masks[-1], 2))

    def norm(x: Tensor, tensors: dict[str, Tensor], mask: Tensor) -> Tensor:
        occupied = mask[:, 0].bool()
        rows = x.movedim(1, -1)[occupied]
        rows = batch_norm(
            rows,
            tensors["running_mean"].clone(),
            tensors["running_var"].clone(),
            tensors["weight"],
            tensors["bias"],
            training,
        )
        result = torch.zeros_like(x).movedim(1, -1)
        result[occupied] = rows
        return result.movedim(-1, 1)

    def subm(x: Tensor, name: str, level: int) -> Tensor:
        layer = layers(name)
        dense = layer.kernel.permute(0, 4, 1, 2, 3)
        return norm(conv3d(x, dense, padding=dense.shape[2] // 2), layer.norm, masks[level])

    def blocks(x: Tensor, stage: str, level: int) -> Tensor:
        for n in range(model.blocks):
            y = subm(relu(subm(x, f"{stage}.blocks.{n}.conv1", level)), f"{stage}.blocks.{n}.conv2", level)
            x = relu(y + (x if x.shape == y.shape else subm(x, f"{stage}.blocks.{n}.skip", level)))
        return x

    x = relu(subm(relu(subm(x, "stem.0", 0)), "stem.1", 0))
    skips = [x]
    for stage in range(len(model.encoder_widths)):
        layer = layers(f"encoder.{stage}.down")
        x = conv3d(x, layer.kernel.permute(0, 4, 1, 2, 3), stride=2)
        x = blocks(relu(norm(x, layer.norm, masks[stage + 1])), f"encoder.{stage}", stage + 1)
        skips.append(x)
    skips.pop()
    levels = []
    for stage in range(len(model.decoder_widths)):
        level = len(skips) - 1
        layer = layers(f"decoder.{stage}.up")
        x = conv_transpose3d(x, layer.kernel.permute(4, 0, 1, 2, 3), stride=2)
        x = relu(norm(x, layer.norm, masks[level]))
        x = blocks(torch.cat([x, skips.pop()], dim=1), f"decoder.{stage}", level)
        levels.append(x)
    joined = [levels[-1 - n][b, :, i >> n, j >> n, k >> n] for n in range(model.out_levels)]
    return torch.cat(joined, dim=1)
