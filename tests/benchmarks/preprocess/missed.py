"""Why a true object is not found: what most of its points are, and what its largest group is made of."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND

Reason = Literal["ground", "noise", "merged", "split in space", "split in time"]

Ids = NDArray[np.int32] | NDArray[np.int64]


def why_missed(label: Ids, truth: Ids, sweep: Ids, object_id: int) -> Reason:
    """Say why no group has half of an object's points and not as many others.

    Args:
        label: label of each point, group or code of ``data_schemas.labels``, [N].
        truth: true object, 0 for none, [N].
        sweep: index of its sweep, [N].
        object_id: of an object with an IoU below 0.5 with every group.

    Returns:
        "ground" or "noise" if most of its points have this label (points that were not considered count as noise);
        "merged" if most points of its largest group are others'; else "split in time" if in most sweeps one group has
        most of its points there, and "split in space" if not.
    """
    own = truth == object_id
    of_object = label[own].astype(np.int64)
    if (of_object == GROUND).mean() > 0.5:
        return "ground"
    if ((of_object < 0) & (of_object != GROUND)).mean() > 0.5:
        return "noise"
    group, points = np.unique(of_object[of_object >= 0], return_counts=True)
    largest = group[points.argmax()] if len(group) else -1
    if largest >= 0 and points.max() < 0.5 * np.count_nonzero(label == largest):
        return "merged"
    return "split in time" if _is_whole_in_most_sweeps(of_object, sweep[own].astype(np.int64)) else "split in space"


def _is_whole_in_most_sweeps(label: NDArray[np.int64], sweep: NDArray[np.int64]) -> bool:
    whole = []
    for index in np.unique(sweep).tolist():
        here = label[sweep == index]
        points = np.unique(here[here >= 0], return_counts=True)[1]
        whole.append(points.max(initial=0) > 0.5 * len(here))
    return bool(np.mean(whole) > 0.5)
