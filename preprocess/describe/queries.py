"""Occupancy queries: locations near an object's surface that are labelled occupied or free.

For a return p of a ray from o with unit direction u (as in ALSO; see docs/method.md): occupied p + u U(0, delta); free
near p - u U(0, delta); free far o + U(0, 1) (p - o) inside the group's enlarged box. Queries of a static group come
from the rays of all sweeps of the window, those of a moving group only from the rays of the sweep itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.arrays import FREE_FAR, FREE_NEAR, OCCUPIED
from iscc_lidar.preprocess.describe.ray_image import RayImage, contradicted
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.cache.sweep import Queries

_TYPES = np.array([OCCUPIED, FREE_NEAR, FREE_FAR], dtype=np.uint8)


@dataclass(frozen=True)
class QuerySamplingConfig:
    """Options of the query sampling."""

    delta_m: float = option(
        0.3,
        "largest distance of a query before or behind a surface; ALSO's 0.1 m suits voxels of 0.05-0.1 m, "
        "with voxels of 0.2 m it stays near chance",
        above=0,
        at_most=10,
    )
    per_point: float = option(
        0.5, "queries per point of a group in the sweep; masked balls need some everywhere", at_least=0, at_most=1000
    )
    per_group_max: int = option(
        1024, "largest number of queries of one group in one sweep", at_least=0, at_most=10_000_000
    )
    group_points_min: int = option(10, "smaller groups get no queries, as they are not pooled", at_least=0)
    group_width_max_m: float = option(
        20.0, "wider groups are walls and hedges rather than objects, and get no queries", at_least=0
    )
    box_margin_m: float = option(
        1.0, "free far queries lie within the group's box, enlarged by this on all sides", at_least=0, at_most=1000
    )
    ray_tolerance_m: float = option(
        0.05, "a ray that passes a query at less than this can contradict it", at_least=0, at_most=10
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "queries")


@dataclass(frozen=True)
class WindowRays:
    """Rays of a window that ended on groups, sorted by group, in one frame.

    Attributes:
        end: float32 [N, 3], end of each ray, metres.
        origin: float32 [N, 3], start of each ray, metres.
        sweep: int32 [N], index of its sweep within the sequence.
        group: int32 [G], ids in ascending order.
        start: int64 [G + 1], first ray of each group, then N.
    """

    end: NDArray[np.float32]
    origin: NDArray[np.float32]
    sweep: NDArray[np.int32]
    group: NDArray[np.int32]
    start: NDArray[np.int64]


@dataclass(frozen=True)
class ProbedGroups:
    """Groups of one sweep that get queries: id, number of points, enlarged box in one frame; G rows."""

    group: NDArray[np.int32]
    points: NDArray[np.int32]
    box_min: NDArray[np.float64]
    box_max: NDArray[np.float64]


def sort_rays(
    end: NDArray[np.float32], origin: NDArray[np.float32], sweep: NDArray[np.int32], group: NDArray[np.int32]
) -> WindowRays:
    """Sort the rays of a window by group; those in no group (negative) are left out."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.searchsorted(ordered, 0)
    order, ordered = order[first:], ordered[first:]
    start = np.flatnonzero(np.diff(ordered, prepend=np.int32(-1)))
    rows = np.append(start, len(order))
    return WindowRays(end.take(order, axis=0), origin.take(order, axis=0), sweep[order], ordered[start], rows)


def sample_queries(
    groups: ProbedGroups, rays: WindowRays, config: QuerySamplingConfig, rng: np.random.Generator
) -> Queries:
    """Sample a sweep's queries from the rays that ended on its groups, one third of each type; frame of the rays."""
    wanted = np.minimum(np.ceil(groups.points * config.per_point), config.per_group_max).astype(np.int64)
    row = np.repeat(np.arange(len(groups.group)), wanted)
    at = np.searchsorted(rays.group, groups.group[row])
    first, count = rays.start[at], rays.start[at + 1] - rays.start[at]
    ray = first + (rng.random(len(row)) * count).astype(np.int64)
    kind = _TYPES[np.arange(len(row)) % 3]
    end, origin = rays.end[ray], rays.origin[ray]
    length = np.linalg.norm(end - origin, axis=1)
    near_box = _entry(origin, end, groups.box_min[row], groups.box_max[row])
    u = rng.random(len(row))
    # Position along the ray as a fraction of its length: 0 at the origin, 1 at the return.
    share = np.select(
        [kind == OCCUPIED, kind == FREE_NEAR],
        [1 + u * config.delta_m / length, np.maximum(1 - u * config.delta_m / length, 0)],
        near_box + u * (1 - near_box),
    )
    xyz = (origin + share[:, None] * (end - origin)).astype(np.float32)
    return Queries(xyz, kind, groups.group[row], rays.sweep[ray])


def drop_contradicted(queries: Queries, images: list[RayImage], config: QuerySamplingConfig) -> Queries:
    """Drop the queries that a ray of any of the images contradicts."""
    wrong = np.zeros(len(queries.kind), dtype=bool)
    for image in images:
        open_ = np.flatnonzero(~wrong)
        wrong[open_] = contradicted(
            queries.xyz[open_], queries.kind[open_] == OCCUPIED, image, config.delta_m, config.ray_tolerance_m
        )
    keep = ~wrong
    return Queries(queries.xyz[keep], queries.kind[keep], queries.group[keep], queries.source[keep])


def _entry(
    origin: NDArray[np.float32], end: NDArray[np.float32], box_min: NDArray[np.float64], box_max: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fraction of each ray at which it enters a box that contains its end; 0 if it starts inside."""
    step = (end - origin).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        enter = np.minimum((box_min - origin) / step, (box_max - origin) / step)
    # A ray parallel to a pair of faces does not cross them (0/0 or +-inf): all of it lies between them.
    share: NDArray[np.float64] = np.clip(np.where(step == 0, 0.0, enter).max(axis=1), 0.0, 1.0)
    return share
