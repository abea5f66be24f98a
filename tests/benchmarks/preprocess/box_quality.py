"""Boxes of groups against labelled boxes of real sweeps, seen from above, without classes; and another method's.

Average precision: all boxes of all sweeps by falling confidence, each matched with the free labelled box that it
overlaps most; the area under the curve of precision, made monotonous, over recall. What lies outside the view of the
labellers counts neither way. Both methods get the same fitting code: only the groups differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import Boxes, Camera, points_in_box
from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.preprocess.datasets._kitti_object import read_boxes
from iscc_lidar.preprocess.datasets.registry import open_dataset
from iscc_lidar.preprocess.segment.motion import MotionConfig, moving_groups
from iscc_lidar.preprocess.segment.windows import WindowConfig, plan_windows
from iscc_lidar.preprocess.track.confidence import confidences
from iscc_lidar.preprocess.track.fit import fit_tracks, in_sensor_frame, place_boxes
from iscc_lidar.preprocess.track.measure import GroupRows, SweepPoints, measure_block
from iscc_lidar.shared.base.geometry import inverse, transform
from iscc_lidar.trainer.evaluation.detection.objects import UprightBoxes
from iscc_lidar.trainer.evaluation.detection.overlap import circles_meet, ground_iou, pairs_in_frames

from benchmarks.preprocess.group_quality import Method, Points, above_ground, label_sequence, read_points, segment
from benchmarks.preprocess.object_metrics import MOVED_M, read_motion
from benchmarks.preprocess.opponents import plain_hdbscan

IOUS: Final = (0.3, 0.5)
ENOUGH_POINTS: Final = 20
"""Labelled boxes with fewer points count for the precision, and for one row of recall."""


@dataclass(frozen=True)
class FlatBoxes:
    """Boxes of all sweeps, seen from above: sweep int64 [n]; centre, size float64 [n, 2]; heading, score [n]."""

    sweep: NDArray[np.int64]
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    heading: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class TrueBoxes:
    """Labelled boxes: as ``FlatBoxes``, with the number of points in each and whether it moves in the sequence."""

    boxes: FlatBoxes
    points: NDArray[np.int64]
    moves: NDArray[np.bool_]


def bench_box_quality(root: Path, sequence: str, labelled: Path, plain: bool) -> tuple[dict[str, float], str]:
    """Score boxes of this package's groups and of plain hdbscan's.

    Args:
        root: folder in SemanticKITTI's layout, with instance ids in the labels.
        sequence: its name.
        labelled: folder in KITTI's object layout: a frame for each sweep, with ``label_2`` and ``calib``.
        plain: whether plain hdbscan runs too, a minute for each window.

    Returns:
        figures by name, and the same as a table to print.
    """
    dataset = open_dataset("semantickitti", root)
    points = read_points(dataset, sequence)
    views = [_view(labelled, index) for index in range(len(points.world_SE3_sensor))]
    truth = _true_boxes(points, views, read_motion(root / "sequences" / sequence) or {})
    methods: dict[str, Method] = {"ours": segment}
    if plain:
        methods["plain_hdbscan"] = above_ground(plain_hdbscan)
    figures: dict[str, float] = {}
    for name, method in methods.items():
        found = boxes_of(points, label_sequence(points, len(views), method))
        figures |= {f"{name}.{key}": value for key, value in score_boxes(truth, _in_view(found, views)).items()}
    return figures, _table(figures, list(methods))


def boxes_of(points: Points, label: NDArray[np.int32]) -> FlatBoxes:
    """Fit boxes to the groups of a sequence, in the sensor's frame of each sweep."""
    rows = _group_rows(points, label)
    poses = points.world_SE3_sensor
    grouped = label >= 0
    sweeps = [
        SweepPoints(index, points.xyz[own], label[own].astype(np.int64), poses[index, :3, 3])
        for index in range(len(poses))
        for own in [np.flatnonzero(grouped & (points.sweep == index))]
    ]
    measured = measure_block(sweeps, rows, rows, np.unique(rows.group[rows.moving]))
    tracks = fit_tracks([(rows, measured)])
    placed = place_boxes(rows, measured.moving, tracks, poses[rows.sweep, :3, 3])
    boxes = in_sensor_frame(placed, rows.sweep, poses)
    score = confidences(tracks)[np.searchsorted(tracks.group, rows.group)].astype(np.float64)
    return FlatBoxes(rows.sweep, boxes.centre[:, :2], boxes.size[:, :2], boxes.heading, score)


def _group_rows(points: Points, label: NDArray[np.int32]) -> GroupRows:
    grouped = np.flatnonzero(label >= 0)
    order = grouped[np.lexsort((label[grouped], points.sweep[grouped]))]
    key = points.sweep[order] * 2**32 + label[order]
    found, first, count = np.unique(key, return_index=True, return_counts=True)
    centroid = np.add.reduceat(points.xyz[order], first) / count[:, None]
    sweep, group = np.divmod(found, 2**32)
    moving = np.zeros(len(found), np.bool_)
    for window in plan_windows(len(points.world_SE3_sensor), WindowConfig()):
        rows = slice(*np.searchsorted(points.sweep, [window.start, window.stop]))
        ids, dense = np.unique(np.maximum(label[rows], NOISE), return_inverse=True)
        dense = (dense - (ids[0] == NOISE)).astype(np.int32)
        moves = moving_groups(points.xyz[rows], points.sweep[rows] - window.start, dense, MotionConfig())
        own = (sweep >= window.own_start) & (sweep < window.own_stop)
        moving |= own & np.isin(group, ids[ids >= 0][moves])
    return GroupRows(sweep, group, count, moving, centroid)


