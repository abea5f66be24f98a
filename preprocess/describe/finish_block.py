"""Finishing pass over a block: its labelled points, its groups and its occupancy queries."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOT_CONSIDERED
from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.preprocess.describe.queries import (
    ProbedGroups,
    QuerySamplingConfig,
    WindowRays,
    drop_contradicted,
    sample_queries,
    sort_rays,
)
from iscc_lidar.preprocess.describe.ray_image import RayImage, make_ray_image
from iscc_lidar.preprocess.segment.linking import SweepLabels
from iscc_lidar.preprocess.segment.motion import MotionConfig, moving_groups
from iscc_lidar.preprocess.segment.sweeps import WindowBuffer
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.sweep import Groups, Queries


@dataclass(frozen=True)
class FinishedSweep:
    """All that is stored of a sweep.

    Attributes:
        index: position within the sequence.
        sweep: the sweep as read.
        label: int32 [N], group ids of the sequence, or codes.
        groups: its groups, world frame.
        queries: its occupancy queries, sensor frame.
    """

    index: int
    sweep: Sweep
    label: NDArray[np.int32]
    groups: Groups
    queries: Queries


@dataclass(frozen=True)
class _PlacedSweep:
    """A sweep in the block frame: axes of the world frame, origin at the block's first sensor.

    float32 is too coarse far from the world's origin, but exact enough within a block of a few hundred metres.
    """

    index: int
    sweep: Sweep
    label: NDArray[np.int32]
    xyz: NDArray[np.float32]
    origin: NDArray[np.float32]
    image: RayImage


def finish_sweeps(
    read: Callable[[int], Sweep],
    windows: tuple[Window, ...],
    labels: SweepLabels,
    motion: MotionConfig,
    queries: QuerySamplingConfig,
    seed: int,
) -> Iterator[FinishedSweep]:
    """Finish the sweeps that a block's windows own, in order; ``seed`` is of the query sampling.

    ``read`` reads a sweep by its index in the sequence. ``labels`` are the sequence ids and codes of all sweeps of the
    windows.
    """
    start = windows[0].start
    first = read(start)
    world_origin = first.world_SE3_sensor[:3, 3]

    def load(index: int) -> _PlacedSweep:
        sweep = first if index == start else read(index)
        return _place(index, sweep, labels[index], world_origin)

    sweeps = WindowBuffer(load)
    for window in windows:
        placed = sweeps.take(window)
        rays = _group_rays(placed)
        moving = _moving_ids(rays, window.start, motion)
        for own in placed[window.own_start - window.start : window.own_stop - window.start]:
            # The name enters by its checksum: Python's hash of a string differs between processes.
            rng = np.random.default_rng([seed, zlib.crc32(own.sweep.sequence.encode()), own.index])
            yield _finish_sweep(own, placed, rays, moving, world_origin, queries, rng)


def _place(index: int, sweep: Sweep, label: NDArray[np.int32], world_origin: NDArray[np.float64]) -> _PlacedSweep:
    valid = label != NOT_CONSIDERED
    block_SE3_sensor = sweep.world_SE3_sensor.copy()
    block_SE3_sensor[:3, 3] -= world_origin
    xyz = np.zeros((len(sweep), 3), dtype=np.float32)
    xyz[valid] = transform(block_SE3_sensor, sweep.xyz[valid])
    origin = np.broadcast_to(transform(block_SE3_sensor, sweep.origin).astype(np.float32), xyz.shape)
    return _PlacedSweep(index, sweep, label, xyz, origin, make_ray_image(origin[valid], xyz[valid]))


def _group_rays(placed: list[_PlacedSweep], groups: NDArray[np.int32] | None = None) -> WindowRays:
    """Collect the rays of some sweeps that ended on the given groups, by default on any group."""
    masks = [p.label >= 0 if groups is None else np.isin(p.label, groups) for p in placed]
    return sort_rays(
        np.concatenate([p.xyz[m] for p, m in zip(placed, masks, strict=True)]),
        np.concatenate([p.origin[m] for p, m in zip(placed, masks, strict=True)]),
        np.concatenate([np.full(m.sum(), p.index, np.int32) for p, m in zip(placed, masks, strict=True)]),
        np.concatenate([p.label[m] for p, m in zip(placed, masks, strict=True)]),
    )


def _moving_ids(rays: WindowRays, start: int, config: MotionConfig) -> NDArray[np.int32]:
    """Return the ids of the groups that move during the window, sorted."""
    dense = np.repeat(np.arange(len(rays.group), dtype=np.int32), np.diff(rays.start))
    return rays.group[moving_groups(rays.end, rays.sweep - start, dense, config)]


def _finish_sweep(
    own: _PlacedSweep,
    placed: list[_PlacedSweep],
    rays: WindowRays,
    moving: NDArray[np.int32],
    world_origin: NDArray[np.float64],
    config: QuerySamplingConfig,
    rng: np.random.Generator,
) -> FinishedSweep:
    groups = _describe_groups(own.xyz.astype(np.float64), own.label, moving)
    static = sample_queries(_probed(groups, ~groups.moving, config), rays, config, rng)
    static = drop_contradicted(static, [p.image for p in placed], config)
    own_rays = _group_rays([own], groups.group[groups.moving])
    in_motion = sample_queries(_probed(groups, groups.moving, config), own_rays, config, rng)
    in_motion = drop_contradicted(in_motion, [own.image], config)
    sensor_SE3_block = inverse(own.sweep.world_SE3_sensor)
    sensor_SE3_block[:3, 3] += sensor_SE3_block[:3, :3] @ world_origin
    in_world = {name: getattr(groups, name) + world_origin for name in ("centroid", "box_min", "box_max")}
    queries = _merge_by_group(static, in_motion, sensor_SE3_block)
    return FinishedSweep(own.index, own.sweep, own.label, replace(groups, **in_world), queries)


def _describe_groups(xyz: NDArray[np.float64], label: NDArray[np.int32], moving: NDArray[np.int32]) -> Groups:
    """Describe the groups (labels >= 0) of points [N, 3], in their frame; ``moving`` are the ids of those that move."""
    order = np.argsort(label, kind="stable")
    order = order[np.searchsorted(label[order], 0) :]
    if len(order) == 0:
        none, empty = np.empty(0, np.int32), np.empty((0, 3))
        return Groups(none, none, np.empty(0, np.bool_), empty, empty, empty)
    grouped = xyz[order]
    group, start, points = np.unique(label[order], return_index=True, return_counts=True)
    centroid = np.add.reduceat(grouped, start) / points[:, None]
    box_min, box_max = np.minimum.reduceat(grouped, start), np.maximum.reduceat(grouped, start)
    moves = np.isin(group, moving)
    return Groups(group.astype(np.int32), points.astype(np.int32), moves, centroid, box_min, box_max)


def _probed(groups: Groups, chosen: NDArray[np.bool_], config: QuerySamplingConfig) -> ProbedGroups:
    """Select the chosen groups that are of object size, and enlarge their boxes."""
    width = (groups.box_max - groups.box_min)[:, :2].max(axis=1, initial=0)
    keep = chosen & (groups.points >= config.group_points_min) & (width <= config.group_width_max_m)
    box_min, box_max = groups.box_min[keep] - config.box_margin_m, groups.box_max[keep] + config.box_margin_m
    return ProbedGroups(groups.group[keep], groups.points[keep], box_min, box_max)


def _merge_by_group(a: Queries, b: Queries, sensor_SE3_block: NDArray[np.float64]) -> Queries:
    group, kind, source = (np.concatenate([getattr(q, name) for q in (a, b)]) for name in ("group", "kind", "source"))
    order = np.lexsort((source, kind, group))  # type and source too: similar neighbours compress better
    xyz = transform(sensor_SE3_block, np.concatenate([a.xyz, b.xyz])[order]).astype(np.float32)
    return Queries(xyz, kind[order], group[order], source[order])
