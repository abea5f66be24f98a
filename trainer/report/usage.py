"""Usage of the prototypes: how many groups are nearest to each, their classes, and typical examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.report.inspect_sweeps import InspectedSweep

# G groups over all inspected sweeps, C prototypes, L classes

_SHUFFLES: Final = 20


@dataclass(frozen=True)
class PrototypeUse:
    """One prototype.

    Attributes:
        prototype: its row in F_g.
        groups: groups nearest to it; share: of all groups.
        labelled: how many of them have a class; majority: name of their most common class, "" without any;
            purity: share of the labelled ones that have it.
        examples: the groups to show, each as (sweep, position in its list of groups): those with the most points among
            the half that is most similar to the prototype, one per object.
    """

    prototype: int
    groups: int
    share: float
    labelled: int
    majority: str
    purity: float
    examples: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Usage:
    """All prototypes, the most used first.

    Attributes:
        rows: one per prototype.
        groups: G; sweeps: how many were inspected.
        effective: exp of the entropy of the shares: this many equally used prototypes would be as diverse.
        purity: share of labelled groups that have their prototype's majority class, None without labels.
        chance: the same with groups assigned to prototypes at random, mean of 20 seeded shuffles.
    """

    rows: tuple[PrototypeUse, ...]
    groups: int
    sweeps: int
    effective: float
    purity: float | None
    chance: float | None

    @property
    def used(self) -> int:
        """Prototypes nearest to at least one group."""
        return sum(row.groups > 0 for row in self.rows)


def usage(sweeps: Sequence[InspectedSweep], prototypes: int, class_names: Sequence[str], examples: int) -> Usage:
    """Count groups per prototype. ``class_names`` are the cache's; ``examples`` of each prototype are kept."""
    nearest = np.concatenate([sweep.prototype for sweep in sweeps])
    truth = np.concatenate([group_classes(sweep, len(class_names)) for sweep in sweeps])
    counts = np.bincount(nearest, minlength=prototypes)
    by_class = count_classes(nearest, truth, prototypes, max(len(class_names), 1))
    share = counts / max(counts.sum(), 1)
    typical = _typical(sweeps, nearest, examples)
    rows = []
    for c in np.lexsort((np.arange(prototypes), -counts)).tolist():
        labelled, best = int(by_class[c].sum()), int(by_class[c].argmax())
        majority, purity = (class_names[best], by_class[c, best] / labelled) if labelled else ("", 0.0)
        rows.append(
            PrototypeUse(c, int(counts[c]), float(share[c]), labelled, majority, float(purity), typical.get(c, ()))
        )
    known = truth > 0
    entropy = -float((share[share > 0] * np.log(share[share > 0])).sum())
    return Usage(
        tuple(rows),
        groups=len(nearest),
        sweeps=len(sweeps),
        effective=float(np.exp(entropy)),
        purity=_purity(by_class) if known.any() else None,
        chance=_chance(nearest[known], truth[known], by_class.shape) if known.any() else None,
    )


def group_classes(sweep: InspectedSweep, classes: int) -> NDArray[np.int64]:
    """Return the most common class of each group's labelled points, 0 where it has none: int64 [K]."""
    if sweep.semantic is None or classes == 0:
        return np.zeros(len(sweep.group), np.int64)
    inside = np.isin(sweep.label, sweep.group) & (sweep.semantic > 0)
    slot = np.searchsorted(sweep.group, sweep.label[inside])
    counts = count_classes(slot, sweep.semantic[inside].astype(np.int64), len(sweep.group), classes)
    most_common: NDArray[np.int64] = counts.argmax(axis=1)
    return most_common


def group_points(sweep: InspectedSweep) -> NDArray[np.int64]:
    """Count the points of each group, int64 [K]."""
    return np.bincount(
        np.searchsorted(sweep.group, sweep.label[np.isin(sweep.label, sweep.group)]), minlength=len(sweep.group)
    )


def count_classes(row: NDArray[np.int64], truth: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.int64]:
    """Count (row, class) pairs, int64 [rows, classes], without class 0, unlabelled."""
    known = truth > 0
    return np.bincount(row[known] * classes + truth[known], minlength=rows * classes).reshape(rows, classes)


def _purity(by_class: NDArray[np.int64]) -> float:
    return float(by_class.max(axis=1).sum() / by_class.sum())


def _chance(nearest: NDArray[np.int64], truth: NDArray[np.int64], shape: tuple[int, ...]) -> float:
    rng = np.random.default_rng(0)
    shuffled = (count_classes(nearest, rng.permutation(truth), *shape) for _ in range(_SHUFFLES))
    return float(np.mean([_purity(counts) for counts in shuffled]))


def _typical(
    sweeps: Sequence[InspectedSweep], nearest: NDArray[np.int64], count: int
) -> dict[int, tuple[tuple[int, int], ...]]:
    """Choose, in the more similar half of each prototype's groups, those with the most points, one per object."""
    places = [(i, k) for i, sweep in enumerate(sweeps) for k in range(len(sweep.group))]
    similarity = np.concatenate([sweep.similarity for sweep in sweeps])
    points = np.concatenate([group_points(sweep) for sweep in sweeps])
    found: dict[int, tuple[tuple[int, int], ...]] = {}
    for prototype in np.unique(nearest).tolist():
        mine = np.flatnonzero(nearest == prototype)
        similar = mine[np.argsort(-similarity[mine], kind="stable")][: max((len(mine) + 1) // 2, count)]
        objects: dict[tuple[str, int], tuple[int, int]] = {}
        for g in similar[np.argsort(-points[similar], kind="stable")].tolist():
            i, k = places[g]
            objects.setdefault((sweeps[i].sequence, int(sweeps[i].group[k])), (i, k))
        found[prototype] = tuple(objects.values())[:count]
    return found
