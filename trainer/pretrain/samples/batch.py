"""Several samples as one frozen set of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iscc_lidar.trainer.data.pack import TensorSet
from iscc_lidar.trainer.data.voxelize import Members, Voxels, join_voxels, to_tensor
from iscc_lidar.trainer.pretrain.samples.sample import Sample

# Dimensions: B scenes, V voxels, K regions, R voxel samples, P (voxel, region) entries, Q queries,
# S voxels whose C surrounding cells are known; all over the batch.


@dataclass(frozen=True)
class GroupedView(TensorSet):
    """One view of every scene.

    Attributes:
        coords: int32 [V, 4], (scene, x, y, z).
        feats: float32 [V, 4].
        member_voxel, member_group: int64 [P]; member_points: float32 [P], see voxelize.Members.
    """

    coords: Tensor
    feats: Tensor
    member_voxel: Tensor
    member_group: Tensor
    member_points: Tensor


@dataclass(frozen=True)
class Batch(TensorSet):
    """Input of one training step.

    Attributes:
        names: of the two sweeps of each scene, for messages.
        view1, view2: augmented x_i with balls masked, augmented x_j.
        scene: int64 [K], the scene of each region.
        ground: bool [K], regions that are ground patches.
        region_of_row: int64 [R], ascending, the region of each voxel sample that is pooled in view1, whose
            member_group counts them.
        query_voxel: int64 [Q], the row of view1 that each query is evaluated from.
        offset: float32 [Q, 3], from query to voxel, metres.
        occupied: float32 [Q], 1 behind a surface, 0 in free space.
        around_voxel: int64 [S], rows of view1 whose surroundings are known.
        around: bool [S, C], which cells around them are occupied.
        left_out: names of sweeps with too few points, for which others were taken.
    """

    names: tuple[str, ...]
    view1: GroupedView
    view2: GroupedView
    scene: Tensor
    ground: Tensor
    region_of_row: Tensor
    query_voxel: Tensor
    offset: Tensor
    occupied: Tensor
    around_voxel: Tensor
    around: Tensor
    left_out: tuple[str, ...] = ()

    def describe(self) -> str:
        """Describe its size."""
        voxels = len(self.view1.coords) + len(self.view2.coords)
        return f"{voxels:,} voxels, {len(self.scene)} regions, {len(self.occupied)} queries"


def collate(samples: Sequence[Sample]) -> Batch:
    """Join samples; rows and regions are renumbered over the batch."""
    regions = [len(s.ground) for s in samples]
    first_voxel = _starts([len(s.voxels1.coords) for s in samples])
    return Batch(
        names=tuple(" with ".join(s.names) for s in samples),
        view1=_join_views(
            [s.voxels1 for s in samples], [s.members1 for s in samples], [len(s.region_of_row) for s in samples]
        ),
        view2=_join_views([s.voxels2 for s in samples], [s.members2 for s in samples], regions),
        scene=torch.from_numpy(np.repeat(np.arange(len(samples)), regions)),
        ground=to_tensor([s.ground for s in samples]),
        region_of_row=to_tensor([s.region_of_row + start for s, start in zip(samples, _starts(regions), strict=True)]),
        query_voxel=to_tensor([s.queries.voxel + start for s, start in zip(samples, first_voxel, strict=True)]),
        offset=to_tensor([s.queries.offset for s in samples]),
        occupied=to_tensor([s.queries.occupied.astype(np.float32) for s in samples]),
        around_voxel=to_tensor([s.surroundings.voxel + start for s, start in zip(samples, first_voxel, strict=True)]),
        around=to_tensor([s.surroundings.occupied for s in samples]),
        left_out=tuple(name for s in samples for name in s.left_out),
    )


def _join_views(voxels: Sequence[Voxels], members: Sequence[Members], groups: Sequence[int]) -> GroupedView:
    coords, feats = join_voxels(voxels)
    first_voxel, first_group = _starts([len(v.coords) for v in voxels]), _starts(groups)
    return GroupedView(
        coords,
        feats,
        member_voxel=to_tensor([m.voxel + start for m, start in zip(members, first_voxel, strict=True)]),
        member_group=to_tensor([m.group + start for m, start in zip(members, first_group, strict=True)]),
        member_points=to_tensor([m.points for m in members]),
    )


def _starts(counts: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(counts)[:-1].tolist()]
