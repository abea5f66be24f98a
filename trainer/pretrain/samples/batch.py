"""Several samples as one frozen set of tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iscc_lidar.trainer.data.voxelize import Members, Voxels
from iscc_lidar.trainer.pretrain.samples.sample import Sample

# Dimensions: B scenes, V voxels, K regions, R parts, P (voxel, region) entries, Q queries; all over the batch.


@dataclass(frozen=True)
class GroupedView:
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

    def map(self, change: Callable[[Tensor], Tensor]) -> GroupedView:
        """The same view with every tensor changed."""
        return GroupedView(*(change(getattr(self, field.name)) for field in dataclasses.fields(self)))


@dataclass(frozen=True)
class Batch:
    """Input of one training step.

    Attributes:
        names: for each scene the names of x_i and x_j.
        view1, view2: augmented x_i with crops hidden, augmented x_j.
        scene: int64 [K], the scene of each region.
        ground: bool [K], regions that are cells of the ground.
        region_of_part: int64 [R], ascending: what is pooled in view1 are parts of regions, see parts.py; its
            member_group counts them.
        query_voxel: int64 [Q], the row of view1 that answers each query.
        offset: float32 [Q, 3], from query to voxel, metres.
        occupied: float32 [Q], 1 behind a surface, 0 in free space.
    """

    names: tuple[tuple[str, str], ...]
    view1: GroupedView
    view2: GroupedView
    scene: Tensor
    ground: Tensor
    region_of_part: Tensor
    query_voxel: Tensor
    offset: Tensor
    occupied: Tensor

    def to(self, device: torch.device) -> Batch:
        """Copy all tensors to a device."""
        return self.map(lambda tensor: tensor.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with every tensor changed."""
        of_regions = (self.scene, self.ground, self.region_of_part)
        tensors = (change(t) for t in (*of_regions, self.query_voxel, self.offset, self.occupied))
        return Batch(self.names, self.view1.map(change), self.view2.map(change), *tensors)


def collate(samples: Sequence[Sample]) -> Batch:
    """Join samples; rows and regions are renumbered over the batch."""
    regions = [len(s.ground) for s in samples]
    first_voxel = _starts([len(s.voxels1.coords) for s in samples])
    return Batch(
        names=tuple(s.names for s in samples),
        view1=_join_views(
            [s.voxels1 for s in samples], [s.members1 for s in samples], [len(s.region_of_part) for s in samples]
        ),
        view2=_join_views([s.voxels2 for s in samples], [s.members2 for s in samples], regions),
        scene=torch.from_numpy(np.repeat(np.arange(len(samples)), regions)),
        ground=_tensor([s.ground for s in samples]),
        region_of_part=_tensor([s.region_of_part + start for s, start in zip(samples, _starts(regions), strict=True)]),
        query_voxel=_tensor([s.queries.voxel + start for s, start in zip(samples, first_voxel, strict=True)]),
        offset=_tensor([s.queries.offset for s in samples]),
        occupied=_tensor([s.queries.occupied.astype(np.float32) for s in samples]),
    )


def join_voxels(voxels: Sequence[Voxels]) -> tuple[Tensor, Tensor]:
    """Join the voxels of scenes: coordinates int32 [V, 4] (scene, x, y, z), features float32 [V, 4]."""
    coords = [np.pad(v.coords, ((0, 0), (1, 0)), constant_values=scene) for scene, v in enumerate(voxels)]
    return _tensor(coords), _tensor([v.feats for v in voxels])


def _join_views(voxels: Sequence[Voxels], members: Sequence[Members], groups: Sequence[int]) -> GroupedView:
    coords, feats = join_voxels(voxels)
    first_voxel, first_group = _starts([len(v.coords) for v in voxels]), _starts(groups)
    return GroupedView(
        coords,
        feats,
        member_voxel=_tensor([m.voxel + start for m, start in zip(members, first_voxel, strict=True)]),
        member_group=_tensor([m.group + start for m, start in zip(members, first_group, strict=True)]),
        member_points=_tensor([m.points for m in members]),
    )


def _starts(counts: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(counts)[:-1].tolist()]


def _tensor(arrays: Sequence[NDArray[np.generic]]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays))
