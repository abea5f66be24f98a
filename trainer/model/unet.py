"""Sparse residual U-Net after MinkUNet (Choy et al., CVPR 2019), the backbone F_theta."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.utils.checkpoint import checkpoint

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.engine import NATIVE, Engine
from iscc_lidar.trainer.engine.coordinates import sort_order
from iscc_lidar.trainer.model.batch_norm import BatchNorm, recomputation

_WIDEST, _MOST_BLOCKS, _MOST_LEVELS = 4096, 64, 12

# N voxels of the input's level, C channels, D features


@dataclass(frozen=True)
class ModelConfig:
    """Voxel size and shape of the U-Net. The depth is the length of encoder_widths.

    The defaults are for two cores (0.78 M parameters). MinkUNet18 at full width (21.7 M, as in ALSO and BEVContrast)
    is voxel_size 0.05 or 0.1, stem_width 32, encoder_widths [32, 64, 128, 256], decoder_widths [256, 128, 96, 96],
    blocks 2.
    """

    voxel_size: float = option(
        0.2,
        "edge of a voxel, metres; 0.2: about 30 k per sweep; BEVContrast uses 0.05 to 0.1",
        at_least=1e-3,
        at_most=100,
    )
    in_channels: int = option(
        4, "features of a voxel: mean x, y, z (scaled) and intensity", at_least=1, at_most=_WIDEST
    )
    stem_width: int = option(24, "channels of the two convolutions at full resolution", at_least=1, at_most=_WIDEST)
    encoder_widths: tuple[int, ...] = option(
        (32, 32, 48, 48), "channels at strides 2, 4, 8, ...; one per level", at_least=1, at_most=_WIDEST
    )
    decoder_widths: tuple[int, ...] = option(
        (32, 32, 32, 32), "channels of the decoder, coarsest first", at_least=1, at_most=_WIDEST
    )
    out_levels: int = option(
        1,
        "levels of the decoder, the finest first, whose features are joined: coarse ones know more of what is around",
        at_least=1,
        at_most=_MOST_LEVELS,
    )
    blocks: int = option(
        1, "residual blocks per stage; 1 for two cores, MinkUNet uses 2", at_least=1, at_most=_MOST_BLOCKS
    )

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if not self.encoder_widths or len(self.encoder_widths) != len(self.decoder_widths):
            raise ValueError(
                "model.encoder_widths and model.decoder_widths must be equally long and not empty, but have "
                f"{len(self.encoder_widths)} and {len(self.decoder_widths)} values"
            )
        if len(self.encoder_widths) > _MOST_LEVELS:
            raise ValueError(f"model.encoder_widths has {len(self.encoder_widths)} values, {_MOST_LEVELS} at most")
        if self.out_levels > len(self.decoder_widths):
            raise ValueError(f"model.out_levels={self.out_levels}: the decoder has {len(self.decoder_widths)} levels")

    @property
    def out_channels(self) -> int:
        """Number of features per voxel, D."""
        return sum(self.decoder_widths[-self.out_levels :])


class SparseUNet(nn.Module):
    """Features of every voxel and its surroundings.

    With ``activation_checkpointing`` a stage keeps only its input for the backward pass and recomputes the rest there:
    less memory for a third more time.
    """

    def __init__(self, config: ModelConfig, engine: Engine = NATIVE, activation_checkpointing: bool = False) -> None:
        super().__init__()
        self.config = config
        self._sparse_tensor = engine.sparse_tensor
        self._checkpointing = activation_checkpointing
        stem = config.stem_width
        self.stem = nn.Sequential(
            ConvNormReLU(engine, config.in_channels, stem, 3), ConvNormReLU(engine, stem, stem, 3)
        )
        widths = (stem, *config.encoder_widths)
        self.encoder = nn.ModuleList(DownStage(engine, wide, deep, config.blocks) for wide, deep in pairwise(widths))
        below = (widths[-1], *config.decoder_widths)
        self.decoder = nn.ModuleList(
            UpStage(engine, deep, width, skip, config.blocks)
            for deep, width, skip in zip(below[:-1], below[1:], widths[-2::-1], strict=True)
        )

    def forward(self, bxyz: Tensor, feats: Tensor) -> Tensor:
        """Compute the features of every voxel.

        Args:
            bxyz: int32 [N, 4], (batch, x, y, z) in voxels, >= 0, unique, in any order.
            feats: [N, in_channels], float32 or float64.

        Returns:
            [N, D], in the order of the input rows; the finest level's features first.

        Raises:
            ValueError: voxels are missing, negative or repeated; in training mode also if only one voxel is left at
                the coarsest level.
            UserError: the voxels lie too far apart for 64-bit indices.
        """
        order = sort_order(bxyz)
        x = self._sparse_tensor(bxyz[order], feats[order])
        skips = [x := self._run(self.stem, x)]
        for down in self.encoder:
            skips.append(x := self._run(down, x))
        skips.pop()
        levels = [x := self._run(up, x, skips.pop()) for up in self.decoder]
        row = torch.empty_like(order)
        row[order] = torch.arange(len(order), device=order.device)
        joined = [x.feats[row]]
        for coarser in range(1, self.config.out_levels):
            row = levels[-coarser].parent_rows()[row]
            joined.append(levels[-coarser - 1].feats[row])
        return torch.cat(joined, dim=1)

    def _run(self, stage: nn.Module, *tensors: Any) -> Any:
        if not (self._checkpointing and self.training and torch.is_grad_enabled()):
            return stage(*tensors)
        return checkpoint(stage, *tensors, use_reentrant=False, context_fn=recomputation, preserve_rng_state=False)


class ConvNormReLU(nn.Module):
    """Convolution, batch norm, and ReLU unless switched off."""

    def __init__(
        self,
        engine: Engine,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        transposed: bool = False,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = engine.SparseConv3d(in_channels, out_channels, kernel_size, stride, transposed=transposed)
        self.norm = BatchNorm(out_channels)
        self._activate = activate

    def forward(self, x: Any) -> Any:
        """Map a sparse tensor to a sparse tensor, on another level if strided or transposed."""
        x = self.conv(x)
        feats = self.norm(x.feats)
        return x.with_feats(relu(feats, inplace=True) if self._activate else feats)


class ResidualBlock(nn.Module):
    """Two convolutions and a skip connection, which is a convolution of kernel 1 if the width changes."""

    def __init__(self, engine: Engine, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNormReLU(engine, in_channels, out_channels, 3)
        self.conv2 = ConvNormReLU(engine, out_channels, out_channels, 3, activate=False)
        self.skip = (
            nn.Identity()
            if in_channels == out_channels
            else ConvNormReLU(engine, in_channels, out_channels, 1, activate=False)
        )

    def forward(self, x: Any) -> Any:
        """Map a sparse tensor to a sparse tensor of the same level."""
        y = self.conv2(self.conv1(x))
        return y.with_feats(relu(y.feats + self.skip(x).feats, inplace=True))


class DownStage(nn.Module):
    """Halve the resolution, then residual blocks."""

    def __init__(self, engine: Engine, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        self.down = ConvNormReLU(engine, in_channels, in_channels, 2, 2)
        self.blocks = _residual_blocks(engine, in_channels, out_channels, blocks)

    def forward(self, x: Any) -> Any:
        """Map a sparse tensor to the next coarser level."""
        return self.blocks(self.down(x))


class UpStage(nn.Module):
    """Double the resolution, append the encoder's features of that level, then residual blocks."""

    def __init__(self, engine: Engine, in_channels: int, out_channels: int, skip_channels: int, blocks: int) -> None:
        super().__init__()
        self.up = ConvNormReLU(engine, in_channels, out_channels, 2, 2, transposed=True)
        self.blocks = _residual_blocks(engine, out_channels + skip_channels, out_channels, blocks)

    def forward(self, x: Any, skip: Any) -> Any:
        """Map a sparse tensor to the next finer level, of which skip is the encoder's tensor."""
        y = self.up(x)
        return self.blocks(y.with_feats(torch.cat([y.feats, skip.feats], dim=1)))


def _residual_blocks(engine: Engine, in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    widths = [in_channels] + [out_channels] * count
    return nn.Sequential(*(ResidualBlock(engine, a, b) for a, b in pairwise(widths)))
