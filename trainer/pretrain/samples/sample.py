"""One sample: two augmented sweeps, their shared regions, and occupancy queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.shared.base.config import option
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.augment import AugmentConfig, View, augment
from iscc_lidar.trainer.data.pairs import Partner
from iscc_lidar.trainer.data.rotate_groups import rotate_groups
from iscc_lidar.trainer.data.voxelize import Members, Voxels, group_members, voxelize
from iscc_lidar.trainer.pretrain.samples.crops import CropConfig, draw_crops
from iscc_lidar.trainer.pretrain.samples.parts import PartConfig, draw_parts
from iscc_lidar.trainer.pretrain.samples.queries import QueryConfig, QueryTargets, ask
from iscc_lidar.trainer.pretrain.samples.regions import FindRegions, Pair


@dataclass(frozen=True)
class DataConfig:
    """What of a sweep is used."""

    partner: Partner = option(
        "window", "x_j: another sweep of a window that holds x_i [deck], or the same sweep again, augmented otherwise"
    )
    min_group_points: int = option(10, "a shared group has more points than this in both views [choice]")
    max_range_m: float = option(80.0, "points beyond this range are left out, metres; groups end there as well")


@dataclass(frozen=True)
class Sample:
    """What the step needs of one pair of sweeps.

    Attributes:
        names: of x_i and x_j, for messages.
        voxels1, voxels2: of the two views.
        ground: bool [K], the regions that are cells of the ground.
        members1, members2: voxels of the parts in the first view, of the K regions in the second.
        region_of_part: int64 [R], the region of each part.
        queries: of the first view.
    """

    names: tuple[str, str]
    voxels1: Voxels
    voxels2: Voxels
    ground: NDArray[np.bool_]
    members1: Members
    members2: Members
    region_of_part: NDArray[np.int64]
    queries: QueryTargets


def considered(sweep: CachedSweep, max_range_m: float) -> NDArray[np.bool_]:
    """Points that the network sees: bool [N]."""
    seen: NDArray[np.bool_] = sweep.label != NOT_CONSIDERED
    columns = np.ascontiguousarray(sweep.xyz.T)  # numpy sums long rows several times as fast as short ones
    seen &= np.linalg.norm(columns, axis=0) <= max_range_m
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
    asking: QueryConfig,
    find_regions: FindRegions,
    parts: PartConfig,
    rng: np.random.Generator,
) -> Sample:
    """Make x^_i, x^_j, V and Q1 of method.md from two sweeps, or twice the same; ``find_regions`` gives V."""
    sweep_i, sweep_j = (rotate_groups(sweep, augmentation.rotate_groups, rng) for sweep in (sweep_i, sweep_j))
    full_view1 = draw_view(sweep_i, data, augmentation, rng)
    view2 = draw_view(sweep_j, data, augmentation, rng)
    crops = draw_crops(full_view1, cropping, rng)
    view1 = full_view1.select(crops.visible)
    voxels1 = voxelize(view1.xyz, view1.intensity, voxel_size)
    voxels2 = voxelize(view2.xyz, view2.intensity, voxel_size)
    sensor1_SE3_sensor2 = np.linalg.inv(sweep_i.world_SE3_sensor) @ sweep_j.world_SE3_sensor
    regions = find_regions(Pair(view1, view2, voxels1, voxels2, sensor1_SE3_sensor2), rng)
    whole = group_members(regions.label1, regions.ids, voxels1)
    members1, region_of_part = draw_parts(whole, len(regions.ids), parts, rng)
    return Sample(
        names=(f"{sweep_i.sequence}/{sweep_i.name}", f"{sweep_j.sequence}/{sweep_j.name}"),
        voxels1=voxels1,
        voxels2=voxels2,
        ground=regions.ground,
        members1=members1,
        members2=group_members(regions.label2, regions.ids, voxels2),
        region_of_part=region_of_part,
        queries=ask(sweep_i.queries, view1.view_T_sensor, voxels1, asking, rng),
    )
