"""Apply the corrections of a sequence to the labels of a sweep."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.corrections.resolve import NO_OBJECT, Part, PointsPart, Resolved, contradiction
from iscc_lidar.shared.corrections.table import in_runs


def apply(resolved: Resolved, label: NDArray[np.int32], index: int) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the object of each point of a sweep, int32 [N], NO_OBJECT for none, and its class, uint8 [N], 0 for none.

    Args:
        resolved: the corrections of the sequence.
        label: int32 [N], ids of groups and codes, as in the cache.
        index: of the sweep within the sequence.

    Raises:
        UserError: rows name points that the sweep, or their group, does not have, or contradict each other; or a point
            is of a group that the sequence does not have.
    """
    values, at = np.unique(label, return_inverse=True)
    objects, classes = np.empty(len(values), np.int32), np.empty(len(values), np.uint8)
    for k, value in enumerate(values.tolist()):
        objects[k], classes[k] = _of_label(resolved, value, index)
    object_of, class_of = objects[at], classes[at]
    stated = np.full(len(label), -1, np.int32)
    rows = resolved.points.get(index, ())
    for number, row in enumerate(rows):
        chosen = _rows_of(row, label, resolved.where, index)
        for earlier in np.unique(stated[chosen]).tolist():
            if earlier >= 0 and not rows[earlier].part.same_as(row.part):
                raise contradiction(resolved.where, row.part.line, rows[earlier].part.line)
        stated[chosen] = number
        object_of[chosen], class_of[chosen] = row.part.object, _class_of(resolved, row.part)
    return object_of, class_of


def _of_label(resolved: Resolved, value: int, index: int) -> tuple[int, int]:
    """Return object and class of the points of a group or code on a sweep."""
    for runs, part in resolved.sweeps.get(value, ()):
        if in_runs(runs, index):
            return part.object, _class_of(resolved, part)
    if value < 0:
        return NO_OBJECT, resolved.class_of_code.get(value, 0)
    place = int(np.searchsorted(resolved.groups, value))
    if not np.array_equal(resolved.groups[place : place + 1], [value]):
        raise UserError(f"{resolved.where}: a point of sweep {index} is of group {value}, which the tables lack")
    found = int(resolved.object_of[place])
    return found, resolved.class_of.get(found, 0)


def _class_of(resolved: Resolved, part: Part) -> int:
    return part.class_index if part.object == NO_OBJECT else resolved.class_of.get(part.object, 0)


def _rows_of(row: PointsPart, label: NDArray[np.int32], where: str, index: int) -> NDArray[np.int64]:
    """Return the points of a row of the table."""
    if row.points[-1][1] > len(label):
        raise UserError(
            f"{where}, line {row.part.line}: sweep {index} has points 0 to {len(label) - 1}, not "
            f"{row.points[-1][1] - 1}"
        )
    chosen = np.concatenate([np.arange(start, stop) for start, stop in row.points])
    if row.group is not None and (label[chosen] != row.group).any():
        other = int(chosen[label[chosen] != row.group][0])
        raise UserError(f"{where}, line {row.part.line}: point {other} is not of the group of this row")
    return chosen
