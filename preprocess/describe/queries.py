"""Occupancy queries: where, near an object's surface, there is matter and where there is none.

For a return p of a ray that started at o with unit direction u (ALSO, and method.md):
occupied p + u U(0, delta); free near p - u U(0, delta); free far o + U(0, 1) (p - o) inside the
group's enlarged box. A group that stands still is probed by the rays of every sweep of the window,
one that moves by its own sweep's rays only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.arrays import FREE_FAR, FREE_NEAR, OCCUPIED
from iscc_lidar.preprocess.describe.ray_image import RayImage, contradicted
from iscc_lidar.shared.base.config import option

_KINDS = np.array([OCCUPIED, FREE_NEAR, FREE_FAR], dtype=np.uint8)


@dataclass(frozen=True)
class QueryConfig:
    """Where occupancy is asked."""

    delta_m: float = option(
        0.3,
        "depth probed before and behind a surface; ALSO's 0.1 m suits voxels of 0.05-0.1 m, "
        "with voxels of 0.2 m it stays near chance",
    )
    per_point: float = option(0.5, "queries for each of a group's points in the sweep; crops need some in every part")
    per_group_max: int = option(1024, "queries of one group in one sweep at most")
    group_points_min: int = option(10, "smaller groups are not probed, as they are not pooled")
    group_width_max_m: float = option(20.0, "wider groups are walls and hedges rather than objects")
    box_margin_m: float = option(1.0, "the box within which free far queries are kept is larger by this on all sides")
    ray_tolerance_m: float = option(0.05, "a ray that passes a query at less than this speaks about it")


@dataclass(frozen=True)
class WindowRays:
    """Returns in groups of a window, sorted by group, in one frame.

    Attributes:
        end: float32 [N, 3], where each ray ended, metres.
        origin: float32 [N, 3], where it started.
        sweep: int32 [N], index of its sweep within the sequence.
        group: int32 [G], ids in order.
        start: int64 [G + 1], first ray of each group, then N.
    """

    end: NDArray[np.float32]
    origin: NDArray[np.float32]
    sweep: NDArray[np.int32]
    group: NDArray[np.int32]
    start: NDArray[np.int64]


@dataclass(frozen=True)
class ProbedGroups:
    """Groups to probe in one sweep: id, own points, enlarged box in one frame; G rows."""

    group: NDArray[np.int32]
    points: NDArray[np.int32]
    box_min: NDArray[np.float64]
    box_max: NDArray[np.float64]


@dataclass(frozen=True)
class QuerySet:
    """Queries in one frame, sorted by group: xyz float32 [M, 3], kind, group, source sweep [M]."""

    xyz: NDArray[np.float32]
    kind: NDArray[np.uint8]
    group: NDArray[np.int32]
    source: NDArray[np.int32]


def sort_rays(
    end: NDArray[np.float32], origin: NDArray[np.float32], sweep: NDArray[np.int32], group: NDArray[np.int32]
) -> WindowRays:
    """Sort the returns of a window by group; those in none (negative) are left out."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.searchsorted(ordered, 0)
    order, ordered = order[first:], ordered[first:]
    start = np.flatnonzero(np.diff(ordered, prepend=np.int32(-1)))
    rows = np.append(start, len(order))
    return WindowRays(end.take(order, axis=0), origin.take(order, axis=0), sweep[order], ordered[start], rows)


def sample_queries(groups: ProbedGroups, rays: WindowRays, config: QueryConfig, rng: np.random.Generator) -> QuerySet:
    """Draw a sweep's queries from the rays that ended on its groups, one third of each kind."""
    wanted = np.minimum(np.ceil(groups.points * config.per_point), config.per_group_max).astype(np.int64)
    row = np.repeat(np.arange(len(groups.group)), wanted)
    at = np.searchsorted(rays.group, groups.group[row])
    first, count = rays.start[at], rays.start[at + 1] - rays.start[at]
    ray = first + (rng.random(len(row)) * count).astype(np.int64)
    kind = _KINDS[np.arange(len(row)) % 3]
    end, origin = rays.end[ray], rays.origin[ray]
    length = np.linalg.norm(end - origin, axis=1)
    near_box = _entry(origin, end, groups.box_min[row], groups.box_max[row])
    u = rng.random(len(row))
    # The position along the ray as a share of its length: 0 at the origin, 1 at the return.
    share = np.select(
        [kind == OCCUPIED, kind == FREE_NEAR],
        [1 + u * config.delta_m / length, np.maximum(1 - u * config.delta_m / length, 0)],
        near_box + u * (1 - near_box),
    )
    xyz = (origin + share[:, None] * (end - origin)).astype(np.float32)
    return QuerySet(xyz, kind, groups.group[row], rays.sweep[ray])


def drop_contradicted(queries: QuerySet, images: list[RayImage], config: QueryConfig) -> QuerySet:
    """Leave out queries that a ray of any of the images contradicts."""
    wrong = np.zeros(len(queries.kind), dtype=bool)
    for image in images:
        open_ = np.flatnonzero(~wrong)
        wrong[open_] = contradicted(
            queries.xyz[open_], queries.kind[open_] == OCCUPIED, image, config.delta_m, config.ray_tolerance_m
        )
    return select(queries, ~wrong)


def select(queries: QuerySet, keep: NDArray[np.bool_]) -> QuerySet:
    """The queries for which ``keep`` holds, in the same order."""
    return QuerySet(queries.xyz[keep], queries.kind[keep], queries.group[keep], queries.source[keep])


def _entry(
    origin: NDArray[np.float32], end: NDArray[np.float32], box_min: NDArray[np.float64], box_max: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the way from origin to end at which a ray enters a box that holds its end; 0 if it starts inside."""
    step = (end - origin).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        enter = np.minimum((box_min - origin) / step, (box_max - origin) / step)
    # A ray along a face has no crossing of that pair of faces (0/0 or +-inf): it is inside them throughout.
    share: NDArray[np.float64] = np.clip(np.where(step == 0, 0.0, enter).max(axis=1), 0.0, 1.0)
    return share
