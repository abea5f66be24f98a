"""Occupancy queries of a view: which of the stored ones are used, and from which visible voxel each is evaluated.

Each is evaluated from the features of one voxel, drawn at random from those within reach: a voxel then has to encode
the shape around it. Given its nearest voxels together, the decoder inferred occupancy from their positions, and the
encoder learnt little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.arrays import FREE_NEAR, OCCUPIED
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.cache.sweep import Queries
from iscc_lidar.trainer.data.augment import apply_affine
from iscc_lidar.trainer.data.voxelize import Voxels, find_voxels

# M stored queries, Q used ones, V voxels

_TRIES: Final = (4, 8, 12)
"""Positions tried around a query for a voxel, round by round: most find one in the first. On synthetic scenes three in
four of the queries with a voxel within 1 m find one."""


@dataclass(frozen=True)
class OccupancyConfig:
    """Which occupancy queries are used, and how they are evaluated."""

    per_group: int = option(
        32, "queries per group; the authors' occ-only (8), (16), (32) [ours: our reading]", at_least=1, at_most=10**6
    )
    near: bool = option(
        True,
        "also use queries in the free space just in front of a surface; voxels that are larger than that gap cannot "
        "resolve it [ours]",
    )
    reach_m: float = option(
        1.0,
        "distance from a query to the voxel that it is evaluated from, metres [ours, ALSO]",
        at_least=0.001,
        at_most=1000,
    )
    decoder_hidden: int = option(
        64, "width of the decoder [ours]; small, so that the encoder must know", at_least=1, at_most=4096
    )
    offset_frame: Literal["ray", "view"] = option(
        "ray",
        "axes of a query's relative position: ray turns x into the line of sight, so that in front of and "
        "behind a surface differ; in the rotated view's own axes runs of 300 steps stay at chance [ours]",
    )

    def __post_init__(self) -> None:
        check_ranges(self, "occupancy")


@dataclass(frozen=True)
class QueryTargets:
    """Queries and the voxel that each is evaluated from.

    Attributes:
        xyz: float32 [Q, 3], metres, view frame.
        group: int32 [Q], whose surface is probed.
        occupied: bool [Q], true behind a surface.
        voxel: int64 [Q], row of the view's voxels.
        offset: float32 [Q, 3], from the query to the voxel's mean point, metres, in the axes of
            OccupancyConfig.offset_frame.
    """

    xyz: NDArray[np.float32]
    group: NDArray[np.int32]
    occupied: NDArray[np.bool_]
    voxel: NDArray[np.int64]
    offset: NDArray[np.float32]


_NO_XYZ: Final = np.zeros((0, 3), np.float32)
NO_QUERIES: Final = QueryTargets(_NO_XYZ, np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.int64), _NO_XYZ)


def sample_queries(
    stored: Queries,
    view_T_sensor: NDArray[np.float64],
    voxels: Voxels,
    config: OccupancyConfig,
    rng: np.random.Generator,
) -> QueryTargets:
    """Draw queries of each group, and a voxel within reach for each; those that find none are left out.

    Args:
        stored: the sweep's, sensor frame.
        view_T_sensor: float64 [4, 4], affine map to the view's frame.
        voxels: the visible ones of the view.
        config: number, types and reach.
        rng: draws queries and voxels.
    """
    row = draw_query_rows(stored, config, rng)
    xyz = apply_affine(view_T_sensor, stored.xyz[row])
    near_by = draw_voxels(xyz, voxels, config.reach_m, rng)
    found = np.flatnonzero(near_by >= 0)
    row, xyz, voxel = row[found], xyz[found], near_by[found]
    offset = voxels.xyz[voxel] - xyz
    if config.offset_frame == "ray":
        offset = to_ray_axes(offset, xyz)
    return QueryTargets(xyz, stored.group[row], stored.kind[row] == OCCUPIED, voxel, offset)


def draw_query_rows(stored: Queries, config: OccupancyConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows of the stored queries, int64 [Q], ascending: of each group ``per_group`` at most."""
    row = np.arange(len(stored.kind)) if config.near else np.flatnonzero(stored.kind != FREE_NEAR)
    order = np.lexsort((rng.random(len(row)), stored.group[row]))
    group = stored.group[row[order]]
    place = np.arange(len(row)) - np.searchsorted(group, group)  # within its group
    drawn: NDArray[np.int64] = np.sort(row[order[place < config.per_group]])
    return drawn


def draw_voxels(
    xyz: NDArray[np.float32], voxels: Voxels, reach_m: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a voxel within ``reach_m`` of each position [Q, 3], by its mean point: row, int64 [Q], or -1.

    Positions are drawn evenly from the ball until one lies in a voxel: cost does not grow with the sweep.
    """
    drawn = np.full(len(xyz), -1)
    if len(voxels.xyz) == 0:
        return drawn
    left = np.arange(len(xyz))
    for tries in _TRIES:
        drawn[left] = _try_places(xyz[left], voxels, reach_m, tries, rng)
        left = left[drawn[left] < 0]
    return drawn


def _try_places(
    xyz: NDArray[np.float32], voxels: Voxels, reach_m: float, tries: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    # Columns throughout: numpy goes through long rows several times as fast as through short ones.
    step = np.ascontiguousarray(rng.standard_normal((len(xyz) * tries, 3), dtype=np.float32).T)
    step *= np.float32(reach_m) * np.cbrt(rng.random(len(xyz) * tries, dtype=np.float32)) / np.linalg.norm(step, axis=0)
    step += np.repeat(xyz.T, tries, axis=1)
    row = find_voxels(voxels, step).reshape(len(xyz), tries)
    query, tried = np.nonzero(row >= 0)
    offset = np.ascontiguousarray((voxels.xyz[row[query, tried]] - xyz[query]).T)
    far = np.linalg.norm(offset, axis=0) > reach_m
    row[query[far], tried[far]] = -1
    first = (row >= 0).argmax(axis=1)
    found: NDArray[np.int64] = row[np.arange(len(row)), first]
    return found


def line_of_sight(xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return x and y, [2, Q], of the horizontal unit vectors from the sensor, the origin, to positions [Q, 3]."""
    distance = np.maximum(np.linalg.norm(xyz[:, :2], axis=1, keepdims=True), np.float32(1e-6))
    ahead: NDArray[np.float32] = (xyz[:, :2] / distance).T
    return ahead


def to_ray_axes(offset: NDArray[np.float32], xyz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn offsets [Q, 3] about z so that x points away from the sensor, which is the origin of ``xyz`` [Q, 3]."""
    ahead_x, ahead_y = line_of_sight(xyz)
    x, y, z = offset.T
    return np.stack([x * ahead_x + y * ahead_y, y * ahead_x - x * ahead_y, z], axis=1)
