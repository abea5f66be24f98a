"""Random crops inside groups: the surface that is hidden from the student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.config import option
from iscc_lidar.trainer.data.augment import View

# N points of the view, R crops, Q positions


@dataclass(frozen=True)
class MaskingConfig:
    """Balls around random points of groups."""

    per_sweep: int = option(16, "crops a sweep, each in another group; 0 hides nothing")
    radius_m: float = option(0.8, "radius of a crop, metres: its centre must stay within reach of what is left")
    max_removed_share: float = option(
        0.5,
        "a ball shrinks until it holds at most this share of its group's points, "
        "so that small objects stay recognisable",
    )
    min_group_points: int = option(20, "smaller groups are not cropped: nothing would be left to predict from")

    def __post_init__(self) -> None:
        if not 0 < self.max_removed_share <= 1:
            raise ValueError(f"masking.max_removed_share must lie in (0, 1], not {self.max_removed_share}")


NO_MASKING: Final = MaskingConfig(per_sweep=0)


@dataclass(frozen=True)
class MaskedBalls:
    """MaskedBalls of one view.

    Attributes:
        group: int32 [R], the group that each lies in, all different.
        centre: float32 [R, 3], metres, view frame.
        radius: float32 [R], metres.
        visible: bool [N], false for the view's points that the crops hide.
    """

    group: NDArray[np.int32]
    centre: NDArray[np.float32]
    radius: NDArray[np.float32]
    visible: NDArray[np.bool_]

    def containing(self, xyz: NDArray[np.float32], group: NDArray[np.int32]) -> NDArray[np.int64]:
        """The crop in which surface of a group [Q] at a position [Q, 3] is hidden, int64 [Q]; -1 where it is not."""
        if len(self.group) == 0:
            return np.full(len(xyz), -1)
        order = np.argsort(self.group)
        place = np.minimum(np.searchsorted(self.group, group, sorter=order), len(order) - 1)
        crop = order[place]
        inside = np.linalg.norm(xyz - self.centre[crop], axis=1) <= self.radius[crop]
        return np.where(inside & (self.group[crop] == group), crop, -1)


def draw_masked_balls(view: View, config: MaskingConfig, rng: np.random.Generator) -> MaskedBalls:
    """Draw crops in groups of a view."""
    visible = np.ones(len(view.xyz), dtype=np.bool_)
    ids, counts = np.unique(view.label[view.label >= 0], return_counts=True)
    groups = rng.permutation(ids[counts >= config.min_group_points])[: config.per_sweep]
    centre, radius = np.zeros((len(groups), 3), np.float32), np.zeros(len(groups), np.float32)
    for crop, group in enumerate(groups):
        members = np.flatnonzero(view.label == group)
        centre[crop], radius[crop], hidden = _pick_ball(view.xyz[members], config, rng)
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
