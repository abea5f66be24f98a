"""Segment a window: stack its sweeps, take off the ground, cluster, separate what touches, put feet back."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.data_schemas.sweep import Sweep, SweepError
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window, spanning_tree
from iscc_lidar.preprocess.segment.displacement import moved_back
from iscc_lidar.preprocess.segment.ground import GroundConfig, heights
from iscc_lidar.preprocess.segment.join_trails import join_trails
from iscc_lidar.preprocess.segment.linking import SweepLabels
from iscc_lidar.preprocess.segment.split_moving import split_moving
from iscc_lidar.preprocess.segment.split_touching import split_touching
from iscc_lidar.preprocess.segment.sweeps import ConsideredSweep
from iscc_lidar.preprocess.segment.voxels import voxelize
from iscc_lidar.shared.base.geometry import inverse, squared_lengths, transform

FARTHEST_IN_WINDOW_M: Final = 10_000.0
"""Largest difference of two poses of a window along an axis: voxels are counted by 64-bit keys."""
_BELOW_GROUND_M: Final = 0.3
"""What is further below the ground is a reflection, or a way down: never ground."""
_FEET_VOXEL_M: Final = 0.1
_FEET_REACH_M: Final = 0.3

Array = NDArray[np.float64]


def segment_window(
    sweeps: list[ConsideredSweep], start: int, ground: GroundConfig, clustering: ClusteringConfig
) -> SweepLabels:
    """Segment stacked sweeps; returns the labels of all their points, by sweep index from ``start`` on.

    The stack is in the frame of the middle sweep's sensor: z is up there, and float32 is too coarse in the world frame.
    """
    for each in sweeps:
        _refuse_jump(sweeps[0].sweep, each.sweep)
    stacked = [transform(_middle_SE3_sensor(sweeps, each), each.sweep.xyz[each.considered]) for each in sweeps]
    sizes = [len(xyz) for xyz in stacked]
    found = segment_stack(
        np.concatenate(stacked), np.repeat(np.arange(len(sizes)), sizes), _ranges(sweeps), ground, clustering
    )
    labels: SweepLabels = {}
    for index, (each, own) in enumerate(zip(sweeps, np.split(found, np.cumsum(sizes)[:-1]), strict=True), start):
        labels[index] = np.full(len(each.sweep), NOT_CONSIDERED, dtype=np.int32)
        labels[index][each.considered] = own
    return labels


def segment_stack(
    xyz: Array, sweep: NDArray[np.int64], range_m: Array, ground: GroundConfig, clustering: ClusteringConfig
) -> NDArray[np.int32]:
    """Label stacked points.

    Args:
        xyz: float64 [N, 3], metres, one frame for all sweeps, z up, near its origin; points in range.
        sweep: int64 [N], index of each point's sweep within the window, from 0.
        range_m: float64 [N], metres from where its ray began.
        ground: options of ground removal.
        clustering: options of clustering.

    Returns:
        int32 [N]: a group, from 0, NOISE or GROUND.
    """
    height = heights(xyz, ground)
    on_ground = (height <= ground.distance_m) & (height > -_BELOW_GROUND_M)
    feet = (height <= ground.feet_m) & (height > -_BELOW_GROUND_M) & ~on_ground
    label = np.where(on_ground, GROUND, NOISE).astype(np.int32)
    above = np.flatnonzero(~on_ground & ~feet)
    label[above] = _group(xyz[above], sweep[above], height[above], range_m[above], clustering)
    low, over = np.flatnonzero(feet), np.flatnonzero((label >= 0) & (height < ground.feet_m + 2 * _FEET_REACH_M))
    label[low] = _label_feet(xyz, label, low, over)
    return label


def _group(
    xyz: Array, sweep: NDArray[np.int64], height: Array, range_m: Array, config: ClusteringConfig
) -> NDArray[np.int32]:
    group = cluster_window(xyz, sweep, height, config)
    if len(group) == 0:
        return group
    if config.split_moving:
        moving = join_trails(xyz, sweep, range_m, split_moving(xyz, sweep, range_m, group))
        group, xyz = moving.group, moved_back(xyz, sweep, moving)
    if config.split_touching:
        group = split_touching(xyz, height, range_m, group, spanning_tree(config))
    return group


def _label_feet(
    xyz: Array, label: NDArray[np.int32], feet: NDArray[np.int64], grouped: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Label low points by the nearest group over them, as ground where there is none."""
    from scipy.spatial import cKDTree

    if len(feet) == 0 or len(grouped) == 0:
        return np.full(len(feet), GROUND, dtype=np.int32)
    (feet_xyz, feet_voxel), (xyz_of, voxel) = (voxelize(xyz[rows], _FEET_VOXEL_M) for rows in (feet, grouped))
    of = np.full(len(xyz_of), -1, dtype=np.int32)
    np.maximum.at(of, voxel, label[grouped])
    distance, nearest = cKDTree(xyz_of).query(feet_xyz, distance_upper_bound=_FEET_REACH_M)
    found = np.isfinite(distance)
    labels = np.full(len(feet_xyz), GROUND, dtype=np.int32)
    labels[found] = of[nearest[found]]
    return labels[feet_voxel]


def _middle_SE3_sensor(sweeps: list[ConsideredSweep], each: ConsideredSweep) -> Array:
    """Return the pose of a sweep's sensor in the frame of the middle one's; exactly 1 for itself.

    Coordinates in whole millimetres lie on the borders of cells: there the last bit of a product would decide.
    """
    middle = sweeps[len(sweeps) // 2]
    if each is middle:
        return np.eye(4)
    return inverse(middle.sweep.world_SE3_sensor) @ each.sweep.world_SE3_sensor


def _ranges(sweeps: list[ConsideredSweep]) -> Array:
    """Return how far each point is from where its ray began, metres."""
    rays = np.concatenate([(each.sweep.xyz - each.sweep.origin)[each.considered] for each in sweeps])
    return np.sqrt(squared_lengths(rays)).astype(np.float64)


def _refuse_jump(first: Sweep, sweep: Sweep) -> None:
    moved = float(np.abs(sweep.world_SE3_sensor[:3, 3] - first.world_SE3_sensor[:3, 3]).max())
    if moved > FARTHEST_IN_WINDOW_M:
        raise SweepError(
            f"sequence {sweep.sequence}, sweep {sweep.name}: its pose is {moved / 1000:.0f} km from that of sweep "
            f"{first.name}, with which it is stacked; check the poses",
            len(sweep),
        )
