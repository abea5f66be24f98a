"""Segmentation pass over a block: segment each window, and link it to the next.

Its result is one intermediate file per block: for each window the labels of the sweeps that it owns, with ids that
count within the window; the links between successive windows; and all labels of the first and the last window, by which
neighbouring blocks are linked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig
from iscc_lidar.preprocess.segment.ground import GroundConfig
from iscc_lidar.preprocess.segment.linking import LinkingConfig, SweepLabels, assign_sequence_ids, link_shared_sweeps
from iscc_lidar.preprocess.segment.segment_window import segment_window
from iscc_lidar.preprocess.segment.sweeps import ConsideredSweep, WindowBuffer

Arrays = Mapping[str, NDArray[Any]]


def segment_block(
    sweeps: WindowBuffer[ConsideredSweep],
    windows: tuple[Window, ...],
    ground: GroundConfig,
    clustering: ClusteringConfig,
    linking: LinkingConfig,
) -> dict[str, NDArray[Any]]:
    """Cluster the windows of a block in order.

    Returns:
        group_counts: number of groups in each window; their ids count from 0.
        links_K: of window K + 1, int32 [n, 2], ids in the previous window and in this one.
        own_INDEX: labels of a sweep, int32 [N], with ids of the window that owns it.
        first_INDEX, last_INDEX: labels of each sweep of the first and of the last window.
    """
    counts: list[int] = []
    links: list[NDArray[np.int32]] = []
    own: SweepLabels = {}
    first: SweepLabels = {}
    labels: SweepLabels = {}
    for window in windows:
        before = labels
        labels = segment_window(sweeps.take(window), window.start, ground, clustering)
        counts.append(1 + max((int(label.max(initial=NOISE)) for label in labels.values()), default=NOISE))
        if before:
            links.append(link_shared_sweeps(before, labels, linking))
        first = first or labels
        own |= {index: labels[index] for index in range(window.own_start, window.own_stop)}
    arrays: dict[str, NDArray[Any]] = {"group_counts": np.array(counts)}
    arrays |= {f"links_{k}": pairs for k, pairs in enumerate(links)}
    for name, of_sweeps in (("own", own), ("first", first), ("last", labels)):
        arrays |= {f"{name}_{index}": label for index, label in of_sweeps.items()}
    return arrays


def link_sequence(segmented: Iterable[Arrays], config: LinkingConfig) -> list[NDArray[np.int32]]:
    """Return the sequence id of each group of each window, given what ``segment_block`` made of all blocks in order."""
    counts: list[int] = []
    links: list[NDArray[np.int32]] = []
    last: SweepLabels | None = None
    for arrays in segmented:
        if last is not None:
            links.append(link_shared_sweeps(last, labels_of(arrays, "first"), config))
        windows = arrays["group_counts"].tolist()
        counts.extend(windows)
        links.extend(arrays[f"links_{k}"] for k in range(len(windows) - 1))
        last = labels_of(arrays, "last")
    return assign_sequence_ids(counts, links)


def labels_of(arrays: Arrays, which: Literal["own", "first", "last"], sweeps: range | None = None) -> SweepLabels:
    """Pick labels out of the named arrays, by sweep index: all of them, or those of the given sweeps."""
    prefix = f"{which}_"
    found = (int(name.removeprefix(prefix)) for name in arrays if name.startswith(prefix))
    return {index: arrays[f"{prefix}{index}"] for index in found if sweeps is None or index in sweeps}
