"""Class-agnostic association of groups with true objects, over whole sequences and sweep by sweep.

S_assoc of LSTQ (Aygün et al., CVPR 2021), as UNIT (Sautier et al., 3DV 2025) reports it without classes:
``1/|T| sum_t 1/|t| sum_s TPA(s, t) IoU(s, t)`` over true objects t and groups s that share TPA points. Over *tubes*,
all points of an object in a sequence, it is UNIT's S_temp; over the points of a sweep its S_assoc. IoU* is the mean
of the best IoU of each tube.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True)
class Association:
    """Scores of true objects, tubes or their parts in a sweep; all [objects].

    Attributes:
        object_id: the true ids, ascending; of a part that of its object.
        points: points of each.
        association: ``1/|t| sum_s TPA(s, t) IoU(s, t)``, 0..1.
        best_iou: largest IoU with any group.
    """

    object_id: NDArray[np.int64]
    points: NDArray[np.int64]
    association: NDArray[np.float64]
    best_iou: NDArray[np.float64]


def associate_tubes(group: Ids, truth: Ids, sweep: Ids, labelled: NDArray[np.bool_], more_than: int = 0) -> Association:
    """Score whole tubes.

    Args:
        group: group of each point, negative for none, [N].
        truth: true object, 0 for none, [N].
        sweep: index of its sweep, [N].
        labelled: which points somebody labelled, [N]; others count neither for nor against a group.
        more_than: leave out of each object the sweeps with so few points or fewer, as UNIT does for 50.
    """
    return _associate(group[labelled], _in_sweeps_with(truth, sweep, more_than)[labelled])


def associate_sweeps(
    group: Ids, truth: Ids, sweep: Ids, labelled: NDArray[np.bool_], more_than: int = 0
) -> Association:
    """Score the parts of objects in single sweeps; arguments as in ``associate_tubes``."""
    truth = _in_sweeps_with(truth, sweep, more_than)[labelled].astype(np.int64)
    sweeps = int(sweep.max(initial=0)) + 1
    at, group = sweep[labelled].astype(np.int64), group[labelled].astype(np.int64)
    found = _associate(np.where(group >= 0, group * sweeps + at, -1), np.where(truth > 0, truth * sweeps + at, 0))
    return Association(found.object_id // sweeps, found.points, found.association, found.best_iou)


def _in_sweeps_with(truth: Ids, sweep: Ids, more_than: int) -> Ids:
    """Set the object of points to 0 where it has ``more_than`` points or fewer in their sweep."""
    if more_than == 0 or not len(truth):
        return truth
    _, part, points = np.unique(
        truth.astype(np.int64) * (int(sweep.max()) + 1) + sweep, return_inverse=True, return_counts=True
    )
    kept: Ids = np.where(points[part] > more_than, truth, 0)
    return kept


def _associate(group: Ids, truth: Ids) -> Association:
    groups, of_group, size_of_group = np.unique(group.astype(np.int64), return_inverse=True, return_counts=True)
    objects, of_object, points = np.unique(truth.astype(np.int64), return_inverse=True, return_counts=True)
    pair, shared = np.unique(of_object * len(groups) + of_group, return_counts=True)
    o, g = np.divmod(pair, max(len(groups), 1))
    counted = (objects[o] > 0) & (groups[g] >= 0)
    o, g, shared = o[counted], g[counted], shared[counted]
    iou = shared / (points[o] + size_of_group[g] - shared)
    association = np.bincount(o, shared * iou / points[o], minlength=len(objects)).astype(np.float64)
    best = np.zeros(len(objects))
    np.maximum.at(best, o, iou)
    true = objects > 0
    return Association(objects[true], points[true], association[true], best[true])
