"""Boxes of labelled sweeps on other sweeps: what stands keeps its place in the world, what moves goes with its group.

Where an object may be that no labelled sweep shows, the area is marked as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, boxes_in_space, points_in_box
from iscc_lidar.data_schemas.labels import GROUND
from iscc_lidar.data_schemas.spread import FROM_GROUP, FROM_NOTHING, FROM_POSITION, UNKNOWN_KIND, SpreadBoxes
from iscc_lidar.preprocess.spread.box_motion import LEAST_POINTS, LabelledBox, SeenSweep, attach, carry
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.shared.cache.sweep import Groups

_OF_ONE_GROUP: Final = 0.6
"""Share of the points in a box, ground aside, that must be of one group, and of this group's that must be in it."""
_MARGIN_M: Final = 0.2


@dataclass(frozen=True)
class LabelledSweep:
    """A labelled sweep: its points, its boxes in the world, which points are where boxes were labelled, bool [N]."""

    seen: SeenSweep
    boxes: Boxes
    in_sight: NDArray[np.bool_]


@dataclass(frozen=True)
class BoxEvidence:
    """The labelled boxes of a sequence.

    Attributes:
        of_group: boxes of each group, in order of the sweeps.
        lost: boxes whose points are not those of one group.
        shown: int32, ascending: groups of which labelled sweeps show what they are; no object unless in ``of_group``.
        longest: length of the longest labelled box, metres.
        moving: int32, ascending: groups in ``of_group`` that move at some time of the sequence.
        direction: of these: index of the sweep to direction, radians, NaN for none.
    """

    of_group: Mapping[int, Sequence[LabelledBox]]
    lost: Sequence[LabelledBox]
    shown: NDArray[np.int32]
    longest: float
    moving: NDArray[np.int32]
    direction: Mapping[int, Mapping[int, float]]


def gather_boxes(labelled: Iterable[LabelledSweep]) -> BoxEvidence:
    """Find the group of each labelled box. Which of them move, and where to, is left to the caller."""
    of_group: dict[int, list[LabelledBox]] = {}
    lost: list[LabelledBox] = []
    shown: list[NDArray[np.int32]] = []
    unsure: list[NDArray[np.int32]] = []
    longest = 0.0
    for sweep in labelled:
        shown.append(np.unique(sweep.seen.label[sweep.in_sight]))
        longest = max(longest, float(np.nanmax(sweep.boxes.size, initial=0.0)))
        found: dict[int, list[LabelledBox]] = {}
        for box in _labelled_boxes(sweep):
            group, among = _group_of(box, sweep.seen)
            if group is None:
                lost.append(box)
                unsure.append(among)
            else:
                found.setdefault(group, []).append(box)
        for group, boxes in found.items():
            if len(boxes) > 1:
                lost += boxes
                unsure.append(np.array([group], np.int32))
            else:
                of_group.setdefault(group, []).append(attach(boxes[0], sweep.seen, group))
    known = np.setdiff1d(_joined(shown), np.setdiff1d(_joined(unsure), list(of_group)))
    return BoxEvidence(of_group, lost, known[known >= 0], longest, np.zeros(0, np.int32), {})


def _joined(groups: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *groups])


def _labelled_boxes(sweep: LabelledSweep) -> Iterator[LabelledBox]:
    boxes = sweep.boxes
    for k in np.flatnonzero(np.isfinite(boxes.centre).all(axis=1)).tolist():
        kind, heading = str(boxes.kind[k]), float(boxes.heading[k])
        yield LabelledBox(sweep.seen.index, kind, boxes.centre[k], boxes.size[k], heading, np.zeros(2), 0.0)


