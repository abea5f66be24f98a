"""Segmentation pass over a block: stack the sweeps of each window, cluster them, link each window to the next.

Its result is one intermediate file per block: for each window the labels of the sweeps that it owns, with ids that
count within the window; the links between successive windows; and all labels of the first and the last window, by which
neighbouring blocks are linked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.manifest import Window
from iscc_lidar.preprocess.segment.clustering import ClusteringConfig, cluster_window
from iscc_lidar.preprocess.segment.linking import LinkingConfig, SweepLabels, link_shared_sweeps
from iscc_lidar.preprocess.segment.sweeps import GroundedSweep, WindowBuffer
from iscc_lidar.shared.base.geometry import transform

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class SegmentedBlock:
    """Result of the segmentation pass for a block.

    Attributes:
        group_counts: number of groups in each window; their ids count from 0.
        links: for each window but the first, pairs [n, 2] (id in the previous window, id in this one).
        own: labels of the sweeps that each window owns, with ids of that window.
        first: labels of all sweeps of the first window.
        last: labels of all sweeps of the last window.
    """

    group_counts: tuple[int, ...]
    links: tuple[NDArray[np.int32], ...]
    own: SweepLabels
    first: SweepLabels
    last: SweepLabels


def segment_block(
    sweeps: WindowBuffer[GroundedSweep],
    windows: tuple[Window, ...],
    clustering: ClusteringConfig,
    linking: LinkingConfig,
) -> SegmentedBlock:
    """Cluster the windows of a block in order."""
    counts: list[int] = []
    links: list[NDArray[np.int32]] = []
    own: SweepLabels = {}
    first: SweepLabels = {}
    labels: SweepLabels = {}
    for window in windows:
        before = labels
        labels = segment_window(sweeps.take(window), window.start, clustering)
        counts.append(1 + max((int(label.max(initial=NOISE)) for label in labels.values()), default=NOISE))
        if before:
            links.append(link_shared_sweeps(before, labels, linking))
        first = first or labels
        own |= {index: labels[index] for index in range(window.own_start, window.own_stop)}
    return SegmentedBlock(tuple(counts), tuple(links), own, first, labels)


def segment_window(sweeps: list[GroundedSweep], start: int, config: ClusteringConfig) -> SweepLabels:
    """Cluster the points above ground of stacked sweeps; returns the labels of all points by sweep index.

    The stack is in the world frame, moved to the window's first sensor: float32 is too coarse far from the origin.
    """
    origin = sweeps[0].sweep.world_SE3_sensor[:3, 3]
    above = [grounded.label == NOISE for grounded in sweeps]
    stacked = [
        transform(grounded.sweep.world_SE3_sensor, grounded.sweep.xyz[mask]) - origin
        for grounded, mask in zip(sweeps, above, strict=True)
    ]
    sizes = [len(xyz) for xyz in stacked]
    groups = cluster_window(np.concatenate(stacked), np.repeat(np.arange(len(sizes)), sizes), config)
    labels: SweepLabels = {}
    for offset, (grounded, mask) in enumerate(zip(sweeps, above, strict=True)):
        labels[start + offset] = grounded.label.copy()
        labels[start + offset][mask] = groups[sum(sizes[:offset]) : sum(sizes[: offset + 1])]
    return labels


def segmented_arrays(block: SegmentedBlock) -> dict[str, NDArray[np.generic]]:
    """Convert the result for a block to named arrays."""
    arrays: dict[str, NDArray[np.generic]] = {"group_counts": np.array(block.group_counts)}
    arrays |= {f"links_{k}": pairs for k, pairs in enumerate(block.links)}
    for name, labels in (("own", block.own), ("first", block.first), ("last", block.last)):
        arrays |= {f"{name}_{index}": label for index, label in labels.items()}
    return arrays


def labels_of(arrays: Arrays, which: Literal["own", "first", "last"], sweeps: range | None = None) -> SweepLabels:
    """Pick labels out of the named arrays, by sweep index: all of them, or those of the given sweeps."""
    prefix = f"{which}_"
    found = (int(name.removeprefix(prefix)) for name in arrays if name.startswith(prefix))
    return {index: arrays[f"{prefix}{index}"] for index in found if sweeps is None or index in sweeps}
