"""What the prototypes stand for: how many groups each one takes, of which classes, and its most typical groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.trainer.report.look import Look

# G groups over all sweeps looked at, C prototypes, L classes

_SHUFFLES: Final = 20


@dataclass(frozen=True)
class PrototypeUse:
    """One prototype.

    Attributes:
        prototype: its row in F_g.
        groups: groups nearest to it; share: of all groups.
        labelled: how many of them have a class; majority: name of the commonest class, "" without any;
            purity: share of the labelled ones that have it.
        examples: (look, position in its list of groups): of the more similar half of its groups those with the
            most points, each of another object.
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
        rows: one a prototype.
        groups: G; sweeps: how many were looked at.
        effective: exp of the entropy of the shares: as many equally used prototypes would be as diverse.
        purity: share of labelled groups that have their prototype's majority class, None without labels.
        chance: the same after dealing the groups to the prototypes at random, mean of 20 seeded deals.
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


def usage(looks: Sequence[Look], prototypes: int, class_names: Sequence[str], examples: int) -> Usage:
    """Count groups by prototype. ``class_names`` are the cache's; ``examples`` of each prototype are kept."""
    nearest = np.concatenate([look.prototype for look in looks])
    truth = np.concatenate([group_classes(look, len(class_names)) for look in looks])
    counts = np.bincount(nearest, minlength=prototypes)
    by_class = count_classes(nearest, truth, prototypes, max(len(class_names), 1))
    share = counts / max(counts.sum(), 1)
    typical = _typical(looks, nearest, examples)
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
        sweeps=len(looks),
        effective=float(np.exp(entropy)),
        purity=_purity(by_class) if known.any() else None,
        chance=_chance(nearest[known], truth[known], by_class.shape) if known.any() else None,
    )


def group_classes(look: Look, classes: int) -> NDArray[np.int64]:
    """The commonest class among each group's labelled points, 0 where it has none: int64 [K]."""
    if look.semantic is None or classes == 0:
        return np.zeros(len(look.group), np.int64)
    inside = np.isin(look.label, look.group) & (look.semantic > 0)
    slot = np.searchsorted(look.group, look.label[inside])
    counts = count_classes(slot, look.semantic[inside].astype(np.int64), len(look.group), classes)
    commonest: NDArray[np.int64] = counts.argmax(axis=1)
    return commonest


def group_points(look: Look) -> NDArray[np.int64]:
    """Points of each group, int64 [K]."""
    return np.bincount(
        np.searchsorted(look.group, look.label[np.isin(look.label, look.group)]), minlength=len(look.group)
    )


def count_classes(row: NDArray[np.int64], truth: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.int64]:
    """Count (row, class) pairs, int64 [rows, classes]; class 0, unlabelled, is left out."""
    known = truth > 0
    return np.bincount(row[known] * classes + truth[known], minlength=rows * classes).reshape(rows, classes)


def _purity(by_class: NDArray[np.int64]) -> float:
    return float(by_class.max(axis=1).sum() / by_class.sum())


def _chance(nearest: NDArray[np.int64], truth: NDArray[np.int64], shape: tuple[int, ...]) -> float:
    rng = np.random.default_rng(0)
    deals = (count_classes(nearest, rng.permutation(truth), *shape) for _ in range(_SHUFFLES))
    return float(np.mean([_purity(deal) for deal in deals]))


def _typical(looks: Sequence[Look], nearest: NDArray[np.int64], count: int) -> dict[int, tuple[tuple[int, int], ...]]:
    """Of the more similar half of each prototype's groups those with the most points, one of an object."""
    places = [(i, k) for i, look in enumerate(looks) for k in range(len(look.group))]
    similarity = np.concatenate([look.similarity for look in looks])
    points = np.concatenate([group_points(look) for look in looks])
    found: dict[int, tuple[tuple[int, int], ...]] = {}
    for prototype in np.unique(nearest).tolist():
        mine = np.flatnonzero(nearest == prototype)
        similar = mine[np.argsort(-similarity[mine], kind="stable")][: max((len(mine) + 1) // 2, count)]
        things: dict[tuple[str, int], tuple[int, int]] = {}
        for g in similar[np.argsort(-points[similar], kind="stable")].tolist():
            i, k = places[g]
            things.setdefault((looks[i].sequence, int(looks[i].group[k])), (i, k))
        found[prototype] = tuple(things.values())[:count]
    return found
