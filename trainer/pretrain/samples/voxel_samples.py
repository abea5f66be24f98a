"""Voxel samples of a region: what the student's features are pooled over.

Pooled over a whole group, the mean of many features is a histogram of local shapes, which distinguishes groups without
any voxel knowing what it belongs to. Pooled over one voxel or a few, each has to infer that from its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.data.voxelize import Members

# P (voxel, region) entries, K regions, R samples


@dataclass(frozen=True)
class VoxelSampleConfig:
    """How regions of the first view are sampled before they are pooled; those of the second never are."""

    voxels: int = option(
        1, "voxels per sample, drawn at random from a region; 0 pools whole regions [ours]", at_least=0, at_most=10**6
    )
    max_parts: int = option(
        32,
        "samples per region at most; each region has the same weight, however many it has",
        at_least=1,
        at_most=10**6,
    )

    def __post_init__(self) -> None:
        check_ranges(self, "voxel_samples")


def draw_voxel_samples(
    members: Members, regions: int, config: VoxelSampleConfig, rng: np.random.Generator
) -> tuple[Members, NDArray[np.int64]]:
    """Draw voxel samples of each of K regions.

    Returns:
        The members of the samples, ``group`` counting samples, and the region of each, int64 [R], ascending. Every
        region has at least one.
    """
    if config.voxels == 0:
        return members, np.arange(regions)
    order = np.lexsort((rng.random(len(members.group)), members.group))
    group = members.group[order]
    place = np.arange(len(group)) - np.searchsorted(group, group)  # within its region
    kept = place < config.voxels * config.max_parts
    order, group, place = order[kept], group[kept], place[kept]
    key, sample = np.unique(group * config.max_parts + place // config.voxels, return_inverse=True)
    return Members(members.voxel[order], sample, members.points[order]), key // config.max_parts
