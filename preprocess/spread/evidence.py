"""What labelled sweeps show: how often a group's points are of each class, and labelled points in the world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from iscc_lidar.data_schemas.labels import GROUND, NOISE

MIN_PURITY: Final = 0.8
"""Share of a group's labelled points that must be of one class for the group to be of it."""
_THINNED_M: Final = 0.1
_PLACE_M: Final = 0.4
"""Edge of the cells in which something is still there or not."""
_ELSEWHERE_M: Final = 2.0
"""From here on a group has left its place."""
_STILL_THERE: Final = 0.8
"""Share of a group's points whose cells must still be occupied for them to stand."""
_FOOT_M: Final = 0.25
"""Edge of the cells in which, and next to which, ground may belong to what is above it."""


@dataclass(frozen=True)
class GroupVotes:
    """The classes of a sequence's groups, by the points of its labelled sweeps.

    Attributes:
        group: int32 [G], ascending: the groups that labelled sweeps show.
        best: uint8 [G], the class of most of its points there; 0 if most were left unlabelled.
        purity: float64 [G], the share of them that is of that class.
        carried: bool [G], whether it moves and is of one class, or unlabelled: it is so wherever it is.
        moving: int32, ascending: all groups that move, labelled or not.
    """

    group: NDArray[np.int32]
    best: NDArray[np.uint8]
    purity: NDArray[np.float64]
    carried: NDArray[np.bool_]
    moving: NDArray[np.int32]

    def find(self, label: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the row of each label's group, int64 [N]; -1 without a vote."""
        return _rows_of(self.group, label)

    def is_carried(self, row: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are of groups that carry their class with them, bool [N]."""
        carried: NDArray[np.bool_] = np.append(self.carried, False)[row]  # row -1 is the last one
        return carried

    @property
    def objects(self) -> NDArray[np.int32]:
        """Groups that move and are of one class, or were never labelled: hedges that seem to move are of several."""
        return np.setdiff1d(self.moving, self.group[~self.carried])


@dataclass(frozen=True)
class LabelledPoints:
    """Points of labelled sweeps in the world, in a k-d tree, and their classes, uint8, by its rows; no tree if none.

    Those that people left unlabelled, class 0, are among them: what is nearest to them is unlabelled, too.
    """

    tree: cKDTree | None
    classes: NDArray[np.uint8]


@dataclass(frozen=True)
class Places:
    """Labelled points of what stands: those of the ground, and all others."""

    ground: LabelledPoints
    solid: LabelledPoints


def count_votes(
    labelled: Iterable[tuple[NDArray[np.int32], NDArray[np.uint8]]], moving: NDArray[np.int32], classes: int
) -> GroupVotes:
    """Count the classes of groups in labelled sweeps.

    Args:
        labelled: of each labelled sweep the label and the class of its points, int32 [N] and uint8 [N], 0 for those
            left unlabelled; sweeps without any class do not count.
        moving: ids of the groups that move at some time of the sequence.
        classes: number of classes, unlabelled included.
    """
    found: dict[int, NDArray[np.int64]] = {}
    for label, semantic in labelled:
        known = (label >= 0) & semantic.any()
        ids, row = np.unique(label[known], return_inverse=True)
        counts = np.bincount(row * classes + semantic[known], minlength=len(ids) * classes).reshape(-1, classes)
        for group, count in zip(ids.tolist(), counts, strict=True):
            found[group] = found[group] + count if group in found else count
    group = np.array(sorted(found), np.int32)
    votes = np.array([found[g] for g in group.tolist()], np.int64).reshape(len(group), classes)
    purity = votes.max(axis=1, initial=0) / np.maximum(votes.sum(axis=1), 1)
    carried = np.isin(group, moving) & (purity >= MIN_PURITY)
    return GroupVotes(group, votes.argmax(axis=1).astype(np.uint8), purity, carried, moving)


def standing_groups(
    sweep: tuple[NDArray[np.float64], NDArray[np.int32]],
    others: Iterable[tuple[NDArray[np.float64], NDArray[np.int32]]],
    candidates: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Find groups whose points on a sweep stand, although the group moves: the sign that a car passed, say.

    Where what moves has been, nothing is left once it is elsewhere. What is still there on two sweeps stands.

    Args:
        sweep: the positions of its points in the world, float64 [N, 3], and their labels, int32 [N].
        others: the same of sweeps some time before and after.
        candidates: int32, ascending, ids of groups on the sweep.
    """
    if not len(candidates):
        return candidates
    centre, row, points = _centres(*sweep, candidates)
    keys = cell_keys(sweep[0][row >= 0], _PLACE_M)
    of_group, stands = row[row >= 0], np.zeros(len(candidates), np.int64)
    for world, label in others:
        there, _, _ = _centres(world, label, candidates)
        near = np.linalg.norm(there - centre, axis=1) < _ELSEWHERE_M  # not, if it is not there at all
        taken = cell_keys(world[(label >= NOISE) & np.isfinite(world[:, 0])], _PLACE_M)
        left = np.bincount(of_group[np.isin(keys, taken)], minlength=len(candidates))
        stands += ~near & (left >= _STILL_THERE * points)
    return candidates[stands > 1]


def ground_at_groups(
    world: NDArray[np.float64], label: NDArray[np.int32], groups: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Find points of the ground next to a group: the foot of a car, say, that ground removal took for the road.

    Args:
        world: positions of the points of one sweep in the world, float64 [N, 3].
        label: their labels, int32 [N].
        groups: int32, ascending, the groups.
    """
    ground = np.flatnonzero((label == GROUND) & np.isfinite(world[:, 0]))
    above = world[(_rows_of(groups, label) >= 0) & np.isfinite(world[:, 0])]
    above = above[first_of_each(cell_keys(above, _FOOT_M))[0]]
    around = _FOOT_M * np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), axis=-1).reshape(-1, 3)
    near = cell_keys((above[:, None] + around).reshape(-1, 3), _FOOT_M)
    found = np.zeros(len(label), np.bool_)
    found[ground] = pc.is_in(pa.array(cell_keys(world[ground], _FOOT_M)), pa.array(near))
    return found


def _centres(
    world: NDArray[np.float64], label: NDArray[np.int32], groups: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the means of groups' points, float64 [G, 3], NaN for none; the row of each point's; their numbers."""
    row = _rows_of(groups, label)
    of_groups = row >= 0
    points = np.bincount(row[of_groups], minlength=len(groups))
    sums = [np.bincount(row[of_groups], axis, minlength=len(groups)) for axis in world[of_groups].T]
    with np.errstate(invalid="ignore"):
        return np.stack(sums, axis=1) / points[:, None], row, points


def _rows_of(groups: NDArray[np.int32], label: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the place of each label among groups in ascending order, int64 [N]; -1 for none of them."""
    if not len(groups):
        return np.full(len(label), -1, np.int64)
    row = np.minimum(np.searchsorted(groups, label), len(groups) - 1)
    found: NDArray[np.int64] = np.where(groups[row] == label, row, -1)
    return found


def gather_places(
    labelled: Iterable[tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.uint8]]], votes: GroupVotes | None
) -> Places:
    """Gather the points of what stands in labelled sweeps; of those in a cube of 0.1 m that agree one is kept.

    Args:
        labelled: of each labelled sweep the positions in the world, float64 [N, 3], NaN for points that are no
            evidence, labels and classes of its points, 0 for those left unlabelled; sweeps without any class do not
            count.
        votes: of the sequence; groups that carry their class with them are left out. None gathers all points as solid.
    """
    ground, solid = [], []
    for xyz, label, semantic in labelled:
        chosen = np.isfinite(xyz[:, 0]) & semantic.any()
        on_ground = np.zeros(len(label), np.bool_)
        if votes is not None:
            chosen, on_ground = chosen & ~votes.is_carried(votes.find(label)), label == GROUND
        ground.append(_thinned(xyz[chosen & on_ground], semantic[chosen & on_ground]))
        solid.append(_thinned(xyz[chosen & ~on_ground], semantic[chosen & ~on_ground]))
    return Places(_in_tree(ground), _in_tree(solid))


def _in_tree(parts: Sequence[tuple[NDArray[np.float64], NDArray[np.uint8]]]) -> LabelledPoints:
    if not sum(len(semantic) for _, semantic in parts):
        return LabelledPoints(None, np.zeros(0, np.uint8))
    xyz, semantic = _thinned(np.concatenate([xyz for xyz, _ in parts]), np.concatenate([found for _, found in parts]))
    return LabelledPoints(cKDTree(xyz, balanced_tree=False, compact_nodes=False), semantic)


def _thinned(xyz: NDArray[np.float64], semantic: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    first, _ = first_of_each(cell_keys(xyz, _THINNED_M) * 256 + semantic)
    return xyz[first], semantic[first]


def cell_keys(xyz: NDArray[np.float64], size_m: float) -> NDArray[np.int64]:
    """Return the number of the cube of a grid in which each point is, int64 [N].

    Cubes farther apart than 2**17 share numbers: at 0.1 m, points must be within 13 km.
    """
    keys = np.zeros(len(xyz), np.int64)
    for values in xyz.T if len(xyz) else ():
        keys <<= 17
        keys |= np.floor(values / size_m).astype(np.int64) & (2**17 - 1)
    return keys


def first_of_each(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return where each value is met first, in order, and the number of each key's value, int32 [N]; by hashing."""
    encoded = pa.array(keys).dictionary_encode()
    number: NDArray[np.int32] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    highest = np.maximum.accumulate(number)  # values are numbered as they are met
    return np.flatnonzero(np.diff(highest, prepend=-1)), number
