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
UNKNOWN: Final = -1
"""In the place of a class: there is no evidence."""
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
    """The labels of points, while they are found; what is settled stays, also that a point is unlabelled."""

    def __init__(self, points: int) -> None:
        self.open = np.ones(points, np.bool_)
        self.classes = np.zeros(points, np.uint8)
        self.confidence = np.zeros(points, np.float32)
        self.source = np.full(points, FROM_NOTHING, np.uint8)

    def settle(self, where: NDArray[np.bool_], found: Found, source: int) -> None:
        """Settle the points that ``where`` says, as far as something is found."""
        known = found[0] != UNKNOWN
        at, classes = np.flatnonzero(where)[known], found[0][known].astype(np.uint8)
        self.open[at] = False
        self.classes[at], self.confidence[at], self.source[at] = classes, found[1][known], source


Found = tuple[NDArray[np.int16], NDArray[np.float32]]
"""Classes of some points, 0 for what was left unlabelled, ``UNKNOWN`` without evidence; and confidences."""


def spread_to(
    world: NDArray[np.float64], label: NDArray[np.int32], votes: GroupVotes, places: Places, config: SpreadConfig
) -> SpreadPoints:
    """Find the class of the points of one sweep or several.

    A group that moves and is of one class takes it along, but for points at the place of a labelled one that stands.
    All else that does not move is of the class of the nearest labelled point, ground of labelled ground if there is
    any, other points of others. A group that stands, out of reach of labelled points, is of its own class. What is
    nearest to points that people left unlabelled, or of a group that they did, stays unlabelled.

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
            where = valid & carried & answer.open
            answer.settle(where, _majority(votes, row[where], moving=True), FROM_GROUP)
        where = valid & on_ground
        answer.settle(where, _nearest(places.ground, world[where], reach, ground=True), FROM_POSITION)
        where &= answer.open
        near = _GROUND_FROM_SOLID * reach
        answer.settle(where, _nearest(places.solid, world[where], near, ground=False), FROM_POSITION)
        if config.rule == "both":
            where = valid & ~moves & ~on_ground
            answer.settle(where, _nearest(places.solid, world[where], reach, ground=False), FROM_POSITION)
        where = valid & answer.open & (row >= 0)
        answer.settle(where, _majority(votes, row[where], moving=False), FROM_GROUP)
    left_out = answer.confidence < config.min_confidence
    for values in (answer.classes, answer.confidence, answer.source):
        values[left_out] = 0
    answer.confidence[answer.classes == 0] = 0
    return SpreadPoints(answer.classes, answer.confidence, answer.source)


def _majority(votes: GroupVotes, row: NDArray[np.int64], *, moving: bool) -> Found:
    """Return the classes of groups of one class."""
    purity = votes.purity[row]
    classes = np.where(purity >= MIN_PURITY, votes.best[row].astype(np.int16), np.int16(UNKNOWN))
    return classes, of_group(purity, moving=moving).astype(np.float32)


def _nearest(places: LabelledPoints, world: NDArray[np.float64], reach_m: float, *, ground: bool) -> Found:
    """Return the class of the point of a labelled sweep that is nearest to the centre of each point's cell.

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
) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.float64]]:
    """Find the nearest point of a labelled sweep.

    Returns its class, 0 if it was left unlabelled, ``UNKNOWN`` beyond reach; its distance, metres; and how much farther
    away one of another class is.
    """
    if places.tree is None or not len(world):
        return np.full(len(world), UNKNOWN, np.int16), np.full(len(world), reach_m), np.zeros(len(world))
    distance, row = places.tree.query(world, _NEIGHBOURS, distance_upper_bound=reach_m)
    found = np.append(places.classes.astype(np.int16), np.int16(UNKNOWN))[row]  # beyond reach: the row after the last
    nearest = np.minimum(distance[:, 0], reach_m)
    of_others = np.where((found == found[:, :1]) | (found == UNKNOWN), reach_m, distance).min(axis=1)
    return found[:, 0], nearest, of_others - nearest
