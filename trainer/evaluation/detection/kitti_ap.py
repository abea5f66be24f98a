"""Average precision by the rules of KITTI's object benchmark (Geiger et al. 2012; its development kit).

Labels of a class count if they are easy, moderate or hard enough; the others of the class, and those of a neighbouring
class, are ignored: neither missed, nor false positives if detected. Detections lower in the image than the minimum
height of a level are ignored as well; the development kit ignores them whatever their class, so that a low one of
another class may take a label out of the count, which is reproduced here. "DontCare" labels are areas of the image:
where overlap is measured there, detections within them are not false positives; in space they have no effect.

Precision is taken at 41 scores, as evenly spaced in recall as possible, and made monotonic in recall.
AP R11 is the mean at recalls 0, 0.1, ..., 1, AP R40 (since 2019) at 1/40, 2/40, ..., 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.boxes import image_area
from iscc_lidar.shared.layouts.formats.kitti_objects import DONT_CARE
from iscc_lidar.shared.layouts.layout import BoxRule, all_layouts
from iscc_lidar.trainer.evaluation.detection.objects import Detections, Labels
from iscc_lidar.trainer.evaluation.detection.overlap import (
    Space,
    circles_meet,
    ground_iou,
    image_iou,
    image_overlap,
    pairs_in_frames,
    space_iou,
)

_SAMPLES: Final = 41


@dataclass(frozen=True)
class Level:
    """Difficulty of labels: minimum height in the image, pixels, maximum occlusion and truncation."""

    name: str
    height_px: float
    occlusion: int
    truncation: float


LEVELS: Final = (Level("easy", 40, 0, 0.15), Level("moderate", 25, 1, 0.3), Level("hard", 25, 2, 0.5))
CLASSES: Final = tuple(rule for layout in all_layouts() for rule in layout.box_rules)


@dataclass(frozen=True)
class Curve:
    """Precision by recall.

    Attributes:
        precision: float64 [41], at recalls 0, 1/40, ..., 1; not rising; 0 at recalls that are never reached.
        labels: number of labels that count; without any there is no AP.
    """

    precision: NDArray[np.float64]
    labels: int

    @property
    def r11(self) -> float:
        """AP at 11 recalls, percent; NaN without labels."""
        return 100 * float(self.precision[::4].mean()) if self.labels else float("nan")

    @property
    def r40(self) -> float:
        """AP at 40 recalls, percent; NaN without labels."""
        return 100 * float(self.precision[1:].mean()) if self.labels else float("nan")


class _Pairs(NamedTuple):
    """Rows of labels and detections that overlap enough, by label, then by detection; ``iou`` float64 [P]."""

    label: NDArray[np.int64]
    found: NDArray[np.int64]
    iou: NDArray[np.float64]


def score(labels: Labels, found: Detections, space: Space) -> Mapping[tuple[str, str], Curve]:
    """Compute the curve of each (class, level). Detections in frames without a label count like all others."""
    curves: dict[tuple[str, str], Curve] = {}
    for rule in CLASSES:
        pairs = _overlapping(labels, found, rule, space)
        covered = _in_dont_care(labels, found, rule) if space == "image" else np.zeros(len(found), dtype=np.bool_)
        for level in LEVELS:
            curves[rule.name, level.name] = _curve(labels, found, pairs, covered, rule, level)
    return curves


def _curve(
    labels: Labels, found: Detections, pairs: _Pairs, covered: NDArray[np.bool_], rule: BoxRule, level: Level
) -> Curve:
    counts, matchable = _select_labels(labels, rule, level)
    of_class, low = found.kind == rule.name, np.diff(found.image_box[:, [1, 3]])[:, 0] < level.height_px
    considered = matchable[pairs.label] & (low | of_class)[pairs.found]
    matcher = _Matcher(_Pairs(*(column[considered] for column in pairs)), counts, ~low, found.score)
    total = int(counts.sum())
    precision = np.zeros(_SAMPLES)
    for k, threshold in enumerate(thresholds(matcher.scores_of_matches(), total)):
        taken, right = matcher.match(threshold)
        false = of_class & ~low & (found.score >= threshold) & ~taken & ~covered
        precision[k] = right / max(right + int(false.sum()), 1)
    return Curve(np.maximum.accumulate(precision[::-1])[::-1], total)


def thresholds(scores: NDArray[np.float64], labels: int) -> list[float]:
    """Choose the scores at which precision is taken, from those of the matches, by the rule of the development kit."""
    ordered = np.sort(scores)[::-1]
    chosen: list[float] = []
    recall = 0.0
    for k, value in enumerate(ordered.tolist()):
        here, last = (k + 1) / labels, k == len(ordered) - 1
        after = here if last else (k + 2) / labels
        if after - recall < recall - here and not last:
            continue
        chosen.append(value)
        recall += 1.0 / (_SAMPLES - 1.0)
    return chosen


class _Matcher:
    """Matching of detections to labels, at any threshold.

    Labels choose in order, among the detections that overlap them enough and are still free: to find the thresholds the
    one with the highest score, then the one with the greatest overlap. Most labels overlap with one detection that
    overlaps with no other label: those need no choice and no loop.

    Args:
        pairs: rows that overlap enough.
        counts: bool [N], labels that count at the level.
        high: bool [D], detections that are high enough in the image.
        score: float64 [D], of the detections.
    """

    def __init__(
        self, pairs: _Pairs, counts: NDArray[np.bool_], high: NDArray[np.bool_], score: NDArray[np.float64]
    ) -> None:
        self.counts, self.high, self.score = counts, high, score
        of_label = np.bincount(pairs.label, minlength=len(counts))
        of_found = np.bincount(pairs.found, minlength=len(score))
        alone = (of_label[pairs.label] == 1) & (of_found[pairs.found] == 1)
        self.label, self.found = pairs.label[alone], pairs.found[alone]
        self.right = counts[self.label] & high[self.found]
        self.rest: dict[int, list[tuple[int, float]]] = {}
        for label, found, iou in zip(*(column[~alone].tolist() for column in pairs), strict=True):
            self.rest.setdefault(label, []).append((found, iou))

    def scores_of_matches(self) -> NDArray[np.float64]:
        """Return the scores of the matches of labels that count, if each takes the detection with the highest score."""
        scores = self.score[self.found[self.right]].tolist()
        taken: set[int] = set()
        for label, candidates in self.rest.items():
            free = [found for found, _ in candidates if found not in taken]
            if not free:
                continue
            best = max(free, key=lambda found: self.score[found])  # the first of equals
            taken.add(best)
            if self.counts[label] and self.high[best]:
                scores.append(float(self.score[best]))
        return np.array(scores)

    def match(self, threshold: float) -> tuple[NDArray[np.bool_], int]:
        """Match detections of at least this score; return those taken, bool [D], and the number of true positives."""
        taken = np.zeros(len(self.score), dtype=np.bool_)
        enough = self.score[self.found] >= threshold
        taken[self.found[enough]] = True
        right = int((self.right & enough).sum())
        for label, candidates in self.rest.items():
            free = [(found, iou) for found, iou in candidates if self.score[found] >= threshold and not taken[found]]
            high = [pair for pair in free if self.high[pair[0]]]
            if high:
                best = max(high, key=lambda pair: pair[1])[0]
            elif free:
                best = free[0][0]
            else:
                continue
            taken[best] = True
            right += int(self.counts[label] and self.high[best])
        return taken, right


def _select_labels(labels: Labels, rule: BoxRule, level: Level) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Select the labels that count at a level, and those that may take a detection: bool [N] each."""
    of_class = labels.kind == rule.name
    easy_enough = (
        (labels.occlusion <= level.occlusion)
        & (labels.truncation <= level.truncation)
        & (labels.image_box[:, 3] - labels.image_box[:, 1] > level.height_px)
    )
    neighbour = labels.kind == rule.neighbour if rule.neighbour else np.zeros(len(labels), dtype=np.bool_)
    return of_class & easy_enough, of_class | neighbour


