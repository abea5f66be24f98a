"""The networks of pre-training: what student and teacher share, and what only a method's student has.

The encoder may compute in half precision; its output, the heads and the losses are float32.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from iscc_lidar.trainer.hardware.device import ON_CPU, Compute
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet
from iscc_lidar.trainer.pretrain.config import PretrainConfig
from iscc_lidar.trainer.pretrain.heads import (
    HeadConfig,
    OccupancyDecoder,
    ProjectionHead,
    SurroundingsDecoder,
    average_pool,
)
from iscc_lidar.trainer.pretrain.samples.batch import Batch, GroupedView
from iscc_lidar.trainer.pretrain.samples.surroundings import SurroundingsConfig


class GroupEncoder(torch.nn.Module):
    """F and its projection head."""

    def __init__(self, model: ModelConfig, heads: HeadConfig, compute: Compute = ON_CPU) -> None:
        super().__init__()
        self.encoder = SparseUNet(model, compute.engine, compute.activation_checkpointing)
        self.head = ProjectionHead(model.out_channels, heads)
        self._half = compute.half

    @classmethod
    def of(cls, config: PretrainConfig, compute: Compute = ON_CPU) -> Self:
        """Make the network of a run with new weights."""
        return cls(config.model, config.heads, compute)

    def voxel_features(self, view: GroupedView) -> Tensor:
        """Compute H = F(view), float [V, D]."""
        with torch.autocast(view.feats.device.type, dtype=self._half, enabled=self._half is not None):
            h: Tensor = self.encoder(view.coords, view.feats)
        return h if self._half is None else h.float()

    def group_features(self, h: Tensor, view: GroupedView, groups: int) -> Tensor:
        """Compute unit rows [K, E]: the head of avg_pool(h, V)."""
        f: Tensor = self.head(average_pool(h, view, groups))
        return f


class OneViewStudent(GroupEncoder):
    """F_theta with its projection head, where a teacher sees the second view."""

    def forward(self, batch: Batch) -> Tensor:
        """Compute f1 of the regions' voxel samples, unit rows [R, E]."""
        return self.group_features(self.voxel_features(batch.view1), batch.view1, len(batch.region_of_row))


class TwoViewStudent(GroupEncoder):
    """F_theta with its projection head, which sees both views."""

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute f1 of the regions' voxel samples and f2 of the regions, unit rows [R, E] and [K, E]."""
        h1, h2 = self.voxel_features(batch.view1), self.voxel_features(batch.view2)
        f1 = self.group_features(h1, batch.view1, len(batch.region_of_row))
        return f1, self.group_features(h2, batch.view2, len(batch.scene))


class Student(GroupEncoder):
    """F_theta with its projection head and the decoders of occupancy: all that ISCC trains by gradient.

    ``surroundings`` None makes it without their decoder.
    """

    def __init__(
        self,
        model: ModelConfig,
        heads: HeadConfig,
        decoder_hidden: int,
        surroundings: SurroundingsConfig | None = None,
        compute: Compute = ON_CPU,
    ) -> None:
        super().__init__(model, heads, compute)
        self.decoder = OccupancyDecoder(model.out_channels, decoder_hidden)
        self.around: SurroundingsDecoder | None = None
        if surroundings is not None:
            self.around = SurroundingsDecoder(model.out_channels, surroundings.hidden, surroundings.cells)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Compute f1 of the voxel samples, unit rows [R, E], and logits, positive for occupied.

        These are of the queries, [Q], and of the cells around voxels, [S, C]; None without their decoder.
        """
        h1 = self.voxel_features(batch.view1)
        f1 = self.group_features(h1, batch.view1, len(batch.region_of_row))
        around = None if self.around is None else self.around(h1[batch.around_voxel])
        return f1, self.decoder(h1, batch.query_voxel, batch.offset), around
