"""Masked balls inside groups: the surface that is removed from the student's view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.trainer.data.augment import View

# N points of the view, R balls, Q positions


@dataclass(frozen=True)
class MaskingConfig:
    """Balls around random points of groups."""

    per_sweep: int = option(
        16, "masked balls per sweep, each in another group; 0 masks nothing", at_least=0, at_most=10**6
    )
    radius_m: float = option(
        0.8, "radius of a ball, metres: its centre must stay within reach of what is visible", at_least=0, at_most=1000
    )
    max_removed_share: float = option(
        0.5,
        "a ball shrinks until it holds at most this share of its group's points, "
        "so that small objects stay recognisable",
        at_least=1e-6,
        at_most=1,
    )
    min_group_points: int = option(
        20, "smaller groups are not masked: nothing would be left to predict from", at_least=1
    )

    def __post_init__(self) -> None:
        check_ranges(self, "masking")


NO_MASKING: Final = MaskingConfig(per_sweep=0)


@dataclass(frozen=True)
class MaskedBalls:
    """Masked balls of one view.

    Attributes:
        group: int32 [R], the group of each, all different.
        centre: float32 [R, 3], metres, view frame.
        radius: float32 [R], metres.
        visible: bool [N], false for masked points of the view.
    """

    group: NDArray[np.int32]
    centre: NDArray[np.float32]
    radius: NDArray[np.float32]
    visible: NDArray[np.bool_]

    def containing(self, xyz: NDArray[np.float32], group: NDArray[np.int32]) -> NDArray[np.int64]:
        """Find the ball that masks surface of a group [Q] at a position [Q, 3], int64 [Q]; -1 where none does."""
        if len(self.group) == 0:
            return np.full(len(xyz), -1)
        order = np.argsort(self.group)
        place = np.minimum(np.searchsorted(self.group, group, sorter=order), len(order) - 1)
        ball = order[place]
        inside = np.linalg.norm(xyz - self.centre[ball], axis=1) <= self.radius[ball]
        return np.where(inside & (self.group[ball] == group), ball, -1)


def draw_masked_balls(view: View, config: MaskingConfig, rng: np.random.Generator) -> MaskedBalls:
    """Draw masked balls in groups of a view."""
    visible = np.ones(len(view.xyz), dtype=np.bool_)
    ids, counts = np.unique(view.label[view.label >= 0], return_counts=True)
    groups = rng.permutation(ids[counts >= config.min_group_points])[: config.per_sweep]
    centre, radius = np.zeros((len(groups), 3), np.float32), np.zeros(len(groups), np.float32)
    for ball, group in enumerate(groups):
        members = np.flatnonzero(view.label == group)
        centre[ball], radius[ball], hidden = _pick_ball(view.xyz[members], config, rng)
        visible[members[hidden]] = False
    return MaskedBalls(groups, centre, radius, visible)


def _pick_ball(
    xyz: NDArray[np.float32], config: MaskingConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float, NDArray[np.bool_]]:
    middle = xyz[rng.integers(len(xyz))]
    distance = np.linalg.norm(xyz - middle, axis=1)
    allowed = max(int(config.max_removed_share * len(xyz)), 1)
    reach = min(config.radius_m, float(np.partition(distance, allowed - 1)[allowed - 1]))
    return middle, reach, distance <= reach
