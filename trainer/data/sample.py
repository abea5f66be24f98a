"""One sample: two augmented sweeps, their shared regions, and queries about what was hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.shared.cache_reader import CachedSweep
from iscc_lidar.shared.config import option
from iscc_lidar.trainer.data.augment import AugmentConfig, View, augment
from iscc_lidar.trainer.data.crops import CropConfig, Crops, draw_crops
from iscc_lidar.trainer.data.neighbours import NONE, nearest_voxels
from iscc_lidar.trainer.data.pairs import Partner
from iscc_lidar.trainer.data.parts import PartConfig, draw_parts
from iscc_lidar.trainer.data.regions import FindRegions, Pair
from iscc_lidar.trainer.data.turn_groups import turn_groups
from iscc_lidar.trainer.data.voxelize import Members, Voxels, group_members, voxelize


@dataclass(frozen=True)
class DataConfig:
    """What of a sweep is used."""

    partner: Partner = option(
        "window", "x_j: another sweep of a window that holds x_i [deck], or the same sweep again, augmented otherwise"
    )
    min_group_points: int = option(10, "a shared group has more points than this in both views [choice]")
    max_range_m: float = option(80.0, "points beyond this range are left out, metres; groups end there as well")
    neighbours: int = option(
        4,
        "visible voxels that an occupancy query sees at most [choice]; with 16 the decoder "
        "answers from their positions alone (.79 without any encoder, .75 with 4, .70 with 1)",
    )
    neighbour_reach_m: float = option(1.0, "and how far they may lie, metres [choice, ALSO]")
    offset_frame: Literal["ray", "view"] = option(
        "ray",
        "axes of a query's relative positions: ray turns x into the line of sight, so that in front of and "
        "behind a surface differ; in the rotated view's own axes runs of 300 steps stay at chance [choice]",
    )


@dataclass(frozen=True)
class HiddenQueries:
    """Occupancy queries in the hidden regions of view 1.

    Attributes:
        neighbour: int64 [Q, k], rows of view 1's voxels, NONE where there are fewer.
        offset: float32 [Q, k, 3], from the query to each neighbour, metres, in the axes of
            DataConfig.offset_frame; 0 where there is none.
        occupied: bool [Q].
        asked: int64 [Q], position of each query among those of the crops.
    """

    neighbour: NDArray[np.int64]
    offset: NDArray[np.float32]
    occupied: NDArray[np.bool_]
    asked: NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """What the step needs of one pair of sweeps; ``names`` are those of x_i and x_j, for messages."""

    names: tuple[str, str]
    voxels1: Voxels
    voxels2: Voxels
    groups: int
    members1: Members
    members2: Members
    region_of_part: NDArray[np.int64]
    queries: HiddenQueries


def considered(sweep: CachedSweep, max_range_m: float) -> NDArray[np.bool_]:
    """Points that the network sees: bool [N]."""
    seen: NDArray[np.bool_] = sweep.label != NOT_CONSIDERED
    x, y, z = np.ascontiguousarray(sweep.xyz.T)  # numpy sums long rows several times as fast as short ones
    seen &= np.sqrt(x * x + y * y + z * z) <= max_range_m
    return seen


def draw_view(sweep: CachedSweep, data: DataConfig, config: AugmentConfig, rng: np.random.Generator) -> View:
    """Draw an augmented view of a sweep's considered points."""
    keep = np.flatnonzero(considered(sweep, data.max_range_m))
    return augment(sweep.xyz.take(keep, axis=0), sweep.intensity[keep], sweep.label[keep], config, rng)


def make_sample(
    sweep_i: CachedSweep,
    sweep_j: CachedSweep,
    voxel_size: float,
    data: DataConfig,
    augmentation: AugmentConfig,
    cropping: CropConfig,
    find_regions: FindRegions,
    parts: PartConfig,
    rng: np.random.Generator,
) -> Sample:
    """Make x^_i, x^_j, V and Q1 of method.md from two sweeps, or twice the same; ``find_regions`` gives V."""
    sweep_i, sweep_j = (turn_groups(sweep, augmentation.turn_groups, rng) for sweep in (sweep_i, sweep_j))
    full_view1 = draw_view(sweep_i, data, augmentation, rng)
    view2 = draw_view(sweep_j, data, augmentation, rng)
    crops = draw_crops(full_view1, sweep_i.queries, cropping, rng)
    view1 = full_view1.select(crops.visible)
    voxels1 = voxelize(view1.xyz, view1.intensity, voxel_size)
    voxels2 = voxelize(view2.xyz, view2.intensity, voxel_size)
    regions = find_regions(Pair(view1, view2, voxels1, voxels2), rng)
    whole = group_members(regions.label1, regions.ids, voxels1)
    members1, region_of_part = draw_parts(whole, len(regions.ids), parts, rng)
    return Sample(
        names=(f"{sweep_i.sequence}/{sweep_i.name}", f"{sweep_j.sequence}/{sweep_j.name}"),
        voxels1=voxels1,
        voxels2=voxels2,
        groups=len(regions.ids),
        members1=members1,
        members2=group_members(regions.label2, regions.ids, voxels2),
        region_of_part=region_of_part,
        queries=hidden_queries(crops, voxels1, data),
    )


def hidden_queries(crops: Crops, voxels1: Voxels, data: DataConfig) -> HiddenQueries:
    """Join queries with what is visible around them; those without any neighbour are left out."""
    neighbour = nearest_voxels(crops, voxels1.xyz, data.neighbours, data.neighbour_reach_m)
    asked = np.flatnonzero(neighbour[:, 0] != NONE)
    neighbour, xyz = neighbour[asked], crops.xyz[asked]
    offset = np.where(neighbour[..., None] == NONE, np.float32(0), voxels1.xyz[neighbour] - xyz[:, None])
    if data.offset_frame == "ray":
        offset = to_ray_axes(offset, xyz)
    return HiddenQueries(neighbour, offset, crops.occupied[asked], asked)


def to_ray_axes(offset: NDArray[np.float32], xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn offsets [Q, k, 3] about z so that x points away from the sensor, which is the origin of ``xyz`` [Q, 3]."""
    distance = np.maximum(np.linalg.norm(xyz[:, :2], axis=1, keepdims=True), np.float32(1e-6))
    ahead_x, ahead_y = (xyz[:, :2] / distance).T[:, :, None]
    x, y, z = np.moveaxis(offset, 2, 0)
    return np.stack([x * ahead_x + y * ahead_y, y * ahead_x - x * ahead_y, z], axis=2)
