"""How good spread labels are, against the labels of sweeps that were not used; and a picture of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.spread import SOURCES, SpreadPoints, source_of_class
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.cache.spread_labels import SpreadLabels

_GAPS: Final = (1, 2, 4, 8, 16, 32, 2**31)
"""Distances to the nearest labelled sweep of the sequence, in sweeps: where the intervals begin."""
_LEVELS: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)


@dataclass(frozen=True)
class SpreadQuality:
    """Counts over the sweeps that have labels and were not used.

    Attributes:
        sweeps: how many there are.
        unlabelled: int64 [2], points that people left unlabelled, and those of them with a spread label; they count
            nowhere else.
        confusion: int64 [C, C], points by true and spread class; 0 for none.
        moving: int64 [2, 3], of points in groups that stand, and in those that move at some time: all that have a true
            class, those with a spread class, those where both are the same.
        source: int64 [4, 3], the same by source; ``points`` are those with this source.
        gap: int64 [K, 3], the same by distance to the nearest labelled sweep.
        level: int64 [L, 3], the same by confidence.
        sure: float64 [L], sum of the confidences of each level.
    """

    sweeps: int
    unlabelled: NDArray[np.int64]
    confusion: NDArray[np.int64]
    moving: NDArray[np.int64]
    source: NDArray[np.int64]
    gap: NDArray[np.int64]
    level: NDArray[np.int64]
    sure: NDArray[np.float64]


def measure_quality(cache: Cache, labels: SpreadLabels) -> SpreadQuality | None:
    """Compare spread labels with the cache's own; None where no other sweep of their sequences has labels."""
    classes = len(labels.manifest.class_names)
    if cache.manifest.class_names != labels.manifest.class_names:
        return None
    total: SpreadQuality | None = None
    for sequence in labels.sequence_names:
        moving = cache.moving_groups(sequence)
        used = np.array(labels.labelled(sequence))
        for index in sorted(set(cache.labelled_sweeps(sequence)) - set(used.tolist())):
            gap = np.abs(used - index).min(initial=_GAPS[-1] - 1)  # no sweep of some sequences is labelled
            found, truth = labels.sweep(sequence, index), cache.classes(sequence, index)
            moves = np.isin(cache.label(sequence, index), moving)
            one = _one_sweep(found, truth, moves, int(gap), classes)
            total = one if total is None else _added(total, one)
    return total


def _one_sweep(
    found: SpreadPoints, truth: NDArray[np.uint8], moves: NDArray[np.bool_], gap: int, classes: int
) -> SpreadQuality:
    known = truth > 0
    unlabelled = np.array([np.count_nonzero(~known), np.count_nonzero(found.classes[~known])], np.int64)
    truth, told = truth[known].astype(np.int64), found.classes[known].astype(np.int64)
    facts = np.stack([np.ones(len(told), np.int64), told > 0, told == truth], axis=1).astype(np.int64)
    level = np.searchsorted(_LEVELS, found.confidence[known], side="right") - 1
    tables = {
        "moving": (moves[known].astype(np.int64), 2),
        "source": (source_of_class(found.classes, found.source)[known].astype(np.int64), len(SOURCES)),
        "gap": (np.full(len(told), np.searchsorted(_GAPS, gap, side="right") - 1), len(_GAPS) - 1),
        "level": (level, len(_LEVELS) - 1),
    }
    counts = {name: _sums(row, facts, size) for name, (row, size) in tables.items()}
    confusion = np.bincount(truth * classes + told, minlength=classes * classes).reshape(classes, classes)
    sure = np.bincount(level, found.confidence[known] * (told > 0), minlength=len(_LEVELS) - 1).astype(np.float64)
    moving, source, by_gap, by_level = (counts[name] for name in ("moving", "source", "gap", "level"))
    return SpreadQuality(1, unlabelled, confusion, moving, source, by_gap, by_level, sure)


def _sums(row: NDArray[np.int64], facts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.stack([np.bincount(row, fact, minlength=size) for fact in facts.T], axis=1).astype(np.int64)


def _added(a: SpreadQuality, b: SpreadQuality) -> SpreadQuality:
    return SpreadQuality(*(getattr(a, name) + getattr(b, name) for name in SpreadQuality.__dataclass_fields__))


def quality_content(quality: SpreadQuality, class_names: Sequence[str]) -> dict[str, Any]:
    """Return what a JSON file records of spread labels; shares are 0..1, None where there is nothing to divide by."""
    confusion = quality.confusion
    told, right = confusion[:, 1:].sum(axis=1), confusion.diagonal()
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    iou = {
        name: _share(right[c], told[c] + predicted[c] - right[c]) for c, name in enumerate(class_names) if truth[c] > 0
    }
    return {
        "sweeps": quality.sweeps,
        "labelled": _share(told.sum(), truth.sum()),
        "right": _share(right.sum(), told.sum()),
        "left_unlabelled": {
            "points": int(quality.unlabelled[0]),
            "labelled": _share(*quality.unlabelled[::-1].tolist()),
        },
        "miou_of_labelled": float(np.mean([value or 0.0 for value in iou.values()])),
        "classes": {
            name: {"points": int(truth[c]), "labelled": _share(told[c], truth[c]), "right": _share(right[c], told[c])}
            | {"iou_of_labelled": iou[name]}
            for c, name in enumerate(class_names)
            if truth[c] > 0
        },
        "groups": _rows(("standing", "moving"), quality.moving),
        "source": _rows(SOURCES[1:], quality.source[1:]),
        "sweeps_away": _rows([str(gap) for gap in _GAPS[:-1]], quality.gap),
        "confidence": {
            f"{low:g}": found | {"mean_confidence": _share(float(sure), row[1])}
            for low, (_, found), row, sure in zip(
                _LEVELS[:-1],
                _rows([f"{low:g}" for low in _LEVELS[:-1]], quality.level).items(),
                quality.level,
                quality.sure,
                strict=True,
            )
        },
    }


def _rows(names: Sequence[str], counts: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    return {
        name: {"points": int(all_), "labelled": _share(told, all_), "right": _share(right, told)}
        for name, (all_, told, right) in zip(names, counts.tolist(), strict=True)
    }


def _share(part: float, of: float) -> float | None:
    return round(float(part / of), 6) if of else None


def quality_table(content: Mapping[str, Any]) -> str:
    """Format the content as tables: points, shares with a spread label and of these right, by class and the rest."""
    lines = [f"{'':<24}{'points':>12}{'labelled':>10}{'right':>8}{'IoU':>8}"]
    points = sum(row["points"] for row in content["classes"].values())
    everything = {"points": points, "labelled": content["labelled"], "right": content["right"]}
    lines += list(_lines("", {"all": everything | {"iou_of_labelled": content["miou_of_labelled"]}}))
    lines += list(_lines("", {"left unlabelled": content["left_unlabelled"]}))
    for title in ("groups", "source", "sweeps_away", "confidence", "classes"):
        lines += ["", title.replace("_", " "), *_lines("  ", content[title])]
    return "\n".join(lines) + "\n"


def _lines(indent: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, row in rows.items():
        if row["points"]:
            shares = (row.get(key) for key in ("labelled", "right", "iou_of_labelled"))
            texts = ["" if share is None else f"{100 * share:.1f}" for share in shares]
            yield f"{indent + name:<24}{row['points']:>12,}{texts[0]:>10}{texts[1]:>8}{texts[2]:>8}"
