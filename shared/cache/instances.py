"""Numbers for the groups of a sequence, for files that have room for fewer of them than a cache has ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache


@dataclass(frozen=True)
class SequenceGroups:
    """The groups of a sequence, ascending by id.

    Attributes:
        where: cache and sequence, for messages.
        group: int32 [G], id.
        points: int64 [G], its number of points in all sweeps.
        moving: bool [G], whether it moves at some time.
    """

    where: str
    group: NDArray[np.int32]
    points: NDArray[np.int64]
    moving: NDArray[np.bool_]

    def rank_of(self, label: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the places of points' groups among these, int64 [N], by their labels; -1 in no group.

        Raises UserError for a group that is not among these.
        """
        return _rank_of(self.group, label, self.where)


@dataclass(frozen=True)
class Instances:
    """Numbers of the groups in successive sweeps of a sequence.

    Attributes:
        where: cache and sequence, for messages.
        start: index of the first sweep.
        stop: index of the last sweep + 1.
        group: int32 [G], ids of all groups there, ascending.
        number: int32 [G], from 1, each once; 0 for a group that is left out.
    """

    where: str
    start: int
    stop: int
    group: NDArray[np.int32]
    number: NDArray[np.int32]

    def of(self, label: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the numbers of points, int32 [N], by their labels; 0 in no group, and in one that is left out.

        Raises UserError for a group that is not among these.
        """
        number: NDArray[np.int32] = np.append(self.number, np.int32(0))  # the last one is for points in no group
        return number[_rank_of(self.group, label, self.where)]

    def rows(self) -> list[tuple[int, int]]:
        """Return number and group of all groups that have a number, in order of the numbers."""
        order = np.argsort(self.number, kind="stable")
        order = order[self.number[order] > 0]
        return list(zip(self.number[order].tolist(), self.group[order].tolist(), strict=True))


def sequence_groups(cache: Cache, sequence: str) -> SequenceGroups:
    """Count the points of all groups of a sequence. Raises UserError for an unknown sequence, or a damaged block."""
    ids, counts = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for block in cache.blocks(sequence):
        found, points = (block.group_rows[name].to_numpy() for name in ("group", "points"))
        group, total = _totals(found, points)
        ids.append(group)
        counts.append(total)
    group, total = _totals(np.concatenate(ids), np.concatenate(counts))
    moving = np.isin(group, cache.moving_groups(sequence))
    return SequenceGroups(f"{cache.path}: sequence {sequence}", group, total, moving)


def number_groups(cache: Cache, sequence: str, limit: int, moving_first: bool = False) -> list[Instances]:
    """Give numbers from 1 to the groups of a sequence, in order of their ids.

    Where there are more groups than ``limit``, the sequence is cut between sweeps into as few parts as have at most so
    many, and each part has numbers of its own.

    Args:
        cache: a cache.
        sequence: name of a sequence.
        limit: highest number.
        moving_first: whether groups that move at some time get the lowest numbers.

    Raises UserError where one sweep has more groups.
    """
    groups = sequence_groups(cache, sequence)
    moving = groups.group[groups.moving & moving_first]
    parts: list[Instances] = []
    for start, stop, group in _cut(cache, sequence, groups.group, limit):
        order = np.argsort(~np.isin(group, moving), kind="stable")
        number = np.empty(len(group), np.int32)
        number[order] = np.arange(1, len(group) + 1)
        parts.append(Instances(groups.where, start, stop, group, number))
    return parts


def largest_groups(cache: Cache, sequence: str, limit: int) -> Instances:
    """Give numbers from 1 to at most ``limit`` groups of a sequence, in order of their ids, and leave out the others.

    First those are kept that move at some time, then those with the most points in all sweeps.
    """
    groups = sequence_groups(cache, sequence)
    kept = np.sort(np.lexsort((-groups.points, ~groups.moving))[:limit])
    number = np.zeros(len(groups.group), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return Instances(groups.where, 0, cache.sequence(sequence).sweeps, groups.group, number)


def _cut(
    cache: Cache, sequence: str, every: NDArray[np.int32], limit: int
) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
    """Yield start, stop and groups, ascending, of as few parts of a sequence as have at most ``limit`` groups."""
    sweeps = cache.sequence(sequence).sweeps
    if len(every) <= limit:
        yield 0, sweeps, every
        return
    start, seen = 0, set[int]()
    for index, found in enumerate(_groups_by_sweep(cache, sequence)):
        if len(found) > limit:
            raise UserError(
                f"{cache.path}: sequence {sequence}: sweep {index} has {len(found)} groups; files of this target have "
                f"room for {limit}"
            )
        if len(seen | found) > limit:
            yield start, index, np.array(sorted(seen), np.int32)
            start, seen = index, set()
        seen |= found
    yield start, sweeps, np.array(sorted(seen), np.int32)


def _groups_by_sweep(cache: Cache, sequence: str) -> Iterator[set[int]]:
    for block in cache.blocks(sequence):
        group, sweep = (block.group_rows[name].to_numpy() for name in ("group", "sweep"))
        ends = np.searchsorted(sweep, np.arange(block.entry.start, block.entry.stop + 1))
        for start, stop in itertools.pairwise(ends):
            yield set(group[start:stop].tolist())


def _rank_of(group: NDArray[np.int32], label: NDArray[np.int32], where: str) -> NDArray[np.int64]:
    highest = int(label.max(initial=-1))
    known = group[group <= highest]
    rank = np.full(highest + 2, -2)  # the last one is for points in no group
    rank[known], rank[-1] = np.arange(len(known)), -1
    found: NDArray[np.int64] = rank[np.maximum(label, -1)]
    if found.min(initial=0) < -1:
        raise UserError(f"{where}: a point is of group {label[found < -1][0]}, which its tables lack")
    return found


def _totals(group: NDArray[np.int32], points: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Sum points by group exactly; return the groups, ascending, and the sums."""
    found, row = np.unique(group, return_inverse=True)
    total = np.zeros(len(found), np.int64)
    np.add.at(total, row, points)
    return found, total
