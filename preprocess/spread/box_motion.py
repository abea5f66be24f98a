"""Move a labelled box along with the points of its group, or with the box that was tracked without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND

LEAST_POINTS: Final = 5
_GAP_M: Final = 0.4
"""A face towards the sensor that is farther than this from the points is hidden by something."""
_AROUND_M: Final = 3.0
_STEP_M: Final = 1.0
"""How far a group must have come for its direction to be known."""
_STEPS: Final = 5
_SAME: Final = 0.6
"""Overlap from above of a labelled box with its group's tracked one, from which on it goes along with that."""
_PARALLEL: Final = float(np.sin(np.deg2rad(15)))


@dataclass(frozen=True)
class TrackedBox:
    """A group's box, found without labels, in the world: centre, size float64 [3], metres; heading, radians."""

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: float


@dataclass(frozen=True)
class SeenSweep:
    """A sweep in the world.

    Attributes:
        index: its index in the sequence.
        xyz: float64 [N, 3], metres, world; NaN for points that are not valid.
        label: int32 [N], of the cache.
        sensor: float64 [3], where the sensor is.
        tracked: boxes of groups, found without labels.
    """

    index: int
    xyz: NDArray[np.float64]
    label: NDArray[np.int32]
    sensor: NDArray[np.float64]
    tracked: Mapping[int, TrackedBox] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledBox:
    """A box in the world.

    Attributes:
        sweep: index of the sweep on which it was labelled.
        kind: its class.
        centre: float64 [3], metres.
        size: float64 [3], length, width, height, metres.
        heading: radians, about z.
        gap: float64 [2], how far the faces towards the sensor are beyond the group's points, along and across, metres.
        above: height of its bottom above the ground around it, metres.
        track: its group's tracked box on the labelled sweep, if that is about the same.
    """

    sweep: int
    kind: str
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: float
    gap: NDArray[np.float64]
    above: float
    track: TrackedBox | None = None


def attach(box: LabelledBox, sweep: SeenSweep, group: int) -> LabelledBox:
    """Measure how a labelled box lies around the points of its group."""
    points, track = sweep.xyz[sweep.label == group], sweep.tracked.get(group)
    middle, side, _ = _between_faces(points, sweep.sensor, box.heading, box.size)
    gap = side * (_turned(box.centre[:2], box.heading) - middle)
    ground = _ground_height(sweep, box.centre)
    bottom = box.centre[2] - box.size[2] / 2
    same = track if track is not None and _overlap(box, track) >= _SAME else None
    return replace(box, gap=gap, above=0.0 if ground is None else float(bottom - ground), track=same)


def carry(
    box: LabelledBox, sweep: SeenSweep, points: NDArray[np.float64], turn: float, group: int
) -> LabelledBox | None:
    """Move a box along with its group; None where nothing tells where it is.

    The faces towards the sensor are as far from the group's points as on the labelled sweep, the bottom is as high
    above the ground. Where they are hidden, or there are few points, it lies to the tracked box as it did there.

    Args:
        box: of the group, attached.
        sweep: where to.
        points: float64 [K, 3], metres, world: the group's there.
        turn: by how much its direction differs from that on the labelled sweep, radians.
        group: its id.
    """
    carried = _by_faces(box, sweep, points, turn)
    if carried is None and box.track is not None and group in sweep.tracked:
        return _with_track(box, box.track, sweep.tracked[group])
    return carried


def _with_track(box: LabelledBox, before: TrackedBox, now: TrackedBox) -> LabelledBox:
    away, turn = box.centre - before.centre, now.heading - before.heading
    centre = now.centre + np.append(_turned(away[:2], -turn), away[2])
    return replace(box, centre=centre, heading=float(np.angle(np.exp(1j * (box.heading + turn)))))


def _overlap(box: LabelledBox, track: TrackedBox) -> float:
    """Return the overlap from above of two boxes, intersection over union; 0 where they are not about parallel."""
    if abs(np.sin(box.heading - track.heading)) > _PARALLEL:
        return 0.0
    away = np.abs(_turned(box.centre[:2] - track.centre[:2], box.heading))
    a, b = box.size[:2], track.size[:2]
    shared = float(np.clip((a + b) / 2 - away, 0.0, np.minimum(a, b)).prod())
    return shared / (float(a.prod() + b.prod()) - shared)


def _by_faces(box: LabelledBox, sweep: SeenSweep, points: NDArray[np.float64], turn: float) -> LabelledBox | None:
    if len(points) < LEAST_POINTS or (np.abs(box.gap) > _GAP_M).any():
        return None
    heading = float(np.angle(np.exp(1j * (box.heading + turn))))
    middle, side, extent = _between_faces(points, sweep.sensor, heading, box.size)
    if (extent > box.size[:2] + _GAP_M).any():
        return None
    centre = np.append(_turned(middle + side * box.gap, -heading), 0.0)
    ground = _ground_height(sweep, centre)
    bottom = points[:, 2].min() if ground is None else ground + box.above
    centre[2] = bottom + box.size[2] / 2
    return replace(box, centre=centre, heading=heading)


def directions(sweep: NDArray[np.int64], centroid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the direction in which a group goes at each of its sweeps, radians [S]; NaN where it goes nowhere.

    Args:
        sweep: int64 [S], ascending: where it is seen.
        centroid: float64 [S, 3], metres, world: where it is.
    """
    found, at = np.full(len(sweep), np.nan), np.arange(len(sweep))
    for steps in range(_STEPS, 0, -1):  # the shortest way that is long enough counts
        way = centroid[np.minimum(at + steps, len(at) - 1), :2] - centroid[np.maximum(at - steps, 0), :2]
        far = np.hypot(*way.T) >= _STEP_M
        found[far] = np.arctan2(way[far, 1], way[far, 0])
    known = np.flatnonzero(np.isfinite(found))
    if not len(known):
        return found
    nearest: NDArray[np.float64] = found[known[np.abs(sweep[known][None] - sweep[:, None]).argmin(axis=1)]]
    return nearest


def _between_faces(
    points: NDArray[np.float64], sensor: NDArray[np.float64], heading: float, size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the middle of a box whose faces towards the sensor are where the points end, along and across its heading.

    Returns it [2]; on which side of the points the sensor is, -1, 1 or 0 for neither [2]; the extent of the points [2].
    """
    low, high = np.quantile(_turned(points[:, :2], heading), [0.02, 0.98], axis=0)
    at, half = _turned(sensor[:2], heading), size[:2] / 2
    side = np.where(at < low, -1, np.where(at > high, 1, 0))
    middle = np.select([side < 0, side > 0], [low + half, high - half], (low + high) / 2)
    return middle, side, high - low


def _turned(xy: NDArray[np.float64], heading: float) -> NDArray[np.float64]:
    """Return positions along and across a heading, float64 [..., 2]."""
    cos, sin = np.cos(heading), np.sin(heading)
    along: NDArray[np.float64] = xy @ np.array([[cos, -sin], [sin, cos]])
    return along


def _ground_height(sweep: SeenSweep, centre: NDArray[np.float64]) -> float | None:
    """Return the height of the ground around a place, metres, world; None where none is seen."""
    near = (sweep.label == GROUND) & (np.abs(sweep.xyz[:, :2] - centre[:2]) < _AROUND_M).all(axis=1)
    return float(np.median(sweep.xyz[near, 2])) if near.any() else None
