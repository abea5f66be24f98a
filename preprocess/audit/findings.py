"""Likely label errors: where the classes of a group change in time, differ within it, or do not fit its looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.preprocess.audit.describe import GroupSweeps

Kind = Literal["flip", "part", "whole"]
_LEAST: Final = 5
"""Labelled points of a group in a sweep, fewer say nothing."""
_CLEAR: Final = 0.6
"""Share of a group's points in a sweep that makes a class its own there."""
_SEEN: Final = 15
"""Points of a group in a sweep for its looks to count."""
_BEST: Final = 7
"""Sweeps with most points, whose median looks are the group's."""
_NEIGHBOURS: Final = 10
_USUAL: Final = 20
"""Groups of a pair of classes that look alike, from which on a further one is no surprise."""
_DIRECT: Final = 1.25
"""Weight of a group's disagreement with itself; one with groups that look alike has 1."""


@dataclass(frozen=True)
class Finding:
    """A likely error.

    Attributes:
        kind: "flip", of another class in some sweeps; "part", a part is of another class in most sweeps; "whole",
            groups that look like it are of another class.
        group: ID.
        sweeps: indices of the sweeps, ascending.
        found: class of the labels in question.
        expected: class that they should probably have.
        points: number of points in question.
        score: the higher, the more is likely to be wrong.
    """

    kind: Kind
    group: int
    sweeps: tuple[int, ...]
    found: int
    expected: int
    points: int
    score: float


def find_errors(rows: GroupSweeps, moving: NDArray[np.int32]) -> list[Finding]:
    """Find likely label errors of a sequence, the worst first; ``moving`` are IDs of groups that move at some time.

    Of a group at most one finding is about parts or all of it, and one about flips to each class.
    """
    found = [*_of_groups(rows), *_of_looks(rows, moving)]
    found.sort(key=lambda each: (-each.score, each.group, each.kind, each.found))
    seen: set[tuple[int, int]] = set()
    kept = []
    for each in found:
        about = (each.group, each.found if each.kind == "flip" else -1)
        if about not in seen:
            seen.add(about)
            kept.append(each)
    return kept


def _of_groups(rows: GroupSweeps) -> Iterator[Finding]:
    order = np.lexsort((rows.sweep, rows.group))
    group, start = np.unique(rows.group[order], return_index=True)
    if not len(group):
        return
    for number, mine in zip(group.tolist(), np.split(order, start[1:]), strict=True):
        counts = rows.classes[mine, 1:]
        if counts.sum() >= 4 * _LEAST:
            yield from _of_group(number, rows.sweep[mine], counts.astype(np.float64))


def _of_group(group: int, sweep: NDArray[np.int32], counts: NDArray[np.float64]) -> Iterator[Finding]:
    """Find where a group disagrees with itself; ``counts`` [T, C - 1] are of its labelled points in each sweep."""
    total = counts.sum(axis=1)
    enough = total >= _LEAST
    if not enough.any():
        return
    share = counts / np.maximum(total, 1)[:, None]
    best, clear = share.argmax(axis=1), share.max(axis=1) > _CLEAR
    usual = int(np.bincount(best[enough]).argmax())
    flipped = enough & (best != usual) & clear
    own = enough & (best == usual)
    for other in np.unique(best[flipped]).tolist():
        there = flipped & (best == other)
        sure = np.median(share[own, usual]) * np.median(share[there, other]) * (1 - there.sum() / enough.sum())
        yield _finding("flip", group, sweep[there], other, usual, counts[there, other].sum(), sure)
    rest = enough & ~flipped
    sums = counts[rest].sum(axis=0)
    for other in np.flatnonzero(sums >= 2 * _LEAST).tolist():
        both = rest & (share[:, other] > 0.1) & (share[:, usual] > 0.1)
        part, often = sums[other] / sums.sum(), both.sum() / rest.sum()
        if other != usual and part > 0.08 and often > 0.3:
            sure = often * (sums[other] + sums[usual]) / sums.sum() * min(1.0, 4 * part)
            yield _finding("part", group, sweep[rest], other, usual, sums[other], sure)


def _of_looks(rows: GroupSweeps, moving: NDArray[np.int32]) -> Iterator[Finding]:
    """Find groups of another class than those that look like them."""
    group, looks, own = _group_looks(rows)
    if len(group) <= _NEIGHBOURS:
        return
    classes = rows.classes.shape[1]
    votes = np.stack([_votes(looks, own, classes, k, np.isin(group, moving)) for k in range(len(group))])
    expected = votes.argmax(axis=1)
    pairs = np.bincount(own * classes + expected, minlength=classes**2).reshape(classes, classes)
    for k in np.flatnonzero(expected != own).tolist():
        a, b = int(own[k]), int(expected[k])
        usual = pairs[a, b] / (min(pairs[a].sum(), pairs[:, b].sum()) + _USUAL)
        sure = votes[k, b] * (1 - votes[k, a]) * (1 - usual) ** 2
        mine = rows.group == group[k]
        points = rows.classes[mine, 1:].sum()
        yield _finding("whole", int(group[k]), rows.sweep[mine], a - 1, b - 1, points, sure)


def _group_looks(rows: GroupSweeps) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
    """Return groups [G] that are mostly of one class, their looks on one scale [G, 10], and their classes [G]."""
    found: list[tuple[int, NDArray[np.float64], int]] = []
    usable = (rows.points >= _SEEN) & np.isfinite(rows.looks).all(axis=1)
    for group in np.unique(rows.group[usable]).tolist():
        mine = np.flatnonzero(rows.group == group)
        total = rows.classes[mine, 1:].sum(axis=0)
        if total.sum() and total.max() > 0.5 * total.sum():
            seen = mine[usable[mine]]
            seen = seen[np.argsort(-rows.points[seen], kind="stable")[:_BEST]]
            found.append((group, np.median(rows.looks[seen], axis=0).astype(np.float64), int(total.argmax()) + 1))
    if not found:
        return np.zeros(0, np.int32), np.zeros((0, rows.looks.shape[1])), np.zeros(0, np.int64)
    looks = np.stack([each for _, each, _ in found])
    looks[:, :3] = np.log(looks[:, :3] + 0.2)
    low, middle, high = np.percentile(looks, [10, 50, 90], axis=0)
    scaled = (looks - middle) / (high - low + 1e-6)
    return np.array([g for g, _, _ in found], np.int32), scaled, np.array([c for _, _, c in found], np.int64)


def _votes(
    looks: NDArray[np.float64], own: NDArray[np.int64], classes: int, k: int, moves: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the shares of classes among the groups that look most like the k-th one, [C]."""
    distance = np.sqrt(((looks - looks[k]) ** 2).sum(axis=1) + (moves != moves[k]))
    distance[k] = np.inf
    near = np.argsort(distance, kind="stable")[:_NEIGHBOURS]
    votes = np.bincount(own[near], 1 / (distance[near] + 0.1), minlength=classes)
    shares: NDArray[np.float64] = votes / votes.sum()
    return shares


def _finding(
    kind: Kind, group: int, sweeps: NDArray[np.int32], found: int, expected: int, points: float, sure: float
) -> Finding:
    weight = 1.0 if kind == "whole" else _DIRECT
    score = weight * float(np.sqrt(max(sure, 0.0)) * np.log1p(points))
    return Finding(kind, group, tuple(sorted(sweeps.tolist())), found + 1, expected + 1, int(points), score)
