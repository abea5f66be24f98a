"""Score the group labels of a cache against labelled instances; every labelled point of an object counts.

Points that ground removal took from an object are in no group, and so lower its scores. Points that nobody labelled
count neither for nor against a group; sweeps without labels are left out. Points out of range (not considered) count in
S_temp, IoU* and S_assoc as UNIT counts them, and not in the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from iscc_lidar.data_schemas.labels import GROUND, NOT_CONSIDERED
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache

from benchmarks.preprocess.missed import Reason, why_missed
from benchmarks.preprocess.object_metrics import MOVED_M, ObjectScores, mean, object_scores
from benchmarks.preprocess.tube_metrics import associate_sweeps, associate_tubes

LEAST_POINTS: Final = 50
_LEAST_IN_SWEEP: Final = 10
FOUND_IOU: Final = 0.5
ROAD: Final = "road"


@dataclass(frozen=True)
class LabelledPoints:
    """Points of the labelled sweeps of a sequence, all [N].

    Attributes:
        label: int32, group or code.
        truth: int32, true object, 0 for none.
        semantic: uint8, class; 0 where nobody labelled the point.
        sweep: int64, index of the sweep.
    """

    label: NDArray[np.int32]
    truth: NDArray[np.int32]
    semantic: NDArray[np.uint8]
    sweep: NDArray[np.int64]


@dataclass(frozen=True)
class LabelScores:
    """Scores of the groups of a sequence.

    Attributes:
        figures: by name.
        by_class: of each class the number of objects, mean coverage, and share found.
        missed: why objects are not found, by number.
    """

    figures: dict[str, float]
    by_class: dict[str, tuple[int, float, float]]
    missed: Counter[Reason]


def read_labelled(cache: Cache, dataset: Dataset, sequence: str, sweeps: Sequence[int]) -> LabelledPoints:
    """Read the points of those ``sweeps`` that have labels. Raises UserError where none has."""
    names = {name: index for index, name in enumerate(cache.sweep_names(sequence))}
    parts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], int]] = []
    for index in tqdm(sweeps, desc=f"reading {sequence}", unit="sweep", leave=False):
        sweep = dataset.read(sequence, index)
        if sweep.semantic is None or sweep.instance is None or not sweep.semantic.any():
            continue
        label = cache.label(sequence, names[sweep.name])
        if len(label) != len(sweep.semantic):
            raise UserError(f"{cache.path}: sweep {sequence}/{sweep.name} has other points than {dataset.name}")
        parts.append((label, sweep.instance.astype(np.int32), sweep.semantic.astype(np.uint8), index))
    if not parts:
        raise UserError(f"{cache.path}: no sweep of sequence {sequence} has labels to score with")
    label, truth, semantic = (np.concatenate([part[k] for part in parts]) for k in range(3))
    sweep_of = np.repeat([part[3] for part in parts], [len(part[0]) for part in parts])
    return LabelledPoints(label, truth, semantic, sweep_of)


def score_labels(
    points: LabelledPoints,
    class_names: Sequence[str],
    moved_m: dict[int, float] | None,
    ground_classes: frozenset[str] = frozenset(),
) -> LabelScores:
    """Score groups.

    Args:
        points: of the labelled sweeps.
        class_names: names of the classes by index, the first for unlabelled.
        moved_m: how far each object moves, metres; None where nobody knows.
        ground_classes: names of the classes that are ground.
    """
    known = (points.semantic > 0) & (points.label != NOT_CONSIDERED)
    group, truth, sweep = np.maximum(points.label, -1)[known], points.truth[known], points.sweep[known]
    scores = object_scores(group, truth, sweep, LEAST_POINTS, _LEAST_IN_SWEEP)
    found = scores.best_iou >= FOUND_IOU
    figures = {
        "objects": float(len(found)),
        "coverage": mean(scores.best_iou),
        "found": mean(found),
        "link": mean(scores.link),
        "id_switches": float(scores.switches.sum()),
        "most_road_points_in_a_group": _most_of_class(points, class_names),
    }
    figures |= _associations(points) | _by_motion(scores, moved_m) | _ground(points, class_names, ground_classes)
    labels = points.label[known]
    missed = Counter(why_missed(labels, truth, sweep, int(k)) for k in scores.object_id[~found])
    return LabelScores(figures, _by_class(scores, truth, points.semantic[known], class_names), missed)


def _associations(points: LabelledPoints) -> dict[str, float]:
    figures: dict[str, float] = {}
    known = points.semantic > 0
    for suffix, more_than in (("", 0), ("_50", 50)):
        given = points.label, points.truth, points.sweep, known, more_than
        tubes, parts = associate_tubes(*given), associate_sweeps(*given)
        figures |= {
            f"S_temp{suffix}": mean(tubes.association),
            f"IoU_star{suffix}": mean(tubes.best_iou),
            f"S_assoc{suffix}": mean(parts.association),
        }
    return figures


def _by_motion(scores: ObjectScores, moved_m: dict[int, float] | None) -> dict[str, float]:
    if moved_m is None:
        return {}
    moves = np.array([moved_m.get(int(k), 0.0) > MOVED_M for k in scores.object_id], np.bool_)
    figures: dict[str, float] = {}
    for name, chosen in (("moving", moves), ("standing", ~moves)):
        figures |= {f"{name}.objects": float(chosen.sum()), f"{name}.coverage": mean(scores.best_iou[chosen])}
        figures[f"{name}.found"] = mean(scores.best_iou[chosen] >= FOUND_IOU)
    return figures


def _ground(points: LabelledPoints, class_names: Sequence[str], ground_classes: frozenset[str]) -> dict[str, float]:
    """Compare what is labelled ground with the ground classes, over labelled points in range."""
    if not ground_classes:
        return {}
    known = (points.semantic > 0) & (points.label != NOT_CONSIDERED)
    true = np.isin(points.semantic[known], [k for k, name in enumerate(class_names) if name in ground_classes])
    found = points.label[known] == GROUND
    return {
        "ground.iou": mean(true[true | found] & found[true | found]),
        "ground.called_otherwise": mean(~found[true]),
        "ground.others_called_ground": mean(found[~true]),
    }


def _by_class(
    scores: ObjectScores, truth: NDArray[np.int32], semantic: NDArray[np.uint8], class_names: Sequence[str]
) -> dict[str, tuple[int, float, float]]:
    """Average by the most common class of each object."""
    kinds = np.array([np.bincount(semantic[truth == k]).argmax() for k in scores.object_id], np.int64)
    return {
        class_names[kind]: (
            int((kinds == kind).sum()),
            mean(scores.best_iou[kinds == kind]),
            mean(scores.best_iou[kinds == kind] >= FOUND_IOU),
        )
        for kind in np.unique(kinds).tolist()
    }


def _most_of_class(points: LabelledPoints, class_names: Sequence[str], name: str = ROAD) -> float:
    """Return the most points of a class that a group has in a sweep; 0 without the class."""
    if name not in class_names:
        return 0.0
    of_class = (points.semantic == list(class_names).index(name)) & (points.label >= 0)
    pairs = points.label[of_class].astype(np.int64) * (int(points.sweep.max()) + 1) + points.sweep[of_class]
    return float(np.unique(pairs, return_counts=True)[1].max(initial=0))


def score_table(rows: dict[str, LabelScores]) -> str:
    """Format scores: a row for each sequence, then classes, then reasons. What does not occur has a dash."""
    names = list(dict.fromkeys(name for scores in rows.values() for name in scores.figures))
    width = max([len(name) for name in rows], default=0) + 2
    lines = [" " * 30 + "".join(f"{row:>{max(width, 12)}}" for row in rows)]
    for name in names:
        cells = [_cell(scores.figures.get(name)) for scores in rows.values()]
        lines.append(f"{name:30}" + "".join(f"{cell:>{max(width, 12)}}" for cell in cells))
    for row, scores in rows.items():
        lines += ["", f"{row}: objects, coverage, found by class"]
        lines += [f"  {kind:28}{n:6d}{_cell(c):>10}{_cell(f):>10}" for kind, (n, c, f) in scores.by_class.items()]
        lines.append(f"  missed: {', '.join(f'{reason} {n}' for reason, n in scores.missed.most_common()) or 'none'}")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    if value is None or np.isnan(value):
        return "-"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"
