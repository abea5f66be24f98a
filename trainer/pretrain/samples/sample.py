"""One sample: two augmented sweeps, their shared regions, and what there is to be predicted of their space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.cache.sweep import CachedSweep
from iscc_lidar.trainer.data.augment import AugmentConfig, View, augment, rotate_groups
from iscc_lidar.trainer.data.dataset import SweepSample
from iscc_lidar.trainer.data.pairs import Partner
from iscc_lidar.trainer.data.voxelize import Members, Voxels, considered, group_members, voxelize
from iscc_lidar.trainer.pretrain.samples.masking import NO_MASKING, MaskingConfig, draw_masked_balls
from iscc_lidar.trainer.pretrain.samples.occupancy_queries import (
    NO_QUERIES,
    OccupancyConfig,
    QueryTargets,
    sample_queries,
)
from iscc_lidar.trainer.pretrain.samples.regions import FindRegions, Pair
from iscc_lidar.trainer.pretrain.samples.surroundings import (
    NO_SURROUNDINGS,
    Surroundings,
    SurroundingsConfig,
    draw_surroundings,
)
from iscc_lidar.trainer.pretrain.samples.voxel_samples import VoxelSampleConfig, draw_voxel_samples


@dataclass(frozen=True)
class PairConfig:
    """Which sweeps make a pair, and what of them is used."""

    partner: Partner = option(
        "window",
        "x_j: another sweep of a window that holds x_i [authors], or the same sweep again, augmented otherwise",
    )
    min_group_points: int = option(10, "a shared group has more points than this in both views [ours]", at_least=0)
    max_range_m: float = option(
        80.0, "points beyond this range are left out, metres; groups end there as well", at_least=0.1, at_most=10_000
    )

    def __post_init__(self) -> None:
        check_ranges(self, "data")


@dataclass(frozen=True)
class SampleOptions:
    """How a sample is made.

    Attributes:
        voxel_size: edge of the network's voxels, metres.
        data, augment, voxel_samples, masking: sections of the method's options.
        occupancy: likewise; None draws no queries.
        surroundings: likewise; None finds none.
    """

    voxel_size: float
    data: PairConfig
    augment: AugmentConfig
    voxel_samples: VoxelSampleConfig
    masking: MaskingConfig = NO_MASKING
    occupancy: OccupancyConfig | None = None
    surroundings: SurroundingsConfig | None = None


@dataclass(frozen=True)
class Sample(SweepSample):
    """What the step needs of one pair of sweeps.

    Attributes:
        names: of x_i and x_j, for messages.
        voxels1, voxels2: of the two views.
        ground: bool [K], the regions that are ground patches.
        members1, members2: members of the R voxel samples in the first view, of the K regions in the second.
        region_of_row: int64 [R], the region of each voxel sample.
        queries: of the first view.
        surroundings: of voxels of the first view.
    """

    names: tuple[str, str]
    voxels1: Voxels
    voxels2: Voxels
    ground: NDArray[np.bool_]
    members1: Members
    members2: Members
    region_of_row: NDArray[np.int64]
    queries: QueryTargets
    surroundings: Surroundings


def draw_view(sweep: CachedSweep, data: PairConfig, config: AugmentConfig, rng: np.random.Generator) -> View:
    """Draw an augmented view of a sweep's considered points."""
    keep = np.flatnonzero(considered(sweep, data.max_range_m))
    return augment(sweep.xyz.take(keep, axis=0), sweep.intensity[keep], sweep.label[keep], config, rng)


def make_sample(
    sweep_i: CachedSweep,
    sweep_j: CachedSweep,
    options: SampleOptions,
    find_regions: FindRegions,
    rng: np.random.Generator,
) -> Sample:
    """Make x^_i, x^_j, V and Q1 of method.md from two sweeps, or twice the same; ``find_regions`` gives V."""
    share, voxel_size = options.augment.rotate_groups, options.voxel_size
    sweep_i, sweep_j = (rotate_groups(sweep, share, rng) for sweep in (sweep_i, sweep_j))
    full_view1 = draw_view(sweep_i, options.data, options.augment, rng)
    view2 = draw_view(sweep_j, options.data, options.augment, rng)
    view1 = full_view1.select(draw_masked_balls(full_view1, options.masking, rng).visible)
    voxels1 = voxelize(view1.xyz, view1.intensity, voxel_size)
    voxels2 = voxelize(view2.xyz, view2.intensity, voxel_size)
    sensor1_SE3_sensor2 = np.linalg.inv(sweep_i.world_SE3_sensor) @ sweep_j.world_SE3_sensor
    regions = find_regions(Pair(view1, view2, voxels1, voxels2, sensor1_SE3_sensor2), rng)
    whole = group_members(regions.label1, regions.ids, voxels1)
    members1, region_of_row = draw_voxel_samples(whole, len(regions.ids), options.voxel_samples, rng)
    queries = NO_QUERIES
    if options.occupancy is not None:
        queries = sample_queries(sweep_i.queries, view1.view_T_sensor, voxels1, options.occupancy, rng)
    surroundings = NO_SURROUNDINGS
    if options.surroundings is not None:
        surroundings = draw_surroundings(voxels1, full_view1.xyz, options.surroundings, rng)
    return Sample(
        names=(f"{sweep_i.sequence}/{sweep_i.name}", f"{sweep_j.sequence}/{sweep_j.name}"),
        voxels1=voxels1,
        voxels2=voxels2,
        ground=regions.ground,
        members1=members1,
        members2=group_members(regions.label2, regions.ids, voxels2),
        region_of_row=region_of_row,
        queries=queries,
        surroundings=surroundings,
    )
