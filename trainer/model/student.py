"""The networks of pre-training: what student and teacher share, and what only the student has."""

from __future__ import annotations

from torch import Tensor, nn

from iscc_lidar.trainer.data.batch import GroupedView
from iscc_lidar.trainer.model.heads import HeadConfig, OccupancyDecoder, ProjectionHead, average_pool
from iscc_lidar.trainer.model.unet import ModelConfig, SparseUNet


class GroupEncoder(nn.Module):
    """F and its projection head."""

    def __init__(self, model: ModelConfig, heads: HeadConfig) -> None:
        super().__init__()
        self.encoder = SparseUNet(model)
        self.head = ProjectionHead(model.out_channels, heads)

    def voxel_features(self, view: GroupedView) -> Tensor:
        """H = F(view), float [V, D]."""
        h: Tensor = self.encoder(view.coords, view.feats)
        return h

    def group_features(self, h: Tensor, view: GroupedView, groups: int) -> Tensor:
        """Unit rows [K, E]: the head of avg_pool(h, V)."""
        f: Tensor = self.head(average_pool(h, view, groups))
        return f


class Student(GroupEncoder):
    """F_theta with its projection head and the occupancy decoder: all that is trained by gradient."""

    def __init__(self, model: ModelConfig, heads: HeadConfig) -> None:
        super().__init__(model, heads)
        self.decoder = OccupancyDecoder(model.out_channels, heads)