def _group_of(box: LabelledBox, sweep: SeenSweep) -> tuple[int | None, NDArray[np.int32]]:
    """Return the group whose points a box contains, None where that is not one; and all that have points in it."""
    inside = points_in_box(sweep.xyz, box.centre, box.size + _MARGIN_M, box.heading) & (sweep.label != GROUND)
    groups, count = np.unique(sweep.label[inside & (sweep.label >= 0)], return_counts=True)
    if not len(groups):
        return None, groups
    group, most = int(groups[count.argmax()]), count.max()
    enough = most >= LEAST_POINTS and most >= _OF_ONE_GROUP * max(inside.sum(), (sweep.label == group).sum())
    return group if enough else None, groups


def spread_boxes(sweep: SeenSweep, groups: Groups, evidence: BoxEvidence) -> SpreadBoxes:
    """Find the boxes of a sweep, in the world.

    Args:
        sweep: its points.
        groups: its groups.
        evidence: labelled boxes.
    """
    order = np.argsort(sweep.label, kind="stable")
    start, stop = (np.searchsorted(sweep.label[order], groups.group, side=side) for side in ("left", "right"))
    found: list[tuple[LabelledBox, int]] = []
    side_m = (groups.box_max - groups.box_min)[:, :2].max(axis=1, initial=0)
    unknown = ~np.isin(groups.group, evidence.shown) & (side_m <= evidence.longest)
    moves = np.isin(groups.group, evidence.moving)
    for row in np.flatnonzero(np.isin(groups.group, list(evidence.of_group))).tolist():
        group, points = int(groups.group[row]), sweep.xyz[order[start[row] : stop[row]]]
        box = min(evidence.of_group[group], key=lambda each: abs(each.sweep - sweep.index))
        if moves[row]:
            of_time = evidence.direction.get(group, {})
            turn = of_time.get(sweep.index, np.nan) - of_time.get(box.sweep, np.nan)
            carried = carry(box, sweep, points, 0.0 if np.isnan(turn) else float(turn), group)
            unknown[row] = carried is None
            found += [(carried, FROM_GROUP)] if carried else []
        elif points_in_box(points, box.centre, box.size + _MARGIN_M, box.heading).any():
            found.append((box, FROM_POSITION))
    found += [(replace(box, kind=UNKNOWN_KIND), FROM_NOTHING) for box in evidence.lost]
    return _joined_boxes(found, groups.box_min[unknown], groups.box_max[unknown])


def _joined_boxes(
    found: Sequence[tuple[LabelledBox, int]], low: NDArray[np.float64], high: NDArray[np.float64]
) -> SpreadBoxes:
    """Join boxes and areas of which nothing is known, given by their corners, float64 [U, 3]."""
    boxes = [box for box, _ in found]
    none = np.zeros((0, 3))
    kind = np.array([*(box.kind for box in boxes), *[UNKNOWN_KIND] * len(low)], np.str_)
    centre = np.concatenate([none, *(box.centre[None] for box in boxes), (low + high) / 2])
    size = np.concatenate([none, *(box.size[None] for box in boxes), np.maximum(high - low, _MARGIN_M)])
    heading = np.concatenate([[box.heading for box in boxes], np.zeros(len(low))])
    source = np.array([*(source for _, source in found), *[FROM_NOTHING] * len(low)], np.uint8)
    return SpreadBoxes(boxes_in_space(kind, centre, size, heading), source)


def to_world(boxes: Boxes, world_SE3_sensor: NDArray[np.float64]) -> Boxes:
    """Move boxes from the frame of a sensor to the world; they stay upright."""
    return _moved(boxes, world_SE3_sensor)


def to_sensor(boxes: Boxes, world_SE3_sensor: NDArray[np.float64]) -> Boxes:
    """Move boxes from the world to the frame of a sensor; they stay upright."""
    return _moved(boxes, inverse(world_SE3_sensor))


def _moved(boxes: Boxes, dst_SE3_src: NDArray[np.float64]) -> Boxes:
    turn = np.arctan2(dst_SE3_src[1, 0], dst_SE3_src[0, 0])
    heading = np.angle(np.exp(1j * (boxes.heading + turn)))
    return replace(boxes, centre=transform(dst_SE3_src, boxes.centre), heading=heading)
