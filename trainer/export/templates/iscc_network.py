"""Sparse residual U-Net after MinkUNet (Choy et al., CVPR 2019), on spconv 2: the network of the exported weights.

From iscc-lidar, Apache-2.0. Needs PyTorch and spconv only. The axes of the kernels follow those of the
voxel indices, so weights exported for (batch, x, y, z) do not fit (batch, z, y, x), nor the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import spconv.pytorch as spconv
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

# The values of the pre-training. With another eps the same weights give other features.
EPS, MOMENTUM = 1e-5, 0.1


class SpconvUNet(nn.Module):
    """Features for every voxel.

    Args:
        in_channels: features of a voxel, C.
        stem_width: channels of the two convolutions at full resolution.
        encoder_widths: channels at strides 2, 4, 8, ...
        decoder_widths: channels of the decoder, coarsest first.
        blocks: residual blocks of each stage.
        out_levels: levels of the decoder, the finest first, whose features are joined to D.
        input_scale: one factor for each of the C features, applied first.
    """

    def __init__(
        self,
        in_channels: int,
        stem_width: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        blocks: int,
        out_levels: int,
        input_scale: Sequence[float],
    ) -> None:
        super().__init__()
        self.depth, self.out_levels = len(encoder_widths), out_levels
        self.out_channels = sum(decoder_widths[-out_levels:])
        self.input_scale: Tensor
        self.register_buffer("input_scale", torch.tensor(list(input_scale)), persistent=False)
        self.stem = nn.ModuleList(
            [SpconvLayer(subm(in_channels, stem_width, 0)), SpconvLayer(subm(stem_width, stem_width, 0))]
        )
        widths = [stem_width, *encoder_widths]
        self.encoder = nn.ModuleList(
            SpconvDown(wide, deep, blocks, level) for level, (wide, deep) in enumerate(pairwise(widths), start=1)
        )
        below = [widths[-1], *decoder_widths]
        self.decoder = nn.ModuleList(
            SpconvUp(below[i], below[i + 1], widths[-2 - i], blocks, self.depth - 1 - i) for i in range(self.depth)
        )

    def forward(self, x: Any) -> tuple[Any, Any]:
        """Map a SparseConvTensor with C features to (the same voxels with D features, the coarsest level).

        Its spatial_shape must come from padded_shape, or border voxels lose their context.
        """
        x = x.replace_feature(x.features * self.input_scale)
        for layer in self.stem:
            x = layer(x)
        skips = [x]
        for down in self.encoder:
            skips.append(x := down(x))
        coarsest = skips.pop()
        levels = [x := up(x, skips.pop()) for up in self.decoder]
        joined, row = [x.features], torch.arange(len(x.features), device=x.features.device)
        for coarser in range(1, self.out_levels):
            row = parent_rows(levels[-coarser], levels[-coarser - 1])[row]
            joined.append(levels[-coarser - 1].features[row])
        return x.replace_feature(torch.cat(joined, dim=1)), coarsest


def parent_rows(fine: Any, coarse: Any) -> Tensor:
    """Return the row of the cell of ``coarse``, half the resolution, that contains each voxel of ``fine``, [N]."""
    steps = [1]
    for size in reversed(coarse.spatial_shape):
        steps.insert(0, steps[0] * int(size))
    step = torch.tensor(steps, device=fine.indices.device)
    parents = torch.cat([fine.indices[:, :1], fine.indices[:, 1:] // 2], dim=1)
    keys, order = (coarse.indices.long() * step).sum(1).sort()
    row: Tensor = order[torch.searchsorted(keys, (parents.long() * step).sum(1))]
    return row


def padded_shape(shape: Sequence[int], depth: int) -> list[int]:
    """Round a grid up to whole cells of the coarsest level: spconv drops the last cell of an odd axis."""
    cell = 1 << depth
    return [-(-int(size) // cell) * cell for size in shape]


def subm(in_channels: int, out_channels: int, level: int) -> nn.Module:
    """Make a submanifold convolution, kernel 3."""
    conv: nn.Module = spconv.SubMConv3d(in_channels, out_channels, 3, padding=1, bias=False, indice_key=f"subm{level}")
    return conv


class SpconvLayer(nn.Module):
    """Convolution, batch norm, and ReLU unless switched off."""

    def __init__(self, conv: nn.Module, activate: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm1d(int(conv.out_channels), eps=EPS, momentum=MOMENTUM)  # type: ignore[arg-type]
        self._activate = activate

    def forward(self, x: Any) -> Any:
        """Map a SparseConvTensor to a SparseConvTensor."""
        x = self.conv(x)
        feats = self.norm(x.features)
        return x.replace_feature(relu(feats) if self._activate else feats)


class Skip(nn.Module):
    """Convolution of kernel 1 and batch norm. A Linear: spconv 2 reads its own kernel of 1 transposed."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Linear(in_channels, out_channels, bias=False)
        self.norm = nn.BatchNorm1d(out_channels, eps=EPS, momentum=MOMENTUM)

    def forward(self, feats: Tensor) -> Tensor:
        """Map features [N, C] to [N, C']."""
        result: Tensor = self.norm(self.conv(feats))
        return result


class SpconvBlock(nn.Module):
    """Two convolutions and a skip, which is a convolution where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, level: int) -> None:
        super().__init__()
        self.conv1 = SpconvLayer(subm(in_channels, out_channels, level))
        self.conv2 = SpconvLayer(subm(out_channels, out_channels, level), activate=False)
        self.skip = nn.Identity() if in_channels == out_channels else Skip(in_channels, out_channels)

    def forward(self, x: Any) -> Any:
        """Map a SparseConvTensor to one of the same level."""
        y = self.conv2(self.conv1(x))
        return y.replace_feature(relu(y.features + self.skip(x.features)))


class SpconvDown(nn.Module):
    """Halve the resolution, then residual blocks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, level: int) -> None:
        super().__init__()
        conv = spconv.SparseConv3d(in_channels, in_channels, 2, stride=2, bias=False, indice_key=f"down{level}")
        self.down = SpconvLayer(conv)
        self.blocks = residual_blocks(in_channels, out_channels, blocks, level)

    def forward(self, x: Any) -> Any:
        """Go one level coarser."""
        return self.blocks(self.down(x))


class SpconvUp(nn.Module):
    """Double the resolution, append the encoder's features of that level, then residual blocks."""

    def __init__(self, in_channels: int, out_channels: int, skip_channels: int, blocks: int, level: int) -> None:
        super().__init__()
        conv = spconv.SparseInverseConv3d(in_channels, out_channels, 2, bias=False, indice_key=f"down{level + 1}")
        self.up = SpconvLayer(conv)
        self.blocks = residual_blocks(out_channels + skip_channels, out_channels, blocks, level)

    def forward(self, x: Any, skip: Any) -> Any:
        """Go one level finer; skip is the encoder's tensor of that level."""
        y = self.up(x)
        return self.blocks(y.replace_feature(torch.cat([y.features, skip.features], dim=1)))


def residual_blocks(in_channels: int, out_channels: int, count: int, level: int) -> nn.Sequential:
    """Make ``count`` blocks, the first of which changes the width."""
    widths = [in_channels] + [out_channels] * count
    return nn.Sequential(*(SpconvBlock(a, b, level) for a, b in pairwise(widths)))
