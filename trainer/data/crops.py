"""Random crops inside groups: the surface that is hidden from the student, and the queries that ask for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.arrays import FREE_NEAR, OCCUPIED
from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.shared.cache_reader import Queries
from iscc_lidar.shared.config import option
from iscc_lidar.trainer.data.augment import View, apply_affine


@dataclass(frozen=True)
class CropConfig:
    """Balls around random points of groups."""

    per_sweep: int = option(16, "crops a sweep, each in another group; 0 hides nothing")
    queries_per_crop: int = option(16, "queries asked a crop; the deck's occ-only (8), (16), (32) [choice of reading]")
    radius_m: float = option(0.8, "radius of a crop, metres: its centre must stay within reach of what is left")
    max_removed_share: float = option(
        0.5,
        "a ball shrinks until it holds at most this share of its group's points, "
        "so that small objects stay recognisable",
    )
    min_group_points: int = option(20, "smaller groups are not cropped: nothing would be left to predict from")
    balance: bool = option(True, "as many occupied as free queries a crop, so that neither pays blindly [choice]")
    near: bool = option(
        True,
        "ask about the free space just in front of a surface, too; where a surface lies to some centimetres cannot be "
        "told from voxels as large as that [choice]",
    )
    remove: bool = option(True, "false keeps the points: occupancy is then trivial and teaches nothing (measured .90)")

    def __post_init__(self) -> None:
        if not 0 < self.max_removed_share <= 1:
            raise ValueError(f"crops.max_removed_share must lie in (0, 1], not {self.max_removed_share}")


@dataclass(frozen=True)
class Crops:
    """Crops of one view and the queries inside them.

    Attributes:
        centre: float32 [R, 3], metres, view frame.
        radius: float32 [R], metres.
        visible: bool [N], false for the view's points that the crops hide.
        xyz: float32 [Q, 3], query positions, view frame.
        occupied: bool [Q], true where the query lies behind a surface.
        crop: int64 [Q], the crop that each query belongs to, ascending.
    """

    centre: NDArray[np.float32]
    radius: NDArray[np.float32]
    visible: NDArray[np.bool_]
    xyz: NDArray[np.float32]
    occupied: NDArray[np.bool_]
    crop: NDArray[np.int64]


def draw_crops(view: View, queries: Queries, config: CropConfig, rng: np.random.Generator) -> Crops:
    """Draw crops in groups of a view; ``queries`` are those of its sweep, in the sensor frame."""
    query_xyz = apply_affine(view.view_T_sensor, queries.xyz)
    occupied = queries.kind == OCCUPIED
    asked_of = queries.group if config.near else np.where(queries.kind == FREE_NEAR, NOISE, queries.group)
    visible = np.ones(len(view.xyz), dtype=np.bool_)
    centre: list[NDArray[np.float32]] = []
    radius: list[float] = []
    chosen: list[NDArray[np.int64]] = []
    for group in _pick_groups(view.label, asked_of, config, rng):
        members = np.flatnonzero(view.label == group)
        middle, reach, hidden = _pick_ball(view.xyz[members], config, rng)
        asked = _pick_queries(query_xyz, occupied, np.flatnonzero(asked_of == group), middle, reach, config, rng)
        if len(asked) == 0:
            continue
        visible[members[hidden]] = not config.remove
        centre.append(middle)
        radius.append(reach)
        chosen.append(asked)
    pick = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    return Crops(
        centre=np.array(centre, np.float32).reshape(-1, 3),
        radius=np.array(radius, np.float32),
        visible=visible,
        xyz=query_xyz[pick],
        occupied=occupied[pick],
        crop=np.repeat(np.arange(len(chosen)), [len(c) for c in chosen]).astype(np.int64),
    )


def _pick_groups(
    label: NDArray[np.int32], query_group: NDArray[np.int32], config: CropConfig, rng: np.random.Generator
) -> NDArray[np.int32]:
    ids, counts = np.unique(label[label >= 0], return_counts=True)
    eligible = ids[(counts >= config.min_group_points) & np.isin(ids, query_group)]
    return rng.permutation(eligible)[: config.per_sweep]


def _pick_ball(
    xyz: NDArray[np.float32], config: CropConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float, NDArray[np.bool_]]:
    middle = xyz[rng.integers(len(xyz))]
    distance = np.linalg.norm(xyz - middle, axis=1)
    allowed = max(int(config.max_removed_share * len(xyz)), 1)
    reach = min(config.radius_m, float(np.partition(distance, allowed - 1)[allowed - 1]))
    return middle, reach, distance <= reach


def _pick_queries(
    xyz: NDArray[np.float32],
    occupied: NDArray[np.bool_],
    candidates: NDArray[np.int64],
    middle: NDArray[np.float32],
    reach: float,
    config: CropConfig,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    inside = rng.permutation(candidates[np.linalg.norm(xyz[candidates] - middle, axis=1) <= reach])
    if not config.balance:
        return inside[: config.queries_per_crop]
    full, free = inside[occupied[inside]], inside[~occupied[inside]]
    each = min(len(full), len(free), config.queries_per_crop // 2)
    return np.concatenate([full[:each], free[:each]])