def _overlapping(labels: Labels, found: Detections, rule: BoxRule, space: Space) -> _Pairs:
    rows = np.flatnonzero(np.isin(labels.kind, [kind for kind in (rule.name, rule.neighbour) if kind]))

    def near(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
        if space == "image":
            return image_overlap(labels.image_box[rows[a]], found.image_box[b]) > 0
        return circles_meet(labels.boxes.take(rows[a]), found.boxes.take(b))

    a, b = pairs_in_frames(labels.frame[rows], found.frame, near)
    a = rows[a]
    if space == "image":
        iou = image_iou(labels.image_box[a], found.image_box[b])
    else:
        iou = (ground_iou if space == "ground" else space_iou)(labels.boxes.take(a), found.boxes.take(b))
    enough = iou > rule.min_overlap
    return _Pairs(a[enough], b[enough], iou[enough])


def _in_dont_care(labels: Labels, found: Detections, rule: BoxRule) -> NDArray[np.bool_]:
    """Find detections of which more than the class's minimum overlap lies in one "DontCare" area: bool [D]."""
    areas = np.flatnonzero(labels.kind == DONT_CARE)
    a, b = pairs_in_frames(labels.frame[areas], found.frame, lambda a, _: np.ones(len(a), dtype=np.bool_))
    shared = image_overlap(labels.image_box[areas[a]], found.image_box[b])
    inside = shared > rule.min_overlap * np.maximum(image_area(found.image_box[b]), np.finfo(np.float64).tiny)
    covered = np.zeros(len(found), dtype=np.bool_)
    covered[b[inside]] = True
    return covered
