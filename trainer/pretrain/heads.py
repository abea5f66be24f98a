"""Layers on top of the backbone during pre-training: group pooling, projection head, decoders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.hardware.distributed import sum_over_ranks
from iscc_lidar.trainer.model.batch_norm import BatchNorm
from iscc_lidar.trainer.pretrain.samples.batch import GroupedView

# Dimensions: V voxels, K groups, D encoder channels, E projected channels, Q queries.


@dataclass(frozen=True)
class HeadConfig:
    """Size of the projection head, which is not kept for fine-tuning."""

    project_hidden: int = option(128, "hidden width of the projection head [ours]", at_least=1, at_most=4096)
    project_norm: bool = option(
        True,
        "batch norm between the two layers, over the regions of a step [ours, SimCLR]: pooled features of a new "
        "network all but agree, and what they have in common is taken out",
    )
    project_channels: int = option(128, "channels of f1, f2 and F_g [ours, SegContrast]", at_least=1, at_most=4096)

    def __post_init__(self) -> None:
        check_ranges(self, "heads")


def average_pool(voxel_feats: Tensor, view: GroupedView, groups: int) -> Tensor:
    """Compute avg_pool(h, V): mean over each group's points of their voxels' features, [V, D] -> [K, D]."""
    weighted = voxel_feats[view.member_voxel] * view.member_points[:, None]
    total = voxel_feats.new_zeros(groups, voxel_feats.shape[1]).index_add(0, view.member_group, weighted)
    points = voxel_feats.new_zeros(groups).index_add(0, view.member_group, view.member_points)
    return total / points.clamp(min=1)[:, None]


class RegionNorm(BatchNorm):
    """Batch norm over the regions of a step; by its running statistics where there are fewer than two of them."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the rows [K, C]."""
        if self.training and float(sum_over_ranks(x.new_tensor(float(len(x))))) < 2:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ProjectionHead(nn.Module):
    """Two layers and L2 normalisation, [K, D] -> unit rows [K, E]."""

    def __init__(self, channels: int, config: HeadConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            # A bias before the norm would be taken out again, and drift by rounding alone.
            nn.Linear(channels, config.project_hidden, bias=not config.project_norm),
            *([RegionNorm(config.project_hidden)] if config.project_norm else []),
            nn.ReLU(),
            nn.Linear(config.project_hidden, config.project_channels),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Project pooled group features."""
        return functional.normalize(self.layers(pooled), dim=1)


class OccupancyDecoder(nn.Module):
    """A small MLP on [h_v, relative position] of the voxel that a query is evaluated from, to one logit."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(channels + 3, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, 1),
        )

    def forward(self, voxel_feats: Tensor, query_voxel: Tensor, offset: Tensor) -> Tensor:
        """Compute logits [Q], positive for occupied.

        Args:
            voxel_feats: float [V, D].
            query_voxel: int64 [Q], rows of voxel_feats.
            offset: float [Q, 3], from query to voxel, metres.
        """
        logit: Tensor = self.layers(torch.cat([voxel_feats[query_voxel], offset], dim=1)).squeeze(1)
        return logit


class SurroundingsDecoder(nn.Sequential):
    """Two layers from a voxel's features [S, D] to a logit for each cell around it [S, C], positive for occupied."""

    def __init__(self, channels: int, hidden: int, cells: int) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, cells))
