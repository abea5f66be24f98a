"""First pass over a block: stack its windows, cluster them, link each to the next.

What a block hands to the second pass lies in one work file: for each of its windows the labels of
the sweeps that the window owns, with ids that count within the window; the links between successive
windows; and the labels of its first and last window, by which neighbouring blocks are linked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import NOISE
from iscc_lidar.data_schemas.window import Window
from iscc_lidar.preprocess.config import PreprocessConfig
from iscc_lidar.preprocess.datasets.registry import Dataset
from iscc_lidar.preprocess.segment.clustering import cluster_window
from iscc_lidar.preprocess.segment.linking import SweepLabels, link_shared_sweeps
from iscc_lidar.preprocess.segment.sweeps import GroundedSweep, SweepBuffer
from iscc_lidar.shared.base.geometry import transform

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class SegmentedBlock:
    """The first pass's result for a block.

    Attributes:
        group_counts: number of groups in each window; their ids run from 0.
        links: for each window but the first, pairs [n, 2] (id in the window before, id in this one).
        own: labels of the sweeps that each window owns, ids of that window.
        first: labels of all sweeps of the first window.
        last: labels of all sweeps of the last window.
    """

    group_counts: tuple[int, ...]
    links: tuple[NDArray[np.int32], ...]
    own: SweepLabels
    first: SweepLabels
    last: SweepLabels


def segment_block(
    dataset: Dataset, sequence: str, windows: tuple[Window, ...], config: PreprocessConfig
) -> SegmentedBlock:
    """Cluster the windows of a block in order, reading and grounding every sweep once."""
    sweeps = SweepBuffer(dataset, sequence, config.range, config.ground)
    counts: list[int] = []
    links: list[NDArray[np.int32]] = []
    own: SweepLabels = {}
    first: SweepLabels = {}
    labels: SweepLabels = {}
    for window in windows:
        before = labels
        labels = segment_window(sweeps.take(window.start, window.stop), window.start, config)
        counts.append(1 + max((int(label.max(initial=NOISE)) for label in labels.values()), default=NOISE))
        if before:
            links.append(link_shared_sweeps(before, labels, config.linking))
        first = first or labels
        own |= {index: labels[index] for index in range(window.own_start, window.own_stop)}
    return SegmentedBlock(tuple(counts), tuple(links), own, first, labels)


def segment_window(sweeps: list[GroundedSweep], start: int, config: PreprocessConfig) -> SweepLabels:
    """Cluster what stands above the ground in stacked sweeps; labels of all their points by sweep index.

    The stack's frame is the world's, moved to the window's first sensor: far from the origin float32
    would not do.
    """
    origin = sweeps[0].sweep.world_SE3_sensor[:3, 3]
    above = [held.label == NOISE for held in sweeps]
    stacked = [
        transform(held.sweep.world_SE3_sensor, held.sweep.xyz[mask]) - origin
        for held, mask in zip(sweeps, above, strict=True)
    ]
    sizes = [len(xyz) for xyz in stacked]
    groups = cluster_window(np.concatenate(stacked), np.repeat(np.arange(len(sizes)), sizes), config.clustering)
    labels: SweepLabels = {}
    for offset, (held, mask) in enumerate(zip(sweeps, above, strict=True)):
        labels[start + offset] = held.label.copy()
        labels[start + offset][mask] = groups[sum(sizes[:offset]) : sum(sizes[: offset + 1])]
    return labels


def segmented_arrays(block: SegmentedBlock) -> dict[str, NDArray[np.generic]]:
    """A block's first-pass result as named arrays."""
    arrays: dict[str, NDArray[np.generic]] = {"group_counts": np.array(block.group_counts)}
    arrays |= {f"links_{k}": pairs for k, pairs in enumerate(block.links)}
    for name, labels in (("own", block.own), ("first", block.first), ("last", block.last)):
        arrays |= {f"{name}_{index}": label for index, label in labels.items()}
    return arrays


def labels_of(arrays: Arrays, which: Literal["own", "first", "last"], sweeps: range | None = None) -> SweepLabels:
    """Some of the labels among the named arrays, by sweep: all, or those of the given sweeps."""
    prefix = f"{which}_"
    found = (int(name.removeprefix(prefix)) for name in arrays if name.startswith(prefix))
    return {index: arrays[f"{prefix}{index}"] for index in found if sweeps is None or index in sweeps}
