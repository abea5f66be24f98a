"""Linking windows: one id per object through all of a sequence.

Successive windows share sweeps. Groups that cover the same points of the shared sweeps get the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.shared.base.config import check_ranges, option

SweepLabels = dict[int, NDArray[np.int32]]
"""Labels of all points of some sweeps, by sweep index."""


@dataclass(frozen=True)
class LinkingConfig:
    """Options of linking."""

    min_iou: float = option(
        0.25, "two groups are one if their IoU on the shared points is above this", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an option out of its range."""
        check_ranges(self, "linking")


def link_shared_sweeps(before: SweepLabels, after: SweepLabels, config: LinkingConfig) -> NDArray[np.int32]:
    """Match the groups of two windows on the sweeps that both contain; see ``link_windows``."""
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return np.empty((0, 2), dtype=np.int32)
    ids_before, ids_after = (np.concatenate([labels[i] for i in shared]) for labels in (before, after))
    return link_windows(ids_before, ids_after, config)


def link_windows(labels_a: NDArray[np.int32], labels_b: NDArray[np.int32], config: LinkingConfig) -> NDArray[np.int32]:
    """Match the groups of two windows one to one, largest IoU first.

    Args:
        labels_a: int32 [N], ids in the first window of the points that both windows contain; negative for no group.
        labels_b: int32 [N], ids of the same points, in the same order, in the second window.
        config: options.

    Returns:
        int32 [pairs, 2], rows (id in a, id in b) sorted by a's ids; each id occurs at most once per column.
    """
    size_a, size_b = (np.bincount(labels[labels >= 0]) for labels in (labels_a, labels_b))
    both = (labels_a >= 0) & (labels_b >= 0)
    width = max(len(size_b), 1)
    pair, shared = np.unique(labels_a[both].astype(np.int64) * width + labels_b[both], return_counts=True)
    a, b = np.divmod(pair, width)
    iou = shared / (size_a[a] + size_b[b] - shared)
    order = np.lexsort((b, a, -iou))
    order = order[iou[order] > config.min_iou]
    return _greedy(np.stack([a[order], b[order]], axis=1).astype(np.int32))


def assign_sequence_ids(group_counts: Sequence[int], links: Sequence[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    """Convert the ids of each window to ids that are stable through the sequence.

    Args:
        group_counts: number of groups of each window.
        links: for each window but the first, ``link_windows`` of the previous window and this one.

    Returns:
        for each window int32 [groups]: the sequence id of each of its ids; dense from 0 over the sequence.

    Raises:
        ValueError: the number of link tables is not the number of windows less one.
    """
    if len(links) != max(len(group_counts) - 1, 0):
        raise ValueError(
            f"{len(group_counts)} windows need {max(len(group_counts) - 1, 0)} link tables, not {len(links)}"
        )
    ids: list[NDArray[np.int32]] = []
    used = 0
    for k, count in enumerate(group_counts):
        own = np.full(count, -1, dtype=np.int32)
        if k > 0 and len(links[k - 1]):
            own[links[k - 1][:, 1]] = ids[-1][links[k - 1][:, 0]]
        new = own < 0
        own[new] = used + np.arange(int(new.sum()), dtype=np.int32)
        used += int(new.sum())
        ids.append(own)
    return ids


def sequence_labels(own: SweepLabels, window_ids: dict[int, NDArray[np.int32]]) -> SweepLabels:
    """Replace ids of the owning window by ids of the sequence; codes stay. ``window_ids`` is by sweep index."""
    labels: SweepLabels = {}
    for index, label in own.items():
        table = np.append(window_ids[index], np.int32(NOISE))  # the last entry keeps the look-up legal without groups
        labels[index] = np.where(label >= 0, table[np.clip(label, 0, None)], label)
    return labels


def _greedy(candidates: NDArray[np.int32]) -> NDArray[np.int32]:
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    kept = []
    for a, b in candidates.tolist():
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            kept.append((a, b))
    return np.array(sorted(kept), dtype=np.int32).reshape(-1, 2)
