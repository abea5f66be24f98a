"""Scores of groups against true objects: pure functions of per-point ids.

``group`` is the id under test (-1 where none), ``truth`` the true object's id (0 where none), ``sweep``
the index of the sweep that a point comes from; all [N], in the same order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOVED_M: Final = 1.0
"""An object that moves farther in its sequence is a moving one."""

Ids = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True)
class ObjectScores:
    """Scores of each true object; all arrays are [objects], in order of ``object_id``.

    Attributes:
        object_id: the true ids.
        points: points of the object.
        best_iou: largest intersection over union with any group, over points.
        main_group: the group with most of the object's points, -1 where none has any.
        link: of the sweeps that see the object, the share in which its most common id is ``main_group``.
        switches: how often the most common id changes from one sweep to the next that has one.
    """

    object_id: NDArray[np.int64]
    points: NDArray[np.int64]
    best_iou: NDArray[np.float64]
    main_group: NDArray[np.int64]
    link: NDArray[np.float64]
    switches: NDArray[np.int64]


def object_scores(
    group: Ids,
    truth: Ids,
    sweep: Ids,
    min_points: int = 50,
    min_sweep_points: int = 1,
) -> ObjectScores:
    """Score the true objects of at least ``min_points`` points.

    A sweep counts for ``link`` and ``switches`` where it has at least ``min_sweep_points`` of the object.
    Of equally common ids the lowest counts; noise (-1) competes within a sweep but is no switch.
    """
    ids, points = np.unique(truth[truth > 0], return_counts=True)
    keep = points >= min_points
    object_id, size = ids[keep].astype(np.int64), points[keep].astype(np.int64)
    best, main = _best_iou(group, truth, object_id, size)
    link, switches = _through_time(group, truth, sweep, object_id, main, min_sweep_points)
    return ObjectScores(object_id, size, best, main, link, switches)


def _best_iou(
    group: Ids,
    truth: Ids,
    ids: NDArray[np.int64],
    points: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    best, main = np.zeros(len(ids)), np.full(len(ids), -1, dtype=np.int64)
    row, known = _rows(truth, ids)
    inside = known & (group >= 0)
    if not inside.any():
        return best, main
    size = np.bincount(group[group >= 0])
    pair, shared = np.unique(row[inside] * len(size) + group[inside], return_counts=True)
    o, g = np.divmod(pair, len(size))
    np.maximum.at(best, o, shared / (points[o] + size[g] - shared))
    order = np.lexsort((-g, shared, o))  # the last of each object has most points, then the lowest id
    main[o[order]] = g[order]
    return best, main


def _through_time(
    group: Ids, truth: Ids, sweep: Ids, ids: NDArray[np.int64], main: NDArray[np.int64], min_sweep_points: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    link, switches = np.zeros(len(ids)), np.zeros(len(ids), dtype=np.int64)
    row, known = _rows(truth, ids)
    if not known.any():
        return link, switches
    sweeps, width = int(sweep.max()) + 1, int(group.max()) + 2
    cell = row[known] * sweeps + sweep[known]
    pair, shared = np.unique(cell * width + group[known] + 1, return_counts=True)
    seen, g = np.divmod(pair, width)
    order = np.lexsort((-g, shared, seen))
    last = np.flatnonzero(np.append(seen[order][1:] != seen[order][:-1], True))
    enough = np.bincount(cell, minlength=len(ids) * sweeps)[seen[order][last]] >= min_sweep_points
    o, most_common = seen[order][last][enough] // sweeps, g[order][last][enough] - 1
    carried = np.bincount(o, weights=(most_common == main[o]) & (most_common >= 0), minlength=len(ids))
    link = carried / np.maximum(np.bincount(o, minlength=len(ids)), 1)
    grouped = most_common >= 0
    o, most_common = o[grouped], most_common[grouped]
    change = (o[1:] == o[:-1]) & (most_common[1:] != most_common[:-1])
    return link, np.bincount(o[1:][change], minlength=len(ids)).astype(np.int64)


def _rows(truth: Ids, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if len(ids) == 0:
        return np.zeros(len(truth), dtype=np.int64), np.zeros(len(truth), dtype=np.bool_)
    row = np.minimum(np.searchsorted(ids, truth), len(ids) - 1)
    return row, ids[row] == truth


def group_widths(xyz: NDArray[np.floating], group: Ids) -> NDArray[np.float64]:
    """Return the larger side of each group's box seen from above, [groups], metres; 0 for an unused id."""
    inside = group >= 0
    count = int(group.max(initial=-1)) + 1
    side = np.zeros((count, 2))
    for axis in range(2):
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, group[inside], xyz[inside, axis])
        np.maximum.at(high, group[inside], xyz[inside, axis])
        side[:, axis] = np.maximum(high - low, 0.0)
    widths: NDArray[np.float64] = side.max(axis=1, initial=0.0)
    return widths


def width_shares(xyz: NDArray[np.floating], group: Ids, limit_m: float = 20.0) -> tuple[float, float]:
    """Return the share of all points in groups wider than ``limit_m`` seen from above, and in narrower ones."""
    if len(group) == 0:
        return 0.0, 0.0
    inside = group >= 0
    wide = group_widths(xyz, group)[group[inside]] > limit_m
    return float(wide.sum() / len(group)), float((~wide).sum() / len(group))


def mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    """Return the mean, NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def read_motion(folder: Path) -> dict[int, float] | None:
    """Read how far each object of a sequence moves, from its ``instances.json``; None without one."""
    file = folder / "instances.json"
    if not file.is_file():
        return None
    return {int(k): float(v["moved_m"]) for k, v in json.loads(file.read_text(encoding="utf-8")).items()}