def _view(labelled: Path, index: int) -> tuple[Boxes, Camera]:
    boxes, camera = read_boxes(labelled, f"training_{index:06d}")
    assert boxes is not None
    assert camera is not None
    return boxes.take(np.isfinite(boxes.heading)), camera


def _sees(camera: Camera, centre: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether places seen from above lie between the sides of the camera's view."""
    pixel, depth = camera.project(np.column_stack([centre[:, :2], np.zeros(len(centre))]))
    return (depth > 1) & (pixel[:, 0] >= 0) & (pixel[:, 0] < camera.width)


def _in_view(found: FlatBoxes, views: Sequence[tuple[Boxes, Camera]]) -> FlatBoxes:
    seen = np.zeros(len(found.sweep), np.bool_)
    for index, (_, camera) in enumerate(views):
        here = found.sweep == index
        seen[here] = _sees(camera, found.centre[here])
    return FlatBoxes(*(values[seen] for values in vars(found).values()))


def _true_boxes(points: Points, views: Sequence[tuple[Boxes, Camera]], moved_m: dict[int, float]) -> TrueBoxes:
    parts, counts, moves = [], [], []
    for index, (all_boxes, camera) in enumerate(views):
        boxes = all_boxes.take(_sees(camera, all_boxes.centre))
        here = points.sweep == index
        xyz, truth = transform(inverse(points.world_SE3_sensor[index]), points.xyz[here]), points.truth[here]
        for k in range(len(boxes)):
            inside = points_in_box(xyz, boxes.centre[k], boxes.size[k], float(boxes.heading[k]))
            ids = truth[inside & (truth > 0)]
            counts.append(len(ids))
            moves.append(len(ids) > 0 and moved_m.get(int(np.bincount(ids).argmax()), 0.0) > MOVED_M)
        sweep = np.full(len(boxes), index)
        parts.append((sweep, boxes.centre[:, :2], boxes.size[:, :2], boxes.heading, np.ones(len(boxes))))
    flat = FlatBoxes(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return TrueBoxes(flat, np.array(counts), np.array(moves))


def score_boxes(truth: TrueBoxes, found: FlatBoxes) -> dict[str, float]:
    """Return AP and recall at each IoU: of all, and of what moves and what stands with enough points."""
    figures = {"boxes": float(len(found.sweep)), "labelled": float(len(truth.points))}
    a, b, iou = _overlaps(truth.boxes, found)
    for least in IOUS:
        hit = _match(a, b, iou, found.score, least, len(truth.points), len(found.sweep))
        order = np.lexsort((np.arange(len(hit)), -found.score))
        right = np.cumsum(hit[order] >= 0)
        precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
        recall = right / max(len(truth.points), 1)
        figures[f"ap_{least}"] = float(np.sum(np.diff(recall, prepend=0.0) * precision))
        told = np.zeros(len(truth.points), np.bool_)
        told[hit[hit >= 0]] = True
        enough = truth.points >= ENOUGH_POINTS
        for name, chosen in (("moving", truth.moves), ("standing", ~truth.moves)):
            figures[f"recall_{least}.{name}"] = float(told[chosen & enough].mean())
            figures[f"recall_{least}.{name}_any_points"] = float(told[chosen & (truth.points > 0)].mean())
    return figures


def _overlaps(a: FlatBoxes, b: FlatBoxes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find pairs of boxes that overlap, and how much."""

    def upright(boxes: FlatBoxes, rows: NDArray[np.int64]) -> UprightBoxes:
        flat = np.zeros(len(rows))
        return UprightBoxes(boxes.centre[rows], boxes.size[rows], boxes.heading[rows], flat, flat + 1)

    i, j = pairs_in_frames(a.sweep, b.sweep, lambda i, j: circles_meet(upright(a, i), upright(b, j)))
    return i, j, ground_iou(upright(a, i), upright(b, j))


def _match(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    iou: NDArray[np.float64],
    score: NDArray[np.float64],
    least: float,
    truths: int,
    boxes: int,
) -> NDArray[np.int64]:
    """Match boxes, the surest first, with the free labelled box that they overlap most: its number or -1, [boxes]."""
    hit, taken = np.full(boxes, -1, np.int64), np.zeros(truths, np.bool_)
    kept = np.flatnonzero(iou >= least)
    for pair in kept[np.lexsort((-iou[kept], b[kept], -score[b[kept]]))].tolist():
        if hit[b[pair]] < 0 and not taken[a[pair]]:
            hit[b[pair]] = a[pair]
            taken[a[pair]] = True
    return hit


def _table(figures: dict[str, float], methods: Sequence[str]) -> str:
    keys = [key.removeprefix(f"{methods[0]}.") for key in figures if key.startswith(f"{methods[0]}.")]
    lines = [f"{'boxes from above':32}" + "".join(f"{name:>16}" for name in methods)]
    return "\n".join(lines + [f"{key:32}" + "".join(f"{figures[f'{m}.{key}']:16.3f}" for m in methods) for key in keys])
