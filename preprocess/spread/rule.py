"""The class of every point of some sweeps, by the evidence of labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.data_schemas.spread import FROM_GROUP, FROM_NOTHING, FROM_POSITION, SpreadPoints
from iscc_lidar.preprocess.spread.confidence import of_group, of_place
from iscc_lidar.preprocess.spread.evidence import (
    MIN_PURITY,
    GroupVotes,
    LabelledPoints,
    Places,
    cell_keys,
    first_of_each,
)
from iscc_lidar.shared.base.config import check_ranges, option

REACH_M: Final = 0.8
_GROUND_FROM_SOLID: Final = 0.5
"""Share of the reach within which ground takes the class of what is no ground: kerbs are either."""
_SAME_PLACE_M: Final = 0.2
"""Within this distance of a labelled point that stands nothing moves."""
_NEIGHBOURS: Final = 4
_CELL_M: Final = 0.2


@dataclass(frozen=True)
class SpreadConfig:
    """How labels are spread."""

    rule: Literal["both", "position", "group"] = option(
        "both", "by group for what moves and by position for what stands; or one of them alone, for comparison"
    )
    reach_m: float = option(REACH_M, "farthest labelled point that counts, metres", at_least=0.05, at_most=5)
    min_confidence: float = option(0.5, "labels that are less sure are left out", at_least=0, at_most=1)

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "")


class _Answer:
    """The labels of points, while they are found; what is settled stays."""

    def __init__(self, points: int) -> None:
        self.classes = np.zeros(points, np.uint8)
        self.confidence = np.zeros(points, np.float32)
        self.source = np.full(points, FROM_NOTHING, np.uint8)

    def settle(self, where: NDArray[np.bool_], found: Found, source: int) -> None:
        """Set the class of points that have none, of those ``where`` says, as far as one is found."""
        at = np.flatnonzero(where)
        at, classes, confidence = at[found[0] > 0], found[0][found[0] > 0], found[1][found[0] > 0]
        self.classes[at], self.confidence[at], self.source[at] = classes, confidence, source


Found = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Classes and confidences of some points."""


def spread_to(
    world: NDArray[np.float64], label: NDArray[np.int32], votes: GroupVotes, places: Places, config: SpreadConfig
) -> SpreadPoints:
    """Find the class of the points of one sweep or several.

    A group that moves and is of one class takes it along, but for points at the place of a labelled one that stands.
    All else that does not move is of the class of the nearest labelled point, ground of labelled ground if there is
    any, other points of others. A group that stands, out of reach of labelled points, is of its own class.

    Args:
        world: float64 [N, 3], positions in the world; NaN for points that are not valid.
        label: int32 [N], of the cache.
        votes: of the sequence.
        places: labelled points nearby.
        config: options.
    """
    answer, reach = _Answer(len(label)), config.reach_m
    valid = np.asarray(np.isfinite(world[:, 0]))
    on_ground = label == GROUND
    row = votes.find(label)
    carried, moves = votes.is_carried(row), np.isin(label, votes.moving)
    if config.rule == "position":
        answer.settle(valid, _nearest(places.solid, world[valid], reach, ground=False), FROM_POSITION)
    else:
        if config.rule == "both":
            where = valid & moves
            answer.settle(where, _nearest(places.solid, world[where], _SAME_PLACE_M, ground=False), FROM_POSITION)
            where = valid & carried & (answer.classes == 0)
            answer.settle(where, _majority(votes, row[where], moving=True), FROM_GROUP)
        where = valid & on_ground
        answer.settle(where, _nearest(places.ground, world[where], reach, ground=True), FROM_POSITION)
        where &= answer.classes == 0
        near = _GROUND_FROM_SOLID * reach
        answer.settle(where, _nearest(places.solid, world[where], near, ground=False), FROM_POSITION)
        if config.rule == "both":
            where = valid & ~moves & ~on_ground
            answer.settle(where, _nearest(places.solid, world[where], reach, ground=False), FROM_POSITION)
        where = valid & (answer.classes == 0) & (row >= 0)
        answer.settle(where, _majority(votes, row[where], moving=False), FROM_GROUP)
    unsure = answer.confidence < config.min_confidence
    for values in (answer.classes, answer.confidence, answer.source):
        values[unsure] = 0
    return SpreadPoints(answer.classes, answer.confidence, answer.source)


def _majority(votes: GroupVotes, row: NDArray[np.int64], *, moving: bool) -> Found:
    """Return the classes of groups of one class."""
    purity = votes.purity[row]
    classes = np.where(purity >= MIN_PURITY, votes.best[row], 0).astype(np.uint8)
    return classes, of_group(purity, moving=moving).astype(np.float32)


def _nearest(places: LabelledPoints, world: NDArray[np.float64], reach_m: float, *, ground: bool) -> Found:
    """Return the class of the labelled point nearest to the centre of each point's cell, 0 beyond reach.

    One answer per cell, whatever else is asked for: it does not depend on which sweeps are spread to together.
    """
    first, cell = first_of_each(cell_keys(world, _CELL_M))
    classes, distance, margin = nearest_labelled(places, cell_centres(world[first]), reach_m)
    return classes[cell], of_place(distance, margin, ground=ground).astype(np.float32)[cell]


def cell_centres(world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centres of the cells that points are in, float64 [N, 3]."""
    centres: NDArray[np.float64] = (np.floor(world / _CELL_M) + 0.5) * _CELL_M
    return centres


def nearest_labelled(
    places: LabelledPoints, world: NDArray[np.float64], reach_m: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Find the nearest labelled point.

    Returns its class, 0 beyond reach; its distance, metres; and how much farther away one of another class is.
    """
    if places.tree is None or not len(world):
        return np.zeros(len(world), np.uint8), np.full(len(world), reach_m), np.zeros(len(world))
    distance, row = places.tree.query(world, _NEIGHBOURS, distance_upper_bound=reach_m)
    found = np.append(places.classes, np.uint8(0))[row]  # a neighbour beyond reach has the row after the last
    nearest = np.minimum(distance[:, 0], reach_m)
    of_others = np.where((found == found[:, :1]) | (found == 0), reach_m, distance).min(axis=1)
    return found[:, 0], nearest, of_others - nearest
